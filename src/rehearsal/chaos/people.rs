//! The acts of people on one user's keys and secret. An act that is impossible at its time is skipped.

use serde_json::{Value, json};

use super::acts::{Act, Put, tag_name};
use super::cast::{Person, make_again};
use crate::keys::MAX_GROUPS_PER_USER;
use crate::model::{Cloud, KeyView, SecretView, UserView};
use crate::rehearsal::deployment::{Deployment, PRIMARY_ACCOUNT};
use crate::state::tag;

/// Carries the act out. Returns whether it was possible.
pub(super) fn carry_out(keywheel: &Deployment, person: &Person, act: &Act) -> bool {
    let hand = Hand { keywheel, cloud: keywheel.cloud(), person };
    let done = match hand.cloud.user(&person.account, &person.name) {
        Some(user) => hand.act_on_user(&user, act),
        None if matches!(act, Act::MakeUserAgain) => {
            make_again(keywheel, person);
            Some(())
        }
        None => None,
    };
    done.or_else(|| hand.act_on_secret(act)).is_some()
}

struct Hand<'a> {
    keywheel: &'a Deployment,
    cloud: &'a Cloud,
    person: &'a Person,
}

/// The key that the number selects among the fitting keys.
fn pick(user: &UserView, which: usize, fits: impl Fn(&KeyView) -> bool) -> Option<String> {
    let fitting: Vec<&KeyView> = user.keys.iter().filter(|key| fits(key)).collect();
    Some(fitting.get(which.checked_rem(fitting.len())?)?.id.clone())
}

impl Hand<'_> {
    fn act_on_user(&self, user: &UserView, act: &Act) -> Option<()> {
        let (cloud, account, name) = (self.cloud, self.person.account.as_str(), self.person.name.as_str());
        let exempt = self.keywheel.settings().exemption_group.as_str();
        match act {
            Act::MakeKey if user.keys.len() < 2 => {
                cloud.add_access_key(account, name, cloud.clock().now());
            }
            Act::DisableKey(which) => {
                cloud.set_key_status(account, name, &pick(user, *which, KeyView::is_active)?, "Inactive");
            }
            Act::EnableKey(which) => {
                cloud.set_key_status(account, name, &pick(user, *which, |key| !key.is_active())?, "Active");
            }
            Act::DeleteKey(which) => cloud.delete_key(account, name, &pick(user, *which, |_| true)?),
            Act::UseKey(which) => {
                let key = pick(user, *which, KeyView::is_active)?;
                cloud.use_key(account, name, &key, "s3", cloud.clock().now()).ok()?;
            }
            Act::JoinExempt if cloud.has_group(account, exempt) => cloud.add_to_group(account, exempt, name),
            Act::LeaveExempt if user.groups.iter().any(|group| group == exempt) => {
                cloud.remove_from_group(account, exempt, name);
            }
            Act::DeleteUser => cloud.delete_user(account, name),
            Act::TagOwner("") => cloud.untag_user(account, name, "owner"),
            Act::TagOwner(owner) => cloud.tag_user(account, name, "owner", owner),
            Act::LeaveReaders => {
                let readers = self.keywheel.settings().reader_group.as_deref()?;
                user.groups.iter().find(|group| *group == readers)?;
                cloud.remove_from_group(account, readers, name);
            }
            Act::FillGroups => {
                for group in (user.groups.len()..MAX_GROUPS_PER_USER).map(|n| format!("team-{n}")) {
                    if !cloud.has_group(account, &group) {
                        cloud.add_group(account, &group);
                    }
                    cloud.add_to_group(account, &group, name);
                }
            }
            Act::PutValue(Put::OwnKey(which)) => {
                let key = cloud.user_key(account, name, &pick(user, *which, |_| true)?)?;
                let value = json!({"AccessKeyId": key.access_key_id, "SecretAccessKey": key.secret});
                return self.put(&value.to_string());
            }
            #[cfg(test)]
            Act::Sabotage => {
                super::tests::delete_as_keywheel(cloud, account, name, &pick(user, 0, KeyView::is_active)?);
            }
            _ => return None,
        }
        Some(())
    }

    fn act_on_secret(&self, act: &Act) -> Option<()> {
        match act {
            Act::PutValue(Put::Rubbish) => self.put("hunter2"),
            Act::PutValue(Put::AnothersValue) => {
                let value = self.secret()?.text("AWSCURRENT")?.replace(&self.person.name, "somebody-else");
                self.put(&value)
            }
            Act::RollBack => {
                let secret = self.secret()?;
                let (from, to) = (secret.version_with("AWSCURRENT")?, secret.version_with("AWSPREVIOUS")?);
                let labels =
                    json!({"VersionStage": "AWSCURRENT", "MoveToVersionId": to.id, "RemoveFromVersionId": from.id});
                self.operate("UpdateSecretVersionStage", labels)
            }
            Act::RemovePending => {
                let secret = self.secret()?;
                let pending = secret.version_with("AWSPENDING").filter(|it| !it.has_stage("AWSCURRENT"))?;
                let labels = json!({"VersionStage": "AWSPENDING", "RemoveFromVersionId": pending.id});
                self.operate("UpdateSecretVersionStage", labels)
            }
            Act::CancelRotation => self.operate("CancelRotateSecret", json!({})),
            Act::RotateNow => self.operate("RotateSecret", json!({})),
            Act::Force => {
                self.operate("TagResource", json!({"Tags": [{"Key": tag::FORCE, "Value": "true"}]}))?;
                self.operate("RotateSecret", json!({})).or(Some(()))
            }
            Act::RemoveTag(which) => {
                let name = self.tag_of(*which)?;
                self.operate("UntagResource", json!({"TagKeys": [name]}))
            }
            Act::SpoilTag(which) => {
                let name = self.tag_of(*which)?;
                self.operate("TagResource", json!({"Tags": [{"Key": name, "Value": "somebody was here"}]}))
            }
            Act::RemoveSpoiledTags => self.remove_spoiled_tags(),
            Act::DeleteSecret => self.operate("DeleteSecret", json!({"RecoveryWindowInDays": 7})),
            Act::PurgeSecret => self.operate("DeleteSecret", json!({"ForceDeleteWithoutRecovery": true})),
            Act::RestoreSecret => {
                self.cloud.secret(&self.person.secret())?.deletion_date?;
                self.operate("RestoreSecret", json!({}))
            }
            Act::SpoilPolicy => self.operate("DeleteResourcePolicy", json!({})),
            Act::SpoilSchedule => {
                self.secret().filter(|secret| secret.rotation_function.is_some())?;
                let rules = json!({"RotationRules": {"AutomaticallyAfterDays": 400}, "RotateImmediately": false});
                self.operate("RotateSecret", rules)
            }
            _ => None,
        }
    }

    /// The secret, unless it is marked for deletion.
    fn secret(&self) -> Option<SecretView> {
        self.cloud.secret(&self.person.secret()).filter(|secret| secret.deletion_date.is_none())
    }

    /// The first tag that the secret has, starting from the tag that the number selects.
    fn tag_of(&self, which: usize) -> Option<&'static str> {
        let tags = self.secret()?.tags;
        (which..which + 9).map(tag_name).find(|name| tags.get(*name).is_some_and(|value| !value.is_empty()))
    }

    fn remove_spoiled_tags(&self) -> Option<()> {
        let tags = self.secret()?.tags;
        let spoiled: Vec<&String> =
            tags.iter().filter(|(_, value)| *value == "somebody was here").map(|(name, _)| name).collect();
        if spoiled.is_empty() {
            return None;
        }
        self.operate("UntagResource", json!({"TagKeys": spoiled}))
    }

    fn put(&self, value: &str) -> Option<()> {
        self.secret()?;
        self.operate("PutSecretValue", json!({"SecretString": value}))
    }

    fn operate(&self, operation: &str, mut input: Value) -> Option<()> {
        input["SecretId"] = json!(self.person.secret());
        self.cloud.operate(PRIMARY_ACCOUNT, operation, input).ok().map(|_| ())
    }
}
