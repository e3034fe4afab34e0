//! The remedy that each notice offers its reader, and how to undo it. Pure.

use super::commands::{Commands, last_used};
use super::frame::Addressee;
use super::instruction::Instruction;
use super::mode::Mode;
use super::phrases::{counted, day};
use super::remedies::remedies;
use crate::keys::{AccessKeyId, KeyUse};
use crate::lifecycle::{CancelReason, Notice, NoticeDate, NoticeKind, ReadObstacle};
use crate::settings::Periods;

/// Returns the instructions for one notice, then those that stop or undo it. There is at least one of each.
pub(super) fn guidance(
    notice: &Notice,
    mode: Mode,
    periods: &Periods,
    exemption_group: &str,
    addressee: Addressee,
) -> Vec<Instruction> {
    let commands = Commands { notice, mode, periods, exemption_group, addressee };
    let mut instructions = commands.instructions();
    for undo in [false, true] {
        for (place, step) in instructions.iter_mut().filter(|step| step.undo == undo).enumerate() {
            step.number = place + 1;
        }
    }
    instructions
}

impl Commands<'_> {
    fn instructions(&self) -> Vec<Instruction> {
        let planned = self.mode == Mode::DryRun;
        match &self.notice.kind {
            NoticeKind::RotationAhead { .. } | NoticeKind::RotationDue { .. } => self.before_rotation(),
            NoticeKind::RotationUnfinished { .. } => remedies(self, None),
            NoticeKind::RotationFailed { failed, .. } => remedies(self, failed.as_ref()),
            NoticeKind::RotationTestFailed { failed } => without_rotation(remedies(self, failed.as_ref())),
            NoticeKind::RotationAbandoned => self.after_abandoning(),
            NoticeKind::Rotated { old_key, disable_at, forced: _ } => {
                self.after_rotation(old_key.as_ref(), *disable_at)
            }
            NoticeKind::Forced => vec![
                self.fetch(
                    "Find out at once whether a program still needs this key, and give it the user's current key. If \
                     the program read the secret with the deleted key, use the user's other key for that.",
                ),
                last_used(&self.notice.key),
                Instruction::say("This cannot be undone: IAM cannot restore a deleted key.").undoing(),
            ],
            NoticeKind::StillInUse { last_use, .. } => self.before_disabling(Some(last_use)),
            NoticeKind::DisableAhead { last_use, .. } => self.before_disabling(last_use.as_ref()),
            NoticeKind::Retiring { disable_at: Some(_), .. } => vec![
                Instruction::say(
                    "Replace this key wherever it is used: now with the user's other key, or after the rotation with the \
                     new key from the secret.",
                ),
                last_used(&self.notice.key),
                self.exempt("To keep both keys, exempt the user from rotation."),
            ],
            NoticeKind::Retiring { disable_at: None, .. } => vec![
                Instruction::say("There is nothing to do: the key is inactive, so nothing can use it."),
                self.exempt("To keep both keys, exempt the user from rotation."),
            ],
            NoticeKind::Disabled { .. } if planned => {
                vec![nothing_yet(), self.exempt("To keep the key, exempt the user from rotation before that.")]
            }
            NoticeKind::Disabled { delete_at, last_use } => self.after_disabling(*delete_at, last_use.as_ref()),
            NoticeKind::DeleteAhead { at } | NoticeKind::LastCall { at } => vec![
                Instruction::say("If everything still works, there is nothing to do."),
                self.fetch("If something stopped working, give it the user's current key."),
                self.enable(&format!(
                    "A deleted key cannot be restored. If something still needs this key, enable it before {}. Its grace \
                     period then starts again.",
                    day(at.at())
                )),
            ],
            NoticeKind::Deleted if planned => vec![
                nothing_yet(),
                self.enable("A deleted key cannot be restored. If something still needs this key, enable it before that."),
            ],
            NoticeKind::Deleted => vec![
                self.fetch("If something still needs this key, give it the user's current key."),
                Instruction::say("This cannot be undone: IAM cannot restore a deleted key.").undoing(),
            ],
            NoticeKind::Reactivated { disable_at } => vec![
                self.fetch(&format!("Replace this key with the user's current key before {}.", day(disable_at.at()))),
                self.set_status("Inactive", "If it was enabled by mistake, disable it.").undoing(),
            ],
            NoticeKind::ScheduleCancelled(reason) => self.after_cancelling(*reason),
            NoticeKind::SecretDeleted if planned => vec![nothing_yet(), nothing_to_undo()],
            NoticeKind::SecretDeleted => {
                let command = self.secret_command("restore-secret", "");
                vec![
                    Instruction::say("If nothing reads the secret, there is nothing to do."),
                    Instruction::run("If the secret is still needed, restore it before Secrets Manager deletes it.", command)
                        .undoing(),
                ]
            }
        }
    }

    fn before_rotation(&self) -> Vec<Instruction> {
        let (will, period) = (self.mode.will(), days(self.periods.installation_grace));
        let mut instructions = vec![Instruction::say(format!(
            "There is nothing to do yet. The new key {will} be in the user's secret in Secrets Manager. You {will} then \
             have {period} to install it before the old key is disabled."
        ))];
        if self.secret().is_some() {
            instructions.push(self.fetch(
                "After the rotation, the user fetches the new key with its own credentials. Before the first rotation, \
                 the secret holds a placeholder.",
            ));
        }
        instructions.push(self.exempt("To keep the key as it is, exempt the user from rotation."));
        instructions
    }

    fn after_rotation(&self, old_key: Option<&AccessKeyId>, disable_at: Option<NoticeDate>) -> Vec<Instruction> {
        let fetch = "Fetch the new key with the user's own credentials, and install it wherever the old key is used.";
        let mut instructions = vec![self.fetch(fetch)];
        let Some(old) = old_key else {
            instructions.push(Instruction::say("There is nothing to undo: no key was removed.").undoing());
            return instructions;
        };
        instructions
            .push(Instruction { text: "Then check that nothing uses the old key.".to_owned(), ..last_used(old) });
        let undo = match (self.mode, disable_at) {
            (Mode::Enforced, Some(at)) => {
                format!(
                    "There is nothing to undo: the old key {old} works until {}. If the new key causes problems, use the \
                     old key until then.",
                    day(at.at())
                )
            }
            _ => format!("There is nothing to undo: the old key {old} still works."),
        };
        instructions.push(Instruction::say(undo).undoing());
        if disable_at.is_some() {
            instructions.push(self.exempt("To keep the old key longer, exempt the user from rotation."));
        }
        instructions
    }

    fn before_disabling(&self, last_use: Option<&KeyUse>) -> Vec<Instruction> {
        let period = days(self.periods.recovery_grace);
        let (can, contains) =
            if self.mode == Mode::Enforced { ("can", "contains") } else { ("could", "would contain") };
        let mut instructions = vec![match last_use {
            Some(last_use) => self.trail(last_use),
            None => last_used(&self.notice.key),
        }];
        instructions.push(self.fetch("Replace this key with the user's current key wherever it is still used."));
        instructions.push(
            Instruction::say(format!(
                "Disabling {can} be undone for {period}. The message that reports it {contains} the command."
            ))
            .undoing(),
        );
        instructions.push(self.exempt("To keep the key, exempt the user from rotation before that."));
        instructions
    }

    fn after_disabling(&self, delete_at: NoticeDate, last_use: Option<&KeyUse>) -> Vec<Instruction> {
        let mut instructions: Vec<Instruction> = last_use.map(|last_use| self.trail(last_use)).into_iter().collect();
        instructions.push(self.fetch("Install the user's current key in every program that stopped working."));
        instructions.push(self.enable(&format!(
            "If you need more time, enable the key again before {}. It works as before, and its grace period starts again.",
            day(delete_at.at())
        )));
        instructions
    }

    fn after_abandoning(&self) -> Vec<Instruction> {
        vec![
            Instruction::say(
                "If the value was put on purpose, there is nothing to do: the user's keys work as before, and the next \
                 rotation replaces it when it is due.",
            ),
            Instruction::run(
                "To have a new key in the secret now, rotate again.",
                self.secret_command("rotate-secret", ""),
            ),
            Instruction::say("To undo it, put the value back that was there before.").undoing(),
        ]
    }

    fn after_cancelling(&self, reason: CancelReason) -> Vec<Instruction> {
        let (group, user) = (self.exemption_group, &self.notice.user.name);
        match reason {
            CancelReason::Exempt => vec![
                Instruction::say(
                    "There is nothing to do. While the user is in the exemption group, its owner replaces its keys.",
                ),
                Instruction::run(
                    format!("To have its keys rotated again, remove the user from the group {group} {}.", self.place()),
                    format!("aws iam remove-user-from-group --group-name {group} --user-name {user}"),
                )
                .undoing(),
            ],
            CancelReason::NoActiveKey => vec![
                Instruction::say(
                    "There is nothing to do. Rotation starts again by itself when the user has an active key.",
                ),
                self.enable("If this key is still needed, enable it."),
            ],
            CancelReason::UserRenamed => vec![
                Instruction::say(
                    "Let programs read the secret of the new name from now on. After the next rotation it holds the new \
                     key; until then it holds a placeholder. If a program lacks its current key, an administrator of \
                     the account that holds the secrets can still read it in this secret.",
                ),
                Instruction::say("To undo, give the user its old name back.").undoing(),
            ],
            CancelReason::AccountDeparted => vec![
                Instruction::say(
                    "There is nothing to do if the account is not needed any more. If a value is still needed, an \
                     administrator of the account that holds the secrets can read it until the secret is gone.",
                ),
                Instruction::say(
                    "To undo, reopen the account, or let it join the organization again. The next daily run rotates again.",
                )
                .undoing(),
            ],
            CancelReason::UserGone => vec![Instruction::say("There is nothing to do."), nothing_to_undo()],
            CancelReason::Unreadable(ReadObstacle::ManagedKey) => vec![
                Instruction::say(
                    "The team that runs keywheel sets SECRETS_KMS_KEY_ID to the ARN of a customer managed key. Rotation then starts \
                     again by itself.",
                ),
                nothing_to_undo(),
            ],
            CancelReason::Unreadable(ReadObstacle::NoRoomInGroups) => vec![
                Instruction::run(
                    format!(
                        "Take the user out of a group that it does not need {}. The next daily run adds it to the group \
                         that may read the secret, and rotation starts again by itself. List its groups.",
                        self.place()
                    ),
                    format!("aws iam list-groups-for-user --user-name {user}"),
                ),
                nothing_to_undo(),
            ],
        }
    }
}

/// Leaves out the instructions to rotate: nothing is due yet.
fn without_rotation(instructions: Vec<Instruction>) -> Vec<Instruction> {
    instructions.into_iter().filter(|step| !step.command.contains(" rotate-secret ")).collect()
}

fn days(period: chrono::TimeDelta) -> String {
    counted(usize::try_from(period.num_days()).unwrap_or_default(), "day")
}

fn nothing_yet() -> Instruction {
    Instruction::say("There is nothing to do yet. This would happen if keywheel ran without dry run.")
}

fn nothing_to_undo() -> Instruction {
    Instruction::say("There is nothing to undo.").undoing()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::commands::{INTO_FILE_BEGIN, INTO_FILE_END};
    use crate::notify::fixtures::{key, kinds, notice, settings};
    use crate::notify::samples;

    fn instructions_for(notice: &Notice, mode: Mode) -> Vec<Instruction> {
        guidance(notice, mode, &settings(&[]).periods, "exempt", Addressee::Account)
    }

    fn fetching(secret_arn: Option<&str>) -> Instruction {
        let kind = NoticeKind::Rotated { old_key: None, disable_at: None, forced: None };
        let notice = Notice { secret_arn: secret_arn.map(str::to_owned), ..notice(kind) };
        instructions_for(&notice, Mode::Enforced).remove(0)
    }

    #[test]
    fn commands_that_fetch_a_key_use_the_region_of_the_secret() {
        let arn =
            "arn:aws-cn:secretsmanager:cn-north-1:999988887777:secret:Account_111122223333_User_a/2Cb_AccessKey-a1B2c3";
        let step = fetching(Some(arn));
        assert_eq!(
            step.command,
            format!(
                "(umask 077; set -C; aws secretsmanager get-secret-value --secret-id {arn} --region cn-north-1 --query \
                 SecretString --output text > new-access-key)"
            )
        );
        assert!(step.snippet.contains("region_name=\"cn-north-1\"") && step.snippet.contains(&format!("\"{arn}\"")));
    }

    #[test]
    fn a_foreign_arn_gets_no_command() {
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
    fn every_notice_has_instructions_and_how_to_undo_them() {
        for (name, kind) in kinds() {
            for mode in [Mode::Enforced, Mode::DryRun] {
                for notice in [notice(kind.clone()), Notice { secret_arn: None, ..notice(kind.clone()) }] {
                    let instructions = instructions_for(&notice, mode);
                    assert!(instructions.iter().any(|step| step.undo), "{name}");
                    assert!(instructions.iter().any(|step| !step.undo), "{name}");
                    assert!(instructions.is_sorted_by_key(|step| step.undo), "{name}: undoing comes last");
                    for undo in [false, true] {
                        let numbers: Vec<usize> =
                            instructions.iter().filter(|step| step.undo == undo).map(|step| step.number).collect();
                        assert!(numbers.iter().copied().eq(1..=numbers.len()), "{name}: {numbers:?}");
                    }
                }
            }
        }
    }

    /// Whether a shell takes the character literally.
    fn is_plain(c: char) -> bool {
        c.is_ascii_alphanumeric() || " -_=+.,:/@".contains(c)
    }

    #[test]
    fn no_command_contains_a_special_character_of_a_shell() {
        let regions = ["us-east-1", "us-east-1; rm -rf /", "$(id)", "Global", "N/A", ""];
        for region in regions {
            let last_use = KeyUse { time: samples::now(), service: "`id`".to_owned(), region: region.to_owned() };
            let in_use = NoticeKind::StillInUse { last_use, disable_at: NoticeDate::On(samples::now()) };
            let kinds = kinds().into_iter().map(|(_, kind)| kind);
            for kind in kinds.chain([in_use]) {
                for step in instructions_for(&notice(kind), Mode::Enforced) {
                    let fetched = step.command.strip_prefix(INTO_FILE_BEGIN);
                    let command =
                        fetched.and_then(|command| command.strip_suffix(INTO_FILE_END)).unwrap_or(&step.command);
                    assert!(command.chars().all(is_plain), "{}", step.command);
                    assert!(step.snippet.chars().all(|c| is_plain(c) || "\n\"()[]".contains(c)), "{}", step.snippet);
                }
            }
        }
    }

    #[test]
    fn on_aws_b9_mails_say_to_restart_and_name_no_process() {
        let mut fetching = 0;
        for (name, kind) in kinds() {
            for mode in [Mode::Enforced, Mode::DryRun] {
                for step in instructions_for(&notice(kind.clone()), mode) {
                    let all = format!("{} {} {}", step.text, step.command, step.snippet);
                    assert!(!all.contains("credential_process") && !all.contains("each time"), "{name}: {all}");
                    if step.command.contains("get-secret-value") {
                        fetching += 1;
                        assert!(step.text.contains("in the profile that fetches it"), "{name}: {}", step.text);
                        assert!(step.text.contains("restart the programs"), "{name}: {}", step.text);
                    }
                }
            }
        }
        assert!(fetching > 10, "{fetching} instructions fetch a key");
    }

    #[test]
    fn the_last_use_of_the_old_key_is_read_by_its_own_id() {
        let kind = NoticeKind::Rotated { old_key: Some(key(2)), disable_at: None, forced: None };
        let commands: Vec<String> =
            instructions_for(&notice(kind), Mode::Enforced).into_iter().map(|step| step.command).collect();
        assert!(commands.contains(&format!("aws iam get-access-key-last-used --access-key-id {}", key(2))));
    }

    #[test]
    fn nobody_gains_15_no_command_prints_a_secret() {
        for (name, kind) in kinds() {
            for mode in [Mode::Enforced, Mode::DryRun] {
                for step in instructions_for(&notice(kind.clone()), mode) {
                    let prints = step.command.contains("get-secret-value") && !step.command.ends_with(INTO_FILE_END);
                    assert!(!prints && !step.command.contains("create-access-key"), "{name}: {}", step.command);
                }
            }
        }
    }
}
