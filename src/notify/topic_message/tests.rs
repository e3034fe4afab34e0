//! Messages to a topic: their schema, attributes and ids.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::notify::fixtures::{contact, kinds, notice, now, templates};
use crate::state::Notified;

fn published(mode: Mode, notice: &Notice) -> (Value, TopicMessage) {
    let (account, notified) = (contact("prod\r\n", Some("prod@example.com")), Notified::default());
    let item = Addressed { notice, account: &account, notified: &notified };
    let message = topic_message(&templates(), mode, now(), &item);
    (serde_json::from_str(&message.body).unwrap(), message)
}

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../docs/notice-schema.json")).unwrap()
}

/// Lists what the schema forbids in the value, for the keywords of JSON Schema that keywheel's schema uses.
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
fn every_notice_matches_the_schema() {
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
fn violations_of_the_schema_are_found() {
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
fn every_notice_is_a_message() {
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
fn attributes_allow_filters_and_no_address_is_included() {
    let owned = Notice { owner: Some("jo@example.com".to_owned()), ..notice(NoticeKind::Deleted) };
    let (_, message) = published(Mode::DryRun, &owned);
    let attributes: Vec<_> = message.attributes.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let expected = [("phase", "deleted"), ("severity", "done"), ("account", "111122223333"), ("dry_run", "true")];
    assert_eq!(attributes, expected);
    assert!(!message.body.contains('@'), "{}", message.body);
}

#[test]
fn ids_are_the_same_only_for_the_same_notice_and_day() {
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
