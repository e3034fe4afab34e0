//! Compares a secret with its wanted configuration. Pure.

use super::Wanted;
use crate::aws::SecretDescription;
use crate::keys::is_kms_key_arn;
use crate::lifecycle::Drift;
use crate::state::tag;

/// The group membership that a user needs to read its secret, besides the secret's resource policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Nothing is to be done. The user is in the stack's account or a member already, or there is no reader group.
    Given,
    /// The user has to join the reader group.
    JoinGroup,
}

/// Returns the parts of a secret that differ from `wanted`. `policy_fits` says whether its resource policy is for its
/// user and nobody else.
pub fn drift(secret: &SecretDescription, policy_fits: bool, wanted: &Wanted, reach: &Reach) -> Vec<Drift> {
    let checks = [
        (Drift::KmsKey, kms_key_differs(secret, wanted.kms_key.as_deref())),
        (Drift::Policy, !policy_fits),
        (Drift::Schedule, schedule_differs(secret, wanted)),
        (Drift::Tags, tags_differ(secret, wanted)),
        (Drift::ReaderGroup, *reach == Reach::JoinGroup),
    ];
    checks.into_iter().filter_map(|(drift, found)| found.then_some(drift)).collect()
}

/// Whether the schedule is disabled, unless it is left off for a key, or has another function or period.
pub(super) fn schedule_differs(secret: &SecretDescription, wanted: &Wanted) -> bool {
    let schedule = &secret.schedule;
    (!secret.rotation_enabled && !secret.has_tag(tag::SCHEDULE_OFF, ""))
        || schedule.function.as_deref() != Some(wanted.function_arn.as_str())
        || schedule.days != Some(wanted.days)
        || schedule.expression.is_some()
}

/// Whether a wanted tag is missing or has another value. Tags of others do not matter.
fn tags_differ(secret: &SecretDescription, wanted: &Wanted) -> bool {
    wanted.tags.iter().any(|(name, value)| secret.tags.get(name) != Some(value))
}

/// Whether the key is another one, or may be: an alias can be of any key. A user of another account can use a key only
/// by its ARN, so even the id of the same key is drift. For a user of the store's own account it is not.
pub(crate) fn kms_key_differs(secret: &SecretDescription, wanted: Option<&str>) -> bool {
    let is_foreign = secret.arn.split(':').nth(4) != Some(secret.name.user().account.as_str());
    match (secret.kms_key.as_deref(), wanted) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(is), Some(wanted)) if is_kms_key_arn(wanted) && (is_foreign || is_kms_key_arn(is)) => is != wanted,
        (Some(is), Some(wanted)) => bare(is) != bare(wanted),
    }
}

/// Returns the key id or `alias/…` of a key or an ARN.
fn bare(key: &str) -> &str {
    let resource = key.rsplit(':').next().unwrap_or(key);
    resource.strip_prefix("key/").unwrap_or(resource)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::aws::RotationSchedule;
    use crate::settings::MAX_SECRET_TAGS;

    const FUNCTION: &str = "arn:aws:lambda:us-east-1:999988887777:function:rotation";
    const KEY_ARN: &str = "arn:aws:kms:us-east-1:999988887777:key/0a1b2c3d-0000-4000-8000-000000000000";

    fn wanted() -> Wanted {
        Wanted {
            kms_key: Some(KEY_ARN.to_owned()),
            function_arn: FUNCTION.to_owned(),
            days: 90,
            reader_group: Some("readers".to_owned()),
            tags: BTreeMap::from([("team".to_owned(), "keys".to_owned())]),
        }
    }

    fn secret() -> SecretDescription {
        SecretDescription {
            arn: "arn:aws:secretsmanager:us-east-1:999988887777:secret:Account_111122223333_User_bot_AccessKey-a1b2c3"
                .to_owned(),
            name: "Account_111122223333_User_bot_AccessKey".parse().unwrap(),
            kms_key: Some(KEY_ARN.to_owned()),
            rotation_enabled: true,
            schedule: RotationSchedule { function: Some(FUNCTION.to_owned()), days: Some(90), expression: None },
            next_rotation: None,
            deleted: None,
            replicas: Vec::new(),
            primary_region: None,
            tags: BTreeMap::from([("team".to_owned(), "keys".to_owned()), ("other".to_owned(), "kept".to_owned())]),
            stages: BTreeMap::new(),
        }
    }

    fn found(secret: &SecretDescription) -> Vec<Drift> {
        drift(secret, true, &wanted(), &Reach::Given)
    }

    #[test]
    fn a_secret_as_wanted_has_no_drift() {
        assert_eq!(found(&secret()), []);
    }

    #[test]
    fn reported_c2_a_key_by_id_or_alias_is_drift_for_members() {
        let alias_arn = "arn:aws:kms:us-east-1:999988887777:alias/keywheel";
        for key in ["0a1b2c3d-0000-4000-8000-000000000000", "alias/keywheel", alias_arn] {
            let foreign = SecretDescription { kms_key: Some(key.to_owned()), ..secret() };
            assert_eq!(found(&foreign), [Drift::KmsKey], "{key}: its user cannot use it");
            let name = "Account_999988887777_User_bot_AccessKey".parse().unwrap();
            let own = found(&SecretDescription { name, ..foreign });
            assert_eq!(own.is_empty(), !key.contains("alias/"), "{key}: the same key, or maybe another one");
        }
    }

    #[test]
    fn on_aws_b8_tags_of_both_fit_into_a_secret() {
        let names = include_str!("../state.rs").lines().filter(|line| line.contains(": &str = \"keywheel:"));
        let own = names.count();
        assert!(own >= 14, "{own} tags of keywheel's were found");
        assert!(own + MAX_SECRET_TAGS <= 50, "and some room is left to others");
    }

    #[test]
    fn each_part_that_differs_is_named() {
        let schedule = |change: fn(&mut RotationSchedule)| {
            let mut changed = secret();
            change(&mut changed.schedule);
            changed
        };
        assert_eq!(found(&SecretDescription { kms_key: None, ..secret() }), [Drift::KmsKey]);
        assert_eq!(found(&SecretDescription { kms_key: Some("other-key".to_owned()), ..secret() }), [Drift::KmsKey]);
        let off = SecretDescription { rotation_enabled: false, ..secret() };
        assert_eq!(found(&off), [Drift::Schedule]);
        let mut on_purpose = off;
        on_purpose.tags.insert(tag::SCHEDULE_OFF.to_owned(), "AKIAIOSFODNN7EXAMPLE".to_owned());
        assert_eq!(found(&on_purpose), [], "left off until the key is due");
        let sooner = RotationSchedule { days: Some(30), ..on_purpose.schedule.clone() };
        assert_eq!(found(&SecretDescription { schedule: sooner, ..on_purpose }), [Drift::Schedule]);
        assert_eq!(found(&schedule(|s| s.days = Some(30))), [Drift::Schedule]);
        assert_eq!(found(&schedule(|s| s.function = Some("other".to_owned()))), [Drift::Schedule]);
        assert_eq!(found(&schedule(|s| s.expression = Some("rate(4 hours)".to_owned()))), [Drift::Schedule]);
        for tags in [BTreeMap::new(), BTreeMap::from([("team".to_owned(), "other".to_owned())])] {
            assert_eq!(found(&SecretDescription { tags, ..secret() }), [Drift::Tags]);
        }
        assert_eq!(drift(&secret(), false, &wanted(), &Reach::JoinGroup), [Drift::Policy, Drift::ReaderGroup]);
    }
}
