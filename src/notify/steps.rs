//! What the reader of a notice can do about it, how to undo it, and the commands for both. Pure.
//!
//! Commands and snippets are made of values whose characters mean nothing to a shell or in a Python string: user names,
//! key ids and the names of groups and secrets are checked where they enter; what else is in an ARN is checked here.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Mode;
use super::advice;
use super::phrases::{counted, day};
use crate::keys::{AccessKeyId, KeyUse, SecretArn, is_arn_word};
use crate::lifecycle::{CancelReason, Notice, NoticeKind};
use crate::settings::Periods;

/// One thing to do or to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Step {
    /// Its place among those that are to be done, or among those that undo, from 1.
    pub(super) number: usize,
    /// One or several sentences.
    pub(super) text: String,
    /// The command of the AWS CLI that does it; empty where there is none.
    pub(super) command: String,
    /// The same with boto3, in Python; empty where the command says enough.
    pub(super) snippet: String,
    /// Whether it stops or undoes what the notice tells of.
    pub(super) undo: bool,
}

impl Step {
    pub(super) fn say(text: impl Into<String>) -> Self {
        Self::run(text, String::new())
    }

    pub(super) fn run(text: impl Into<String>, command: String) -> Self {
        Self { number: 0, text: text.into(), command, snippet: String::new(), undo: false }
    }

    pub(super) fn undoing(self) -> Self {
        Self { undo: true, ..self }
    }
}

/// What to do about one notice, then how to stop or undo it; of both there is always something.
pub(super) fn steps(notice: &Notice, mode: Mode, periods: &Periods, exemption_group: &str) -> Vec<Step> {
    let about = About { notice, mode, periods, exemption_group };
    let mut steps = about.steps();
    for undo in [false, true] {
        for (place, step) in steps.iter_mut().filter(|step| step.undo == undo).enumerate() {
            step.number = place + 1;
        }
    }
    steps
}

/// A notice, and what the words about it depend on.
pub(super) struct About<'a> {
    pub(super) notice: &'a Notice,
    pub(super) mode: Mode,
    pub(super) periods: &'a Periods,
    pub(super) exemption_group: &'a str,
}

impl About<'_> {
    fn steps(&self) -> Vec<Step> {
        let planned = self.mode == Mode::DryRun;
        match &self.notice.kind {
            NoticeKind::RotationAhead { .. } | NoticeKind::RotationDue { .. } => self.before_rotation(),
            NoticeKind::RotationUnfinished { .. } => advice::steps(self, ""),
            NoticeKind::RotationFailed { reason } => advice::steps(self, reason),
            NoticeKind::Rotated { old_key, disable_at } => self.after_rotation(old_key.as_ref(), *disable_at),
            NoticeKind::StillInUse { last_use, .. } => self.before_disabling(Some(last_use)),
            NoticeKind::DisableAhead { last_use, .. } => self.before_disabling(last_use.as_ref()),
            NoticeKind::Retiring { disable_at: Some(_), .. } => vec![
                Step::say(
                    "Give whatever uses this key the user's other key, or the new one from the secret once that one \
                     is rotated.",
                ),
                last_used(&self.notice.key),
                self.exempt("To keep both keys, leave the user out of rotation."),
            ],
            NoticeKind::Retiring { disable_at: None, .. } => vec![
                Step::say("It is inactive, so nothing uses it, and nothing has to be done."),
                self.exempt("To keep both keys, leave the user out of rotation."),
            ],
            NoticeKind::Disabled { .. } if planned => {
                vec![nothing_yet(), self.exempt("To keep the key, leave the user out of rotation before that.")]
            }
            NoticeKind::Disabled { delete_at, last_use } => self.after_disabling(*delete_at, last_use.as_ref()),
            NoticeKind::DeleteAhead { at } | NoticeKind::LastCall { at } => vec![
                Step::say("If nothing has missed the key, nothing has to be done."),
                self.fetch("If something has, give it the user's current key."),
                self.enable(&format!(
                    "A deleted key cannot be brought back. If something still needs this one, enable it before {}; \
                     keywheel heeds that.",
                    day(*at)
                )),
            ],
            NoticeKind::Deleted if planned => vec![
                nothing_yet(),
                self.enable("A deleted key cannot be brought back. If something needs it, enable it before that."),
            ],
            NoticeKind::Deleted => vec![
                self.fetch("If something misses it, give it the user's current key."),
                Step::say("This cannot be undone: IAM does not bring a deleted key back.").undoing(),
            ],
            NoticeKind::Reactivated { disable_at } => vec![
                self.fetch(&format!(
                    "Replace it by the user's current key before {}; then this one is not needed any more.",
                    day(*disable_at)
                )),
                self.set_status("Inactive", "If it was enabled by mistake, disable it.").undoing(),
            ],
            NoticeKind::ScheduleCancelled(reason) => self.after_cancelling(*reason),
            NoticeKind::SecretDeleted if planned => vec![nothing_yet(), nothing_to_undo()],
            NoticeKind::SecretDeleted => {
                let command = self.secret_command("restore-secret", "");
                vec![
                    Step::say("If nothing reads the secret any more, nothing has to be done."),
                    Step::run("If it is still needed, restore it before Secrets Manager deletes it.", command)
                        .undoing(),
                ]
            }
        }
    }

    fn before_rotation(&self) -> Vec<Step> {
        let (will, period) = (self.mode.will(), days(self.periods.installation_grace));
        let mut steps = vec![Step::say(format!(
            "Nothing has to be done before that. The new key {will} be in the user's secret in Secrets Manager, and from \
             then on there {will} be {period} to install it, until the old key is disabled."
        ))];
        if self.secret().is_some() {
            steps.push(self.fetch(
                "Better still, let whatever uses the key read it from the secret each time, as the user itself: then no \
                 rotation asks anything of anybody. Until the first rotation the secret holds a placeholder.",
            ));
        }
        steps.push(self.exempt("To keep the key as it is, leave the user out of rotation."));
        steps
    }

    fn after_rotation(&self, old_key: Option<&AccessKeyId>, disable_at: Option<DateTime<Utc>>) -> Vec<Step> {
        let fetch = "As the user itself, fetch the new key, and install it wherever the old one is used.";
        let mut steps = vec![self.fetch(fetch)];
        let Some(old) = old_key else {
            steps.push(Step::say("There is nothing to undo: no key was taken away.").undoing());
            return steps;
        };
        steps.push(Step { text: "Then see that nothing uses the old key any more.".to_owned(), ..last_used(old) });
        let undo = match (self.mode, disable_at) {
            (Mode::Enforced, Some(at)) => {
                format!(
                    "There is nothing to undo: the old key {old} works until {}. If the new one makes trouble, go on \
                     with the old one until then.",
                    day(at)
                )
            }
            _ => format!("There is nothing to undo: the old key {old} still works."),
        };
        steps.push(Step::say(undo).undoing());
        if disable_at.is_some() {
            steps.push(self.exempt("To keep the old key for longer, leave the user out of rotation."));
        }
        steps
    }

    fn before_disabling(&self, last_use: Option<&KeyUse>) -> Vec<Step> {
        let period = days(self.periods.recovery_grace);
        let (can, has) = if self.mode == Mode::Enforced { ("can", "has") } else { ("could", "would have") };
        let mut steps = vec![match last_use {
            Some(last_use) => self.trail(last_use),
            None => last_used(&self.notice.key),
        }];
        steps.push(self.fetch("Give whatever still uses this key the user's current one."));
        steps.push(
            Step::say(format!(
                "Disabling {can} be undone for {period}: the message about it {has} the command for that."
            ))
            .undoing(),
        );
        steps.push(self.exempt("To keep the key, leave the user out of rotation before that."));
        steps
    }

    fn after_disabling(&self, delete_at: DateTime<Utc>, last_use: Option<&KeyUse>) -> Vec<Step> {
        let mut steps: Vec<Step> = last_use.map(|last_use| self.trail(last_use)).into_iter().collect();
        steps.push(self.fetch("Give whatever stopped working the user's current key."));
        steps.push(self.enable(&format!(
            "If that takes time, enable the key again before {}. It works as before, and its grace period starts anew.",
            day(delete_at)
        )));
        steps
    }

    fn after_cancelling(&self, reason: CancelReason) -> Vec<Step> {
        let (group, user) = (self.exemption_group, &self.notice.user.name);
        match reason {
            CancelReason::Exempt => vec![
                Step::say(
                    "Nothing has to be done. As long as the user is in the group, replacing its keys is left to its owner.",
                ),
                Step::run(
                    format!("To have its keys rotated again, take the user out of the group {group} {}.", self.place()),
                    format!("aws iam remove-user-from-group --group-name {group} --user-name {user}"),
                )
                .undoing(),
            ],
            CancelReason::NoActiveKey => vec![
                Step::say("Nothing has to be done. Rotation starts again by itself once the user has an active key."),
                self.enable("If this key is still needed, enable it."),
            ],
            CancelReason::UserGone => vec![Step::say("Nothing has to be done."), nothing_to_undo()],
        }
    }

    /// Where a command of IAM has to be run.
    fn place(&self) -> String {
        format!("in account {}", self.notice.user.account)
    }

    /// The secret's ARN and its Region; nothing without an ARN that is keywheel's.
    fn secret(&self) -> Option<(&str, &str)> {
        let arn = self.notice.secret_arn.as_deref().filter(|arn| arn.parse::<SecretArn>().is_ok())?;
        let part = |position| arn.split(':').nth(position).filter(|part| is_arn_word(part));
        part(1).and(part(3)).map(|region| (arn, region))
    }

    /// `command` of Secrets Manager for the notice's secret; nothing without one.
    pub(super) fn secret_command(&self, command: &str, rest: &str) -> String {
        let of = |(arn, region)| format!("aws secretsmanager {command} --secret-id {arn} --region {region}{rest}");
        self.secret().map(of).unwrap_or_default()
    }

    fn fetch(&self, text: &str) -> Step {
        let command = self.secret_command("get-secret-value", " --query SecretString --output text");
        let text = if command.is_empty() {
            format!("{text} It is in the user's secret in Secrets Manager.")
        } else {
            format!("{text} The output of the command is also what credential_process in ~/.aws/config takes.")
        };
        Step {
            snippet: self.secret().map(|(arn, region)| snippet(arn, region)).unwrap_or_default(),
            ..Step::run(text, command)
        }
    }

    pub(super) fn enable(&self, text: &str) -> Step {
        self.set_status("Active", text).undoing()
    }

    fn set_status(&self, status: &str, text: &str) -> Step {
        let (user, key) = (&self.notice.user.name, &self.notice.key);
        let command = format!("aws iam update-access-key --user-name {user} --access-key-id {key} --status {status}");
        Step::run(format!("{text} The command is for an administrator {}.", self.place()), command)
    }

    fn exempt(&self, text: &str) -> Step {
        let (group, user) = (self.exemption_group, &self.notice.user.name);
        Step::run(
            format!("{text} An administrator adds the user to the group {group} {}.", self.place()),
            format!("aws iam add-user-to-group --group-name {group} --user-name {user}"),
        )
        .undoing()
    }

    /// CloudTrail's event history names the machine; it has 90 days of management events, Region by Region.
    /// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/view-cloudtrail-events.html>
    fn trail(&self, last_use: &KeyUse) -> Step {
        let region =
            if is_arn_word(&last_use.region) { format!(" --region {}", last_use.region) } else { String::new() };
        let key = &self.notice.key;
        Step::run(
            format!(
                "Find what still uses this key. CloudTrail {} may name its address and program; calls that read or write \
                 data are not in there.",
                self.place()
            ),
            format!(
                "aws cloudtrail lookup-events --lookup-attributes AttributeKey=AccessKeyId,AttributeValue={key}{region} \
                 --max-results 20"
            ),
        )
    }

    /// The notice's user lists its keys.
    pub(super) fn list_keys(&self, text: &str) -> Step {
        let command = format!("aws iam list-access-keys --user-name {}", self.notice.user.name);
        Step::run(format!("{text} The command is for an administrator {}.", self.place()), command)
    }
}

fn days(period: chrono::TimeDelta) -> String {
    counted(usize::try_from(period.num_days()).unwrap_or_default(), "day")
}

fn last_used(key: &AccessKeyId) -> Step {
    let command = format!("aws iam get-access-key-last-used --access-key-id {key}");
    Step::run("See whether and where the key was used last.", command)
}

/// Reads a key and shows none of it.
fn snippet(arn: &str, region: &str) -> String {
    format!(
        "import json, boto3\n\
         secrets = boto3.client(\"secretsmanager\", region_name=\"{region}\")\n\
         value = secrets.get_secret_value(SecretId=\"{arn}\")\n\
         key = json.loads(value[\"SecretString\"])\n\
         session = boto3.Session(key[\"AccessKeyId\"], key[\"SecretAccessKey\"])"
    )
}

fn nothing_yet() -> Step {
    Step::say(
        "Nothing was changed, and nothing has to be done: this would happen once keywheel runs without its dry run.",
    )
}

fn nothing_to_undo() -> Step {
    Step::say("There is nothing to undo.").undoing()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::{key, kinds, notice, settings};
    use crate::notify::samples;

    fn steps_of(notice: &Notice, mode: Mode) -> Vec<Step> {
        steps(notice, mode, &settings(&[]).periods, "exempt")
    }

    fn fetching(secret_arn: Option<&str>) -> Step {
        let kind = NoticeKind::Rotated { old_key: None, disable_at: None };
        let notice = Notice { secret_arn: secret_arn.map(str::to_owned), ..notice(kind) };
        steps_of(&notice, Mode::Enforced).remove(0)
    }

    #[test]
    fn the_command_and_the_snippet_that_fetch_a_key_ask_the_secret_s_region() {
        let arn =
            "arn:aws-cn:secretsmanager:cn-north-1:999988887777:secret:Account_111122223333_User_a/2Cb_AccessKey-a1B2c3";
        let step = fetching(Some(arn));
        assert_eq!(
            step.command,
            format!(
                "aws secretsmanager get-secret-value --secret-id {arn} --region cn-north-1 --query SecretString --output text"
            )
        );
        assert!(step.snippet.contains("region_name=\"cn-north-1\"") && step.snippet.contains(&format!("\"{arn}\"")));
    }

    #[test]
    fn what_is_no_arn_of_ours_becomes_no_command() {
        let name = "999988887777:secret:Account_111122223333_User_a_AccessKey-a1B2c3";
        for arn in [
            format!("arn:aws:secretsmanager:us-east-1;id:{name}"),
            format!("arn:$(id):secretsmanager:us-east-1:{name}"),
            format!("arn:aws:secretsmanager:us\"east:{name}"),
            "arn:aws:secretsmanager:us-east-1:999988887777:secret:other-a1B2c3".to_owned(),
        ] {
            let step = fetching(Some(&arn));
            assert_eq!((step.command.as_str(), step.snippet.as_str()), ("", ""), "{arn}");
        }
        assert_eq!(fetching(None).command, "");
    }

    #[test]
    fn every_notice_says_what_to_do_and_how_to_undo_it() {
        for (name, kind) in kinds() {
            for mode in [Mode::Enforced, Mode::DryRun] {
                for notice in [notice(kind.clone()), Notice { secret_arn: None, ..notice(kind.clone()) }] {
                    let steps = steps_of(&notice, mode);
                    assert!(steps.iter().any(|step| step.undo), "{name}");
                    assert!(steps.iter().any(|step| !step.undo), "{name}");
                    assert!(steps.is_sorted_by_key(|step| step.undo), "{name}: what undoes comes last");
                    for undo in [false, true] {
                        let numbers: Vec<usize> =
                            steps.iter().filter(|step| step.undo == undo).map(|step| step.number).collect();
                        assert!(numbers.iter().copied().eq(1..=numbers.len()), "{name}: {numbers:?}");
                    }
                }
            }
        }
    }

    /// Characters that a shell leaves as they are.
    fn is_plain(c: char) -> bool {
        c.is_ascii_alphanumeric() || " -_=+.,:/@".contains(c)
    }

    #[test]
    fn no_command_holds_what_a_shell_would_read_as_something_else() {
        let regions = ["us-east-1", "us-east-1; rm -rf /", "$(id)", "Global", "N/A", ""];
        for region in regions {
            let last_use = KeyUse { time: samples::now(), service: "`id`".to_owned(), region: region.to_owned() };
            let in_use = NoticeKind::StillInUse { last_use, disable_at: samples::now() };
            let reason = "NoFreeSlot: `id` $(id) ; rm -rf /".to_owned();
            let kinds = kinds().into_iter().map(|(_, kind)| kind);
            for kind in kinds.chain([in_use, NoticeKind::RotationFailed { reason }]) {
                for step in steps_of(&notice(kind), Mode::Enforced) {
                    assert!(step.command.chars().all(is_plain), "{}", step.command);
                    assert!(step.snippet.chars().all(|c| is_plain(c) || "\n\"()[]".contains(c)), "{}", step.snippet);
                }
            }
        }
    }

    #[test]
    fn the_old_key_of_a_rotation_is_asked_for_by_its_own_id() {
        let kind = NoticeKind::Rotated { old_key: Some(key(2)), disable_at: None };
        let commands: Vec<String> =
            steps_of(&notice(kind), Mode::Enforced).into_iter().map(|step| step.command).collect();
        assert!(commands.contains(&format!("aws iam get-access-key-last-used --access-key-id {}", key(2))));
    }
}
