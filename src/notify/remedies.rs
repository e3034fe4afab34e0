//! Remedies for a rotation that failed or does not finish, by its cause. Pure.

use super::commands::Commands;
use super::instruction::Instruction;
use crate::keys::VersionId;
use crate::state::{FailedStep, FailureCause as Cause};

/// Returns what to do about a failed step, then how to undo it. `failed` is `None` if the cause is unknown.
pub(super) fn remedies(commands: &Commands<'_>, failed: Option<&FailedStep>) -> Vec<Instruction> {
    let mut steps = match failed {
        Some(failed) => for_cause(commands, failed),
        None => vec![
            commands.list_keys(
                "Check whether the user already has two keys, the most frequent reason for a failed rotation.",
            ),
            again(
                commands,
                "Rotate again, or wait: Secrets Manager tries again by itself. The log of the rotation function has \
                 the details.",
            ),
        ],
    };
    steps.push(Instruction::say("There is nothing to undo: the user's keys work as before.").undoing());
    if failed.is_some_and(|failed| failed.cause == Cause::NoFreeSlot) {
        let command = commands.secret_command("untag-resource", " --tag-keys keywheel:force");
        steps.push(
            Instruction::run("To cancel the order to retire a key, remove the tag before the rotation.", command)
                .undoing(),
        );
    }
    steps
}

fn for_cause(commands: &Commands<'_>, failed: &FailedStep) -> Vec<Instruction> {
    match failed.cause {
        Cause::NoFreeSlot => no_free_slot(commands),
        Cause::UserExempt => vec![Instruction::say(
            "There is nothing to do: the user is in the exemption group, and the next sweep cancels the secret's \
             schedule. To rotate the key all the same, remove the user from the group first.",
        )],
        Cause::NoActiveKey => vec![
            commands.list_keys(
                "All keys of the user are inactive, and keywheel makes no key for an inactive user. List the keys.",
            ),
            Instruction::say("If the user is still needed, enable the key that it should use."),
        ],
        Cause::UserGone => vec![Instruction::say(
            "There is nothing to do: the user no longer exists, and the next sweep takes care of the secret.",
        )],
        Cause::PendingKeyUnusable => vec![
            Instruction::run(
                "The key of an earlier attempt was deleted or disabled before it became current. An administrator of the \
                 account that holds the secrets clears that attempt.",
                clear_attempt(commands, &failed.version),
            ),
            again(commands, "Then rotate again."),
        ],
        Cause::KeyNotUsableYet => vec![
            Instruction::say(
                "Wait: Secrets Manager tries again by itself. A new key can need minutes to work everywhere. If this \
                 lasts for hours, the team that runs keywheel checks that the rotation function can reach STS: a \
                 policy of a VPC endpoint can refuse the call, and a policy of the user cannot.",
            ),
            again(commands, "To try at once, rotate again."),
        ],
        Cause::KmsKeyUnusable => vec![
            Instruction::say(
                "The KMS key of the secret cannot be used. The team that runs keywheel checks that the key is enabled, \
                 and that its policy lets the rotation function's role encrypt and decrypt with it.",
            ),
            again(commands, "Then rotate again."),
        ],
        Cause::MemberRoleDenied => vec![
            Instruction::say(format!(
                "The rotation function cannot assume its role in account {}. The team that runs keywheel deploys the \
                 member template there, and checks that no service control policy denies the role.",
                commands.notice.user.account
            )),
            again(commands, "Then rotate again."),
        ],
        Cause::DeniedByIam | Cause::DeniedBySecretsManager => vec![
            Instruction::say(
                "A permission is missing. The team that runs keywheel finds the call in the log of the rotation function, \
                 compares the function's roles with its templates, and looks for a service control policy.",
            ),
            again(commands, "Then rotate again."),
        ],
        Cause::Throttled
        | Cause::NoAnswer
        | Cause::NoPendingValue
        | Cause::NoCurrentValue
        | Cause::CurrentKeyNotListed
        | Cause::AnnouncementTooSlow => vec![
            Instruction::say("Wait: this problem usually ends by itself, and Secrets Manager tries again."),
            again(commands, "To try at once, rotate again."),
        ],
        Cause::ForeignValue => vec![
            Instruction::say(
                "The secret holds a value that is not a key of this user, and keywheel does not overwrite it. Put a key of \
                 the user back, or delete the secret with --force-delete-without-recovery: the next sweep makes a new \
                 secret.",
            ),
            again(commands, "Then rotate again."),
        ],
        Cause::ForeignKmsKey | Cause::ForeignPolicy => vec![
            Instruction::say(
                "No new key is made, because others might read it. The next run of keywheel repairs the secret. The team \
                 that runs keywheel finds out who changed it, in the trail of the account that holds the secrets.",
            ),
            again(commands, "After the repair, rotate again, or wait: Secrets Manager tries again by itself."),
        ],
        Cause::WrongIdentity | Cause::AwsCallFailed => vec![
            Instruction::say(
                "The team that runs keywheel finds the error and its remedy in the log of the rotation function. Forward \
                 this message to it.",
            ),
            again(commands, "After the repair, rotate again."),
        ],
    }
}

fn clear_attempt(commands: &Commands<'_>, version: &VersionId) -> String {
    let label = format!(" --version-stage AWSPENDING --remove-from-version-id {version}");
    commands.secret_command("update-secret-version-stage", &label)
}

fn no_free_slot(commands: &Commands<'_>) -> Vec<Instruction> {
    vec![
        commands.list_keys("Find the key of the user that nothing uses. IAM allows a user two access keys."),
        Instruction::say(
            "Disable that key in IAM. Wait until you are sure that everything still works, then delete it.",
        ),
        again(commands, "Then rotate again, or wait: Secrets Manager tries again by itself."),
        Instruction::run(
            "Only if a key was stolen: tag the secret and rotate again. The key that is not in the secret is then \
             retired at once.",
            commands.secret_command("tag-resource", " --tags Key=keywheel:force,Value=true"),
        ),
    ]
}

fn again(commands: &Commands<'_>, text: &str) -> Instruction {
    Instruction::run(text, commands.secret_command("rotate-secret", ""))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::notify::Mode;
    use crate::notify::fixtures::{notice, now, settings};
    use crate::notify::frame::Addressee;
    use crate::state::Step;
    use crate::testing::version;

    fn failed(cause: Cause) -> FailedStep {
        FailedStep::new(cause, Step::CreateSecret, &version(1), now())
    }

    #[test]
    fn on_aws_b1_each_cause_has_remedies() {
        let settings = settings(&[]);
        let notice = notice(crate::lifecycle::NoticeKind::RotationAbandoned);
        let commands = Commands {
            notice: &notice,
            mode: Mode::Enforced,
            periods: &settings.periods,
            exemption_group: "exempt",
            addressee: Addressee::Account,
        };
        let of = |cause| remedies(&commands, Some(&failed(cause)));
        let distinct: BTreeSet<String> = Cause::ALL
            .into_iter()
            .map(|cause| of(cause).iter().map(|step| step.text.as_str()).collect())
            .chain([remedies(&commands, None).iter().map(|step| step.text.as_str()).collect()])
            .collect();
        assert!(distinct.len() >= 12, "{distinct:#?}");
        let slot = of(Cause::NoFreeSlot);
        assert!(slot.iter().any(|step| step.command.ends_with("--tags Key=keywheel:force,Value=true")));
        assert!(slot.iter().any(|step| step.undo && step.command.ends_with("--tag-keys keywheel:force")));
        let cleared = of(Cause::PendingKeyUnusable).remove(0).command;
        assert!(cleared.ends_with(&format!("AWSPENDING --remove-from-version-id {}", version(1))), "{cleared}");
    }
}
