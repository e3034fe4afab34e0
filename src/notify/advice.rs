//! The way out of a rotation that failed or does not end, by the reason that is given. Pure.
//!
//! A reason is what Secrets Manager repeats of the rotation function's error: its name, its words, or both. It is read
//! for signs only; nothing of it gets into a command.

use super::steps::{About, Step};

/// What is known of why a rotation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    NoFreeSlot,
    Exempt,
    NoActiveKey,
    UserGone,
    DryRun,
    PendingKey,
    NotUsableYet,
    Kms,
    MemberRole,
    Denied,
    Throttled,
    ForeignValue,
    Installation,
    Passing,
    Unknown,
}

/// Signs in lower case, the first that is found decides: names of `error::Error`, pieces of its words, and what AWS says.
const SIGNS: [(Cause, &[&str]); 14] = [
    (Cause::NoFreeSlot, &["nofreeslot", "already has 2 access keys", "accesskeysperuser"]),
    (Cause::Exempt, &["userexempt", "and exempt from rotation"]),
    (Cause::NoActiveKey, &["noactivekey", "has no active access key"]),
    (Cause::UserGone, &["usergone", "the sweeper schedules the secret for deletion"]),
    (Cause::DryRun, &["dryrun", "dry_run_flag is true"]),
    (Cause::PendingKey, &["pendingkeyunusable", "of the pending version"]),
    (Cause::NotUsableYet, &["keynotusableyet", "in a row within the time left"]),
    (Cause::Kms, &["access to kms", "kms:", "kmsaccessdenied", "kms key"]),
    (Cause::MemberRole, &["sts:assumerole"]),
    (Cause::Throttled, &["throttl", "toomanyrequests", "rate exceeded", "slowdown", "requestlimitexceeded"]),
    (Cause::Denied, &["accessdenied", "access denied", "is not authorized", "unauthorizedoperation"]),
    (Cause::ForeignValue, &["foreignvalue", "value of secret"]),
    (
        Cause::Installation,
        &[
            "invalidsettings",
            "wrong setting(s)",
            "foreignstore",
            "the store of this stack",
            "rotationdisabled",
            "rotation is not enabled",
            "wrongidentity",
            "answers as",
        ],
    ),
    (
        Cause::Passing,
        &[
            "announcementtooslow",
            "no key was made: writing the tag",
            "currentkeynotlisted",
            "is not among those of",
            "notstaged",
            "works on a version staged",
            "nopendingvalue",
            "createsecret has to put one first",
            "secretgone",
            "timed out",
            "timeout",
            "serviceunavailable",
            "internalfailure",
            "internalserviceerror",
        ],
    ),
];

impl Cause {
    /// The user's own name, where the reason quotes it, says nothing of the cause: people choose it.
    fn of(reason: &str, user: &str) -> Self {
        let (reason, user) = (reason.to_ascii_lowercase(), user.to_ascii_lowercase());
        let quoted = [
            format!("`{user}`"),
            format!("'{user}'"),
            format!("\"{user}\""),
            format!("_user_{user}_"),
            format!("/{user} "),
        ];
        let reason = quoted.iter().fold(reason, |reason, name| reason.replace(name, " "));
        let is_named = |signs: &[&str]| signs.iter().any(|sign| reason.contains(sign));
        SIGNS.iter().find(|(_, signs)| is_named(signs)).map_or(Self::Unknown, |(cause, _)| *cause)
    }
}

/// What to do about it, and that nothing is lost.
pub(super) fn steps(about: &About<'_>, reason: &str) -> Vec<Step> {
    let cause = Cause::of(reason, about.notice.user.name.as_str());
    let mut steps = match cause {
        Cause::NoFreeSlot => no_free_slot(about),
        Cause::Exempt => vec![Step::say(
            "Nothing has to be done: members of the exemption group are left alone, and the next sweep cancels the \
             secret's schedule. To rotate the key after all, take the user out of the group first.",
        )],
        Cause::NoActiveKey => vec![
            about.list_keys(
                "All keys of the user are inactive, and keywheel makes none for such a user. See which there are.",
            ),
            Step::say("If the user is still needed, enable the key that it is to use."),
        ],
        Cause::UserGone => vec![Step::say(
            "Nothing has to be done: the user does not exist any more, and the next sweep sees to the secret.",
        )],
        Cause::DryRun => vec![Step::say(
            "Nothing was changed: keywheel runs dry. Whoever runs it sets DRY_RUN_FLAG to false to have keys rotated.",
        )],
        Cause::PendingKey => vec![
            Step::say(
                "The key that an earlier attempt made was taken away or disabled before it was current. The reason has the \
                 command that clears that attempt up; an administrator of the account of the secrets runs it.",
            ),
            again(about, "Then rotate again."),
        ],
        Cause::NotUsableYet => vec![
            Step::say(
                "Wait: Secrets Manager tries again by itself. A new key can take minutes to work everywhere; should this \
                 come back, see whether a policy keeps the user from calling sts:GetCallerIdentity.",
            ),
            again(about, "To try at once, rotate again."),
        ],
        Cause::Kms => vec![
            Step::say(
                "The KMS key of the secret cannot be used. Whoever runs keywheel sees that the key is enabled and that its \
                 policy lets the rotation function's role encrypt and decrypt with it.",
            ),
            again(about, "Then rotate again."),
        ],
        Cause::MemberRole => vec![
            Step::say(format!(
                "The rotation function cannot enter account {}. Whoever runs keywheel deploys the member template there, and \
                 sees that no service control policy stands against it.",
                about.notice.user.account
            )),
            again(about, "Then rotate again."),
        ],
        Cause::Denied => vec![
            Step::say(
                "A permission is missing; the reason names the call. Whoever runs keywheel compares the function's roles with \
                 its templates, and looks for a permissions boundary or a service control policy.",
            ),
            again(about, "Then rotate again."),
        ],
        Cause::Throttled | Cause::Passing => vec![
            Step::say("Wait: this passes by itself as a rule, and Secrets Manager tries again."),
            again(about, "To try at once, rotate again."),
        ],
        Cause::ForeignValue => vec![
            Step::say(
                "The secret holds what is no key of this user, and keywheel overwrites nothing of others. Put a value of that \
                 user's back, or have the secret deleted and let the next sweep make a new one.",
            ),
            again(about, "Then rotate again."),
        ],
        Cause::Installation => vec![
            Step::say("This is about keywheel's own installation: forward this message to whoever runs it."),
            again(about, "Once it is put right, rotate again."),
        ],
        Cause::Unknown => vec![
            about.list_keys("See whether both places for keys are taken; that is the most frequent reason."),
            again(
                about,
                "Rotate again, or leave it to Secrets Manager, which tries by itself. The log of the rotation function \
                 says more.",
            ),
        ],
    };
    steps.push(Step::say("There is nothing to undo: the key that is in use works as before.").undoing());
    if cause == Cause::NoFreeSlot {
        let command = about.secret_command("untag-resource", " --tag-keys keywheel:force");
        steps.push(Step::run("To take the order to retire a key back in time, remove the tag.", command).undoing());
    }
    steps
}

fn no_free_slot(about: &About<'_>) -> Vec<Step> {
    vec![
        about.list_keys("A user can have two access keys, and both places are taken. See which key nothing uses."),
        Step::say("Disable that key in IAM, wait until it is sure that nothing misses it, and delete it."),
        again(about, "Then rotate again, or leave it to Secrets Manager, which tries by itself."),
        Step::run(
            "Only if a key was stolen: tag the secret and rotate again; the key that the secret does not hold is then \
             retired at once.",
            about.secret_command("tag-resource", " --tags Key=keywheel:force,Value=true"),
        ),
    ]
}

fn again(about: &About<'_>, text: &str) -> Step {
    Step::run(text, about.secret_command("rotate-secret", ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::keys::VersionId;
    use crate::lifecycle::NoticeKind;
    use crate::notify::Mode;
    use crate::notify::fixtures::{key, notice, settings, user};

    fn errors() -> Vec<(Error, Cause)> {
        let (user, secret) = (user("ci-bot"), "arn:aws:secretsmanager:eu-west-1:999988887777:secret:x".to_owned());
        let version: VersionId = "7c3e1a52-0c1d-4e0f-9a57-1c2f3d4e5f60".parse().unwrap();
        let text = str::to_owned;
        vec![
            (Error::NoFreeSlot { user: user.clone(), keys: text("a; b"), why: text("so") }, Cause::NoFreeSlot),
            (Error::UserExempt { user: user.clone(), group: text("g") }, Cause::Exempt),
            (Error::NoActiveKey(user.clone()), Cause::NoActiveKey),
            (Error::UserGone(user.clone()), Cause::UserGone),
            (Error::DryRun(user.clone()), Cause::DryRun),
            (
                Error::PendingKeyUnusable {
                    secret: secret.clone(),
                    version: version.clone(),
                    key: key(1),
                    user: user.clone(),
                    found: text("missing"),
                },
                Cause::PendingKey,
            ),
            (
                Error::KeyNotUsableYet {
                    key: key(1),
                    user: user.clone(),
                    wanted: 3,
                    attempts: 5,
                    successes: 1,
                    last: text("InvalidClientTokenId"),
                },
                Cause::NotUsableYet,
            ),
            (
                Error::ForeignValue { which: "current", secret: secret.clone(), user: user.clone(), why: text("no") },
                Cause::ForeignValue,
            ),
            (Error::ForeignStore { arn: secret.clone(), primary: text("1") }, Cause::Installation),
            (Error::RotationDisabled(secret.clone()), Cause::Installation),
            (
                Error::WrongIdentity { key: key(1), user: user.clone(), got: text("x"), account: text("1") },
                Cause::Installation,
            ),
            (Error::AnnouncementTooSlow(secret.clone()), Cause::Passing),
            (Error::CurrentKeyNotListed { user, key: key(1) }, Cause::Passing),
            (Error::NotStaged { secret: secret.clone(), version: version.clone(), found: text("x") }, Cause::Passing),
            (Error::NoPendingValue { secret, version }, Cause::Passing),
        ]
    }

    #[test]
    fn every_error_of_the_rotation_function_is_known_by_its_words_and_by_its_name() {
        for (error, cause) in errors() {
            for reason in [error.to_string(), format!("RotationFailed: {}", error.name())] {
                assert_eq!(Cause::of(&reason, "ci-bot"), cause, "{reason}");
            }
        }
    }

    #[test]
    fn what_aws_refuses_is_told_apart() {
        for (reason, cause) in [
            (
                "sts:AssumeRole for arn:aws:iam::111122223333:role/r failed: AccessDenied: User: x is not authorized to \
                 perform: sts:AssumeRole on resource: y",
                Cause::MemberRole,
            ),
            (
                "secretsmanager:GetSecretValue for a failed: AccessDeniedException: Access to KMS is not allowed",
                Cause::Kms,
            ),
            ("iam:CreateAccessKey for user `a` failed: AccessDenied: no", Cause::Denied),
            ("iam:ListAccessKeys for user `a` failed: Throttling: Rate exceeded", Cause::Throttled),
            (
                "iam:CreateAccessKey failed: LimitExceeded: Cannot exceed quota for AccessKeysPerUser: 2",
                Cause::NoFreeSlot,
            ),
            ("Task timed out after 60.00 seconds", Cause::Passing),
            ("something else", Cause::Unknown),
            ("", Cause::Unknown),
        ] {
            assert_eq!(Cause::of(reason, "ci-bot"), cause, "{reason}");
        }
    }

    #[test]
    fn each_cause_has_a_way_out_of_its_own() {
        let settings = settings(&[]);
        let notice = notice(NoticeKind::RotationFailed { reason: String::new() });
        let about =
            About { notice: &notice, mode: Mode::Enforced, periods: &settings.periods, exemption_group: "exempt" };
        let ways: std::collections::BTreeSet<String> = errors()
            .into_iter()
            .map(|(error, _)| steps(&about, &error.to_string()).iter().map(|step| step.text.as_str()).collect())
            .collect();
        let causes: Vec<Cause> = errors().into_iter().map(|(_, cause)| cause).collect();
        let distinct = causes.iter().enumerate().filter(|(place, cause)| !causes[..*place].contains(cause)).count();
        assert_eq!(ways.len(), distinct);
        let slot = steps(&about, "NoFreeSlot");
        assert!(slot.iter().any(|step| step.command.ends_with("--tags Key=keywheel:force,Value=true")));
        assert!(slot.iter().any(|step| step.undo && step.command.ends_with("--tag-keys keywheel:force")));
    }

    #[test]
    fn the_name_of_a_user_is_no_sign() {
        let reason = "iam:CreateAccessKey for user `throttle-bot` failed: AccessDenied";
        assert_eq!(Cause::of(reason, "throttle-bot"), Cause::Denied);
        assert_eq!(Cause::of("Throttling for user `a`", "a"), Cause::Throttled);
    }
}
