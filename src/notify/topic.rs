//! Notices → messages to an SNS topic, for chats, ticket systems and archives.
//!
//! `docs/notice-schema.json` describes such a message for those who read it, and `docs/reference/notices.md` what it is good for.

mod publish;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::phrases::{account_label, one_line};
use super::steps::{Step, steps};
use super::words::{Tone, coming, headline, why};
use super::{Addressed, Mode, Templates};
use crate::aws::TopicMessage;
use crate::keys::{AccessKeyId, AccountId, KeyUse, UserName};
use crate::lifecycle::{Notice, NoticeKind};
use crate::state::{Phase, format_time};

pub(super) use publish::{Publication, publish};

/// The version of the messages. A reader meets new members without a new version, and no other change.
const SCHEMA: &str = "keywheel.notice/1";
/// Longest name of a person's choice, in characters.
const MAX_NAME_LENGTH: usize = 100;

/// A notice as its readers get it. There is no address in it: who subscribes is no matter of the owner tag's.
#[derive(Debug, Serialize)]
struct Published<'a> {
    schema: &'static str,
    id: String,
    time: String,
    dry_run: bool,
    phase: Phase,
    severity: &'static str,
    account: Account<'a>,
    user: &'a UserName,
    key: &'a AccessKeyId,
    created: Option<String>,
    at: Option<String>,
    last_use: Option<LastUse>,
    reason: String,
    replaces: Option<&'a AccessKeyId>,
    secret_arn: Option<&'a str>,
    headline: String,
    what_to_do: Vec<ToDo>,
}

#[derive(Debug, Serialize)]
struct Account<'a> {
    id: &'a AccountId,
    name: String,
}

#[derive(Debug, Serialize)]
struct LastUse {
    time: String,
    service: String,
    region: String,
}

#[derive(Debug, Serialize)]
struct ToDo {
    text: String,
    command: Option<String>,
    undo: bool,
}

/// The message of one notice.
pub(super) fn message(templates: &Templates, mode: Mode, now: DateTime<Utc>, item: &Addressed<'_>) -> TopicMessage {
    let published = Published::new(templates, mode, now, item);
    TopicMessage {
        attributes: vec![
            ("phase", published.phase.to_string()),
            ("severity", published.severity.to_owned()),
            ("account", published.account.id.to_string()),
            ("dry_run", published.dry_run.to_string()),
        ],
        // Texts and numbers always are JSON.
        body: serde_json::to_string(&published).unwrap_or_default(),
    }
}

impl<'a> Published<'a> {
    fn new(templates: &Templates, mode: Mode, now: DateTime<Utc>, item: &Addressed<'a>) -> Self {
        let Notice { user, key, created, kind, secret_arn, owner: _ } = item.notice;
        let terms = templates.terms();
        let to_do = steps(item.notice, mode, &terms.periods, &terms.exemption_group);
        Self {
            schema: SCHEMA,
            id: id(mode, now, item.notice),
            time: format_time(now),
            dry_run: mode == Mode::DryRun,
            phase: kind.phase(),
            severity: Tone::of(kind).name(),
            account: Account { id: &item.account.id, name: one_line(&item.account.name, MAX_NAME_LENGTH) },
            user: &user.name,
            key,
            created: created.map(format_time),
            at: coming(kind).map(format_time),
            last_use: last_use(kind).map(LastUse::of),
            reason: why(item.notice, mode, &terms.periods),
            replaces: match kind {
                NoticeKind::Rotated { old_key, .. } => old_key.as_ref(),
                _ => None,
            },
            secret_arn: secret_arn.as_deref(),
            headline: format!(
                "Access key {key} of the IAM user {} in {} {}.",
                user.name,
                account_label(item.account),
                headline(kind, mode)
            ),
            what_to_do: to_do
                .into_iter()
                .map(|Step { text, command, undo, .. }| ToDo {
                    text,
                    command: Some(command).filter(|command| !command.is_empty()),
                    undo,
                })
                .collect(),
        }
    }
}

impl LastUse {
    fn of(last_use: &KeyUse) -> Self {
        let KeyUse { time, service, region } = last_use;
        Self {
            time: format_time(*time),
            service: one_line(service, MAX_NAME_LENGTH),
            region: one_line(region, MAX_NAME_LENGTH),
        }
    }
}

/// The same for the same news on the same day, in UTC: SNS delivers some messages twice, and what could not be recorded is
/// published again. Made of what a reader sees anyway.
fn id(mode: Mode, now: DateTime<Utc>, notice: &Notice) -> String {
    let Notice { user, key, kind, .. } = notice;
    let dry_run = if mode == Mode::DryRun { "/dry-run" } else { "" };
    format!("{}/{}/{key}/{}/{}{dry_run}", user.account, user.name, kind.phase(), now.date_naive())
}

fn last_use(kind: &NoticeKind) -> Option<&KeyUse> {
    match kind {
        NoticeKind::StillInUse { last_use, .. } => Some(last_use),
        NoticeKind::DisableAhead { last_use, .. } | NoticeKind::Disabled { last_use, .. } => last_use.as_ref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::notify::fixtures::{contact, kinds, notice, now, templates};
    use crate::state::Notified;

    fn published(mode: Mode, notice: &Notice) -> (Value, TopicMessage) {
        let (account, notified) = (contact("prod\r\n", Some("prod@example.com")), Notified::default());
        let item = Addressed { notice, account: &account, notified: &notified };
        let message = message(&templates(), mode, now(), &item);
        (serde_json::from_str(&message.body).unwrap(), message)
    }

    fn schema() -> Value {
        serde_json::from_str(include_str!("../../docs/notice-schema.json")).unwrap()
    }

    /// What of the value the schema forbids, for the words of JSON Schema that ours uses.
    fn mistakes(schema: &Value, value: &Value, place: &str) -> Vec<String> {
        let mut mistakes = Vec::new();
        let claim = |mistakes: &mut Vec<String>, is_so: bool, what: &str| {
            if !is_so {
                mistakes.push(format!("{place}: {what}: {value}"));
            }
        };
        for (word, rule) in schema.as_object().unwrap() {
            match word.as_str() {
                "type" => {
                    let types: Vec<&Value> = rule.as_array().map_or(vec![rule], |types| types.iter().collect());
                    let is = match value {
                        Value::Null => "null",
                        Value::Bool(_) => "boolean",
                        Value::Number(_) => "number",
                        Value::String(_) => "string",
                        Value::Array(_) => "array",
                        Value::Object(_) => "object",
                    };
                    claim(&mut mistakes, types.iter().any(|it| *it == is), "type");
                }
                "const" => claim(&mut mistakes, value == rule, "const"),
                "enum" => claim(&mut mistakes, rule.as_array().unwrap().contains(value), "enum"),
                "minLength" => {
                    claim(
                        &mut mistakes,
                        value.as_str().is_none_or(|it| it.len() as u64 >= rule.as_u64().unwrap()),
                        "minLength",
                    );
                }
                "format" => {
                    claim(
                        &mut mistakes,
                        value.as_str().is_none_or(|it| DateTime::parse_from_rfc3339(it).is_ok()),
                        "date-time",
                    );
                }
                "required" => {
                    for name in rule.as_array().unwrap().iter().filter_map(Value::as_str) {
                        claim(&mut mistakes, value.as_object().is_none_or(|it| it.contains_key(name)), name);
                    }
                }
                "properties" => {
                    for (name, member) in value.as_object().into_iter().flatten() {
                        // A reader has to expect members of later versions; ours all have to be described.
                        match rule.get(name) {
                            Some(rule) => mistakes.extend(self::mistakes(rule, member, &format!("{place}.{name}"))),
                            None => mistakes.push(format!("{place}.{name} is not described")),
                        }
                    }
                }
                "items" => {
                    for item in value.as_array().into_iter().flatten() {
                        mistakes.extend(self::mistakes(rule, item, &format!("{place}[]")));
                    }
                }
                "$schema" | "$id" | "title" | "description" | "examples" => {}
                unknown => panic!("{place}: this test does not know the word {unknown}"),
            }
        }
        mistakes
    }

    #[test]
    fn every_notice_is_as_the_schema_says() {
        let schema = schema();
        for mode in [Mode::Enforced, Mode::DryRun] {
            for (name, kind) in kinds() {
                for secret_arn in [None, Some("arn:aws:x".to_owned())] {
                    let notice = Notice { secret_arn, created: None, ..notice(kind.clone()) };
                    assert_eq!(mistakes(&schema, &published(mode, &notice).0, name), Vec::<String>::new());
                }
            }
        }
        for example in schema["examples"].as_array().unwrap() {
            assert_eq!(mistakes(&schema, example, "example"), Vec::<String>::new());
        }
        let phases: BTreeSet<&str> = kinds().iter().map(|(_, kind)| kind.phase().as_str()).collect();
        let described: BTreeSet<&str> =
            schema["properties"]["phase"]["enum"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(described, phases);
    }

    #[test]
    fn what_the_schema_forbids_is_found() {
        let right = published(Mode::Enforced, &notice(NoticeKind::Deleted)).0;
        for (member, wrong) in [
            ("schema", json!("keywheel.notice/2")),
            ("time", json!("yesterday")),
            ("severity", json!("grave")),
            ("key", json!(7)),
            ("more", json!(true)),
            ("account", json!({"id": "1"})),
            ("what_to_do", json!([{"text": ""}])),
        ] {
            let mut value = right.clone();
            value[member] = wrong;
            assert!(!mistakes(&schema(), &value, "x").is_empty(), "{member}");
        }
    }

    #[test]
    fn every_notice_reads_well() {
        let kinds = kinds();
        let shown: Vec<Value> = kinds
            .into_iter()
            .map(|(_, kind)| {
                let mode = if kind.is_for_dry_run_only() { Mode::DryRun } else { Mode::Enforced };
                published(mode, &notice(kind)).0
            })
            .collect();
        insta::assert_snapshot!("topic.json", serde_json::to_string_pretty(&shown).unwrap());
    }

    #[test]
    fn subscriptions_can_filter_and_no_address_is_in_it() {
        let owned = Notice { owner: Some("jo@example.com".to_owned()), ..notice(NoticeKind::Deleted) };
        let (_, message) = published(Mode::DryRun, &owned);
        let attributes: Vec<_> = message.attributes.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let expected = [("phase", "deleted"), ("severity", "done"), ("account", "111122223333"), ("dry_run", "true")];
        assert_eq!(attributes, expected);
        assert!(!message.body.contains('@'), "{}", message.body);
    }

    #[test]
    fn the_same_news_on_the_same_day_has_the_same_id_and_no_other_has_it() {
        let ids: Vec<String> = kinds()
            .into_iter()
            .flat_map(|(_, kind)| [Mode::Enforced, Mode::DryRun].map(|mode| id(mode, now(), &notice(kind.clone()))))
            .collect();
        let phases: BTreeSet<Phase> = kinds().iter().map(|(_, kind)| kind.phase()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 2 * phases.len());
        assert_eq!(ids[0], "111122223333/ci-bot/AKIA0000000000000001/rotate-ahead/2026-11-22");
        let tomorrow = now() + chrono::TimeDelta::days(1);
        assert!(!ids.contains(&id(Mode::Enforced, tomorrow, &notice(NoticeKind::Deleted))));
    }
}
