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
            "Nothing has to be done: members of the exemption group are left alone, and the next sweep cancels the \
             secret's schedule. To rotate the key after all, take the user out of the group first.",
        )],
        Cause::NoActiveKey => vec![
            commands.list_keys(
                "All keys of the user are inactive, and keywheel makes none for such a user. See which there are.",
            ),
            Instruction::say("If the user is still needed, enable the key that it is to use."),
        ],
        Cause::UserGone => vec![Instruction::say(
            "Nothing has to be done: the user does not exist any more, and the next sweep sees to the secret.",
        )],
        Cause::DryRun => vec![Instruction::say(
            "Nothing was changed: keywheel runs dry. Whoever runs it sets DRY_RUN_FLAG to false to have keys rotated.",
        )],
        Cause::PendingKey => vec![
            Instruction::say(
                "The key that an earlier attempt made was taken away or disabled before it was current. The reason has the \
                 command that clears that attempt up; an administrator of the account of the secrets runs it.",
            ),
            again(commands, "Then rotate again."),
        ],
        Cause::NotUsableYet => vec![
            Instruction::say(
                "Wait: Secrets Manager tries again by itself. A new key can take minutes to work everywhere; should this \
                 come back, see whether a policy keeps the user from calling sts:GetCallerIdentity.",
            ),
            again(commands, "To try at once, rotate again."),
        ],
        Cause::Kms => vec![
            Instruction::say(
                "The KMS key of the secret cannot be used. Whoever runs keywheel sees that the key is enabled and that its \
                 policy lets the rotation function's role encrypt and decrypt with it.",
            ),
            again(commands, "Then rotate again."),
        ],
        Cause::MemberRole => vec![
            Instruction::say(format!(
                "The rotation function cannot enter account {}. Whoever runs keywheel deploys the member template there, and \
                 sees that no service control policy stands against it.",
                commands.notice.user.account
            )),
            again(commands, "Then rotate again."),
        ],
        Cause::Denied => vec![
            Instruction::say(
                "A permission is missing; the reason names the call. Whoever runs keywheel compares the function's roles with \
                 its templates, and looks for a permissions boundary or a service control policy.",
            ),
            again(commands, "Then rotate again."),
        ],
        Cause::Throttled | Cause::Passing => vec![
            Instruction::say("Wait: this passes by itself as a rule, and Secrets Manager tries again."),
            again(commands, "To try at once, rotate again."),
        ],
        Cause::ForeignValue => vec![
            Instruction::say(
                "The secret holds what is no key of this user, and keywheel overwrites nothing of others. Put a value of that \
                 user's back, or have the secret deleted and let the next sweep make a new one.",
            ),
            again(commands, "Then rotate again."),
        ],
        Cause::Installation => vec![
            Instruction::say("This is about keywheel's own installation: forward this message to whoever runs it."),
            again(commands, "Once it is put right, rotate again."),
        ],
        Cause::Unknown => vec![
            commands.list_keys("See whether both places for keys are taken; that is the most frequent reason."),
            again(
                commands,
                "Rotate again, or leave it to Secrets Manager, which tries by itself. The log of the rotation function \
                 says more.",
            ),
        ],
    };
    steps.push(Instruction::say("There is nothing to undo: the key that is in use works as before.").undoing());
    if cause == Cause::NoFreeSlot {
        let command = commands.secret_command("untag-resource", " --tag-keys keywheel:force");
        steps.push(
            Instruction::run("To take the order to retire a key back in time, remove the tag.", command).undoing(),
        );
    }
    steps
}

fn no_free_slot(commands: &Commands<'_>) -> Vec<Instruction> {
    vec![
        commands.list_keys("A user can have two access keys, and both places are taken. See which key nothing uses."),
        Instruction::say("Disable that key in IAM, wait until it is sure that nothing misses it, and delete it."),
        again(commands, "Then rotate again, or leave it to Secrets Manager, which tries by itself."),
        Instruction::run(
            "Only if a key was stolen: tag the secret and rotate again; the key that the secret does not hold is then \
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
