//! The cause of a failed rotation, read from the reason that Secrets Manager gives. Pure.
//!
//! Secrets Manager repeats the rotation function's error: its name, its text, or both. The reason is only searched for
//! signs; none of it gets into a command.

/// Why a rotation fails, as far as a remedy depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
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

/// Signs in lower case: names of `error::Error`, pieces of its texts, and texts of AWS. The first sign that is found
/// decides.
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
            " belongs to arn:",
        ],
    ),
    (
        Cause::Passing,
        &[
            "announcementtooslow",
            "no key was created: each attempt to write the tag",
            "currentkeynotlisted",
            "not yet in iam's list",
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
    /// The user's name is left out where the reason quotes it, because people choose names and one may contain a sign.
    pub(super) fn of(reason: &str, user: &str) -> Self {
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::error::Error;
    use crate::keys::VersionId;
    use crate::notify::fixtures::{key, user};

    pub(crate) fn errors() -> Vec<(Error, Cause)> {
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
                    asked: text("STS of us-east-1"),
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
                Error::WrongIdentity {
                    key: key(1),
                    user: user.clone(),
                    got: text("arn:aws:iam::111122223333:user/x"),
                    account: text("1"),
                },
                Cause::Installation,
            ),
            (Error::AnnouncementTooSlow(secret.clone()), Cause::Passing),
            (Error::CurrentKeyNotListed { user, key: key(1) }, Cause::Passing),
            (Error::NotStaged { secret: secret.clone(), version: version.clone(), found: text("x") }, Cause::Passing),
            (Error::NoPendingValue { secret, version }, Cause::Passing),
        ]
    }

    #[test]
    fn rotation_errors_are_known_by_their_words_and_names() {
        for (error, cause) in errors() {
            for reason in [error.to_string(), format!("RotationFailed: {}", error.name())] {
                assert_eq!(Cause::of(&reason, "ci-bot"), cause, "{reason}");
            }
        }
    }

    #[test]
    fn the_refusals_of_aws_are_distinguished() {
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
    fn the_name_of_a_user_is_not_a_sign() {
        let reason = "iam:CreateAccessKey for user `throttle-bot` failed: AccessDenied";
        assert_eq!(Cause::of(reason, "throttle-bot"), Cause::Denied);
        assert_eq!(Cause::of("Throttling for user `a`", "a"), Cause::Throttled);
    }
}
