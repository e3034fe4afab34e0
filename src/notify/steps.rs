//! What the reader of a notice can do about it, with the commands for it. Pure.
//!
//! Commands are made of values whose characters mean nothing to a shell: user names, key ids and the names of groups
//! and secrets are checked where they enter; what else is in an ARN is checked here.

use serde::Serialize;

use super::Mode;
use super::phrases::day;
use crate::keys::SecretArn;
use crate::lifecycle::{CancelReason, Notice, NoticeKind};
use crate::settings::Periods;

/// One thing to do or to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Step {
    /// A sentence.
    pub(super) text: String,
    /// The command that does it; empty where there is none.
    pub(super) command: String,
}

impl Step {
    fn say(text: impl Into<String>) -> Self {
        Self { text: text.into(), command: String::new() }
    }

    fn run(text: impl Into<String>, command: String) -> Self {
        Self { text: text.into(), command }
    }
}

/// What to do about one notice.
pub(super) fn steps(notice: &Notice, mode: Mode, periods: &Periods, exemption_group: &str) -> Vec<Step> {
    let about = About { notice, periods, exemption_group };
    let planned = mode == Mode::DryRun;
    match &notice.kind {
        NoticeKind::RotationAhead { .. } | NoticeKind::RotationDue { .. } => {
            vec![about.after_rotation(mode), about.exempt()]
        }
        NoticeKind::RotationUnfinished { .. } | NoticeKind::RotationFailed { .. } => about.get_rotation_going(),
        NoticeKind::Rotated { .. } => {
            vec![about.fetch("As the user itself, fetch the new key, and install it wherever the old one is used.")]
        }
        NoticeKind::StillInUse { .. } | NoticeKind::DisableAhead { .. } => {
            vec![about.fetch("Find what still uses this key, and give it the user's current key."), about.exempt()]
        }
        NoticeKind::Retiring { disable_at: Some(_), .. } => {
            vec![
                Step::say(
                    "Give whatever uses this key the user's other key, or the new one from the secret once that one \
                     is rotated.",
                ),
                about.exempt(),
            ]
        }
        NoticeKind::Retiring { disable_at: None, .. } => {
            vec![Step::say("It is inactive, so nothing uses it."), about.exempt()]
        }
        NoticeKind::Disabled { .. } if planned => vec![nothing_yet(), about.exempt()],
        NoticeKind::Disabled { delete_at, .. } => vec![
            about.enable(&format!("If something stopped working, enable the key again before {}.", day(*delete_at))),
            about.fetch("Then replace it by the user's current key."),
        ],
        NoticeKind::DeleteAhead { .. } | NoticeKind::LastCall { .. } => vec![
            about.enable("A deleted key cannot be brought back. If something needs it, enable it before that."),
            about.fetch("Then replace it by the user's current key."),
        ],
        NoticeKind::Deleted if planned => vec![
            nothing_yet(),
            about.enable("A deleted key cannot be brought back. If something needs it, enable it before that."),
        ],
        NoticeKind::Deleted => vec![about.fetch("It cannot be brought back. The user's current key is in the secret.")],
        NoticeKind::Reactivated { disable_at } => vec![about.fetch(&format!(
            "Replace it by the user's current key before {}; then this one is not needed any more.",
            day(*disable_at)
        ))],
        NoticeKind::ScheduleCancelled(reason) => about.after_cancelling(*reason),
        NoticeKind::SecretDeleted if planned => vec![nothing_yet()],
        NoticeKind::SecretDeleted => vec![about.restore_secret()],
    }
}

struct About<'a> {
    notice: &'a Notice,
    periods: &'a Periods,
    exemption_group: &'a str,
}

impl About<'_> {
    /// `command` of Secrets Manager for the notice's secret; nothing without an ARN that is keywheel's.
    fn secret_command(&self, command: &str, rest: &str) -> String {
        let arn = self.notice.secret_arn.as_deref().filter(|arn| arn.parse::<SecretArn>().is_ok());
        let part = |position| arn.and_then(|arn| arn.split(':').nth(position)).filter(|part| is_lower_case_name(part));
        match (arn, part(1), part(3)) {
            (Some(arn), Some(_partition), Some(region)) => {
                format!("aws secretsmanager {command} --secret-id {arn} --region {region}{rest}")
            }
            _ => String::new(),
        }
    }

    fn fetch(&self, text: &str) -> Step {
        Step::run(text, self.secret_command("get-secret-value", " --query SecretString --output text"))
    }

    fn restore_secret(&self) -> Step {
        let command = self.secret_command("restore-secret", "");
        Step::run("If the secret is still needed, restore it before Secrets Manager deletes it.", command)
    }

    fn enable(&self, text: &str) -> Step {
        let command = format!(
            "aws iam update-access-key --user-name {} --access-key-id {} --status Active",
            self.notice.user.name, self.notice.key
        );
        Step::run(text, command)
    }

    fn after_rotation(&self, mode: Mode) -> Step {
        let (will, days) = (mode.will(), self.periods.installation_grace.num_days());
        Step::say(format!(
            "The new key {will} be in the user's secret in Secrets Manager. From then on there {will} be {days} days \
             to install it, until the old key is disabled."
        ))
    }

    fn exempt(&self) -> Step {
        let (group, user) = (self.exemption_group, &self.notice.user.name);
        Step::run(
            format!("To leave the user out of rotation, add it to the group {group} of its account."),
            format!("aws iam add-user-to-group --group-name {group} --user-name {user}"),
        )
    }

    fn get_rotation_going(&self) -> Vec<Step> {
        let user = &self.notice.user.name;
        vec![
            Step::run(
                "Most often both places for keys are taken. List the user's keys, and delete the one that nothing uses.",
                format!("aws iam list-access-keys --user-name {user}"),
            ),
            Step::run(
                "Then rotate again, or leave it to Secrets Manager, which tries by itself. The log of the rotation \
                 function says more.",
                self.secret_command("rotate-secret", ""),
            ),
        ]
    }

    fn after_cancelling(&self, reason: CancelReason) -> Vec<Step> {
        let (group, user) = (self.exemption_group, &self.notice.user.name);
        match reason {
            CancelReason::Exempt => vec![Step::run(
                format!("To have it rotated again, take the user out of the group {group}."),
                format!("aws iam remove-user-from-group --group-name {group} --user-name {user}"),
            )],
            CancelReason::NoActiveKey => {
                vec![Step::say("Rotation starts again by itself once the user has an active key.")]
            }
            CancelReason::UserGone => vec![Step::say("There is nothing to do.")],
        }
    }
}

fn nothing_yet() -> Step {
    Step::say("Nothing was changed: this happens once keywheel runs without its dry run.")
}

/// The shape of partitions and Regions.
fn is_lower_case_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::{key, notice, settings};

    fn commands(secret_arn: Option<&str>) -> Vec<String> {
        let kind = NoticeKind::Rotated { old_key: Some(key(2)), disable_at: None };
        let notice = Notice { secret_arn: secret_arn.map(str::to_owned), ..notice(kind) };
        let steps = steps(&notice, Mode::Enforced, &settings(&[]).periods, "exempt");
        steps.into_iter().map(|step| step.command).collect()
    }

    #[test]
    fn the_command_that_fetches_a_key_asks_the_secret_s_region() {
        let arn =
            "arn:aws-cn:secretsmanager:cn-north-1:999988887777:secret:Account_111122223333_User_a/2Cb_AccessKey-a1B2c3";
        let command = format!(
            "aws secretsmanager get-secret-value --secret-id {arn} --region cn-north-1 --query SecretString --output text"
        );
        assert_eq!(commands(Some(arn)), [command]);
    }

    #[test]
    fn what_is_no_arn_of_ours_becomes_no_command() {
        let name = "999988887777:secret:Account_111122223333_User_a_AccessKey-a1B2c3";
        for arn in [
            format!("arn:aws:secretsmanager:us-east-1;id:{name}"),
            format!("arn:$(id):secretsmanager:us-east-1:{name}"),
            "arn:aws:secretsmanager:us-east-1:999988887777:secret:other-a1B2c3".to_owned(),
        ] {
            assert_eq!(commands(Some(&arn)), [""], "{arn}");
        }
        assert_eq!(commands(None), [""]);
    }
}
