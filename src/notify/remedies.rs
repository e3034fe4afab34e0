//! Remedies for a rotation that failed or does not finish, by its cause. Pure.

use super::cause::Cause;
use super::commands::Commands;
use super::instruction::Instruction;

/// Returns what to do about a failure with this reason, then how to undo that.
pub(super) fn remedies(commands: &Commands<'_>, reason: &str) -> Vec<Instruction> {
    let cause = Cause::of(reason, commands.notice.user.name.as_str());
    let mut steps = match cause {
        Cause::NoFreeSlot => no_free_slot(commands),
        Cause::Exempt => vec![Instruction::say(
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
        Cause::DryRun => vec![Instruction::say(
            "Nothing was changed: this is a dry run. To have keys rotated, the team that runs keywheel sets DRY_RUN_FLAG \
             to false.",
        )],
        Cause::PendingKey => vec![
            Instruction::say(
                "The key of an earlier attempt was deleted or disabled before it became current. The reason contains the \
                 command that clears the attempt. An administrator of the account that holds the secrets runs it.",
            ),
            again(commands, "Then rotate again."),
        ],
        Cause::NotUsableYet => vec![
            Instruction::say(
                "Wait: Secrets Manager tries again by itself. A new key can need minutes to work everywhere. If this \
                 lasts for hours, the team that runs keywheel checks that the rotation function can reach STS: a \
                 policy of a VPC endpoint can refuse the call, and a policy of the user cannot.",
            ),
            again(commands, "To try at once, rotate again."),
        ],
        Cause::Kms => vec![
            Instruction::say(
                "The KMS key of the secret cannot be used. The team that runs keywheel checks that the key is enabled, \
                 and that its policy lets the rotation function's role encrypt and decrypt with it.",
            ),
            again(commands, "Then rotate again."),
        ],
        Cause::MemberRole => vec![
            Instruction::say(format!(
                "The rotation function cannot assume its role in account {}. The team that runs keywheel deploys the \
                 member template there, and checks that no service control policy denies the role.",
                commands.notice.user.account
            )),
            again(commands, "Then rotate again."),
        ],
        Cause::Denied => vec![
            Instruction::say(
                "A permission is missing, and the reason names the call. The team that runs keywheel compares the \
                 function's roles with its templates, and looks for a permissions boundary or a service control policy.",
            ),
            again(commands, "Then rotate again."),
        ],
        Cause::Throttled | Cause::Passing => vec![
            Instruction::say("Wait: this problem usually ends by itself, and Secrets Manager tries again."),
            again(commands, "To try at once, rotate again."),
        ],
        Cause::ForeignValue => vec![
            Instruction::say(
                "The secret holds a value that is not a key of this user, and keywheel does not overwrite it. Put a key of \
                 the user back, or have the secret deleted, so that the next sweep makes a new secret.",
            ),
            again(commands, "Then rotate again."),
        ],
        Cause::Installation => vec![
            Instruction::say(
                "The problem is in keywheel's own installation. Forward this message to the team that runs keywheel.",
            ),
            again(commands, "After the repair, rotate again."),
        ],
        Cause::Unknown => vec![
            commands.list_keys("Check whether the user already has two keys. That is the most frequent reason."),
            again(
                commands,
                "Rotate again, or wait: Secrets Manager tries again by itself. The log of the rotation function has \
                 the details.",
            ),
        ],
    };
    steps.push(Instruction::say("There is nothing to undo: the user's keys work as before.").undoing());
    if cause == Cause::NoFreeSlot {
        let command = commands.secret_command("untag-resource", " --tag-keys keywheel:force");
        steps.push(
            Instruction::run("To cancel the order to retire a key, remove the tag before the rotation.", command)
                .undoing(),
        );
    }
    steps
}

fn no_free_slot(commands: &Commands<'_>) -> Vec<Instruction> {
    vec![
        commands.list_keys(
            "The user already has two access keys, and IAM allows no third. Find the key that nothing uses.",
        ),
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
    use super::*;
    use crate::lifecycle::NoticeKind;
    use crate::notify::Mode;
    use crate::notify::cause::tests::errors;
    use crate::notify::fixtures::{notice, settings};

    #[test]
    fn each_cause_has_remedies_of_its_own() {
        let settings = settings(&[]);
        let notice = notice(NoticeKind::RotationFailed { reason: String::new() });
        let commands =
            Commands { notice: &notice, mode: Mode::Enforced, periods: &settings.periods, exemption_group: "exempt" };
        let remedies_of_all: std::collections::BTreeSet<String> = errors()
            .into_iter()
            .map(|(error, _)| remedies(&commands, &error.to_string()).iter().map(|step| step.text.as_str()).collect())
            .collect();
        let causes: Vec<Cause> = errors().into_iter().map(|(_, cause)| cause).collect();
        let distinct = causes.iter().enumerate().filter(|(place, cause)| !causes[..*place].contains(cause)).count();
        assert_eq!(remedies_of_all.len(), distinct);
        let slot = remedies(&commands, "NoFreeSlot");
        assert!(slot.iter().any(|step| step.command.ends_with("--tags Key=keywheel:force,Value=true")));
        assert!(slot.iter().any(|step| step.undo && step.command.ends_with("--tag-keys keywheel:force")));
    }
}
