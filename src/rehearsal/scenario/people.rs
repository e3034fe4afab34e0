//! The acts of people between sweeps: owners use their keys, fetch new keys and interfere.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::organization::{CastHabit, CastMember, ScriptedAct};
use crate::keys::{SecretName, UserRef};
use crate::model::{AccessKeyPair, Cloud};
use crate::rehearsal::deployment::Deployment;
use crate::state::tag;

/// The cast, and the key that each owner works with.
pub(super) struct People {
    cast: Vec<CastMember>,
    /// The key that each user works with, by account and name.
    in_use: BTreeMap<(String, String), String>,
    /// The day on which a refused owner enabled the old key.
    enabled_again: BTreeMap<(String, String), i64>,
    /// Users whose rotation was forced on this day, for the judge.
    pub(super) forced: Vec<(String, String)>,
}

impl People {
    pub(super) fn new(cast: Vec<CastMember>, cloud: &Cloud) -> Self {
        let mut in_use = BTreeMap::new();
        for person in &cast {
            let keys = cloud.user(&person.account, &person.name).map(|user| user.keys).unwrap_or_default();
            let key = keys.iter().filter(|key| key.is_active() && key.last_use.is_some()).min_by_key(|key| key.created);
            if let Some(key) = key {
                in_use.insert((person.account.clone(), person.name.clone()), key.id.clone());
            }
        }
        Self { cast, in_use, enabled_again: BTreeMap::new(), forced: Vec::new() }
    }

    pub(super) fn cast(&self) -> &[CastMember] {
        &self.cast
    }

    /// Carries out the day's scripted acts. Returns each in words.
    pub(super) async fn act(&mut self, keywheel: &Deployment, day: i64) -> Vec<(CastMember, String)> {
        let mut done = Vec::new();
        for person in self.cast.clone() {
            for (on, act) in &person.acts {
                if *on == day
                    && let Some(words) = self.carry_out(keywheel, &person, *act).await
                {
                    done.push((person.clone(), words));
                }
            }
        }
        done
    }

    async fn carry_out(&mut self, keywheel: &Deployment, person: &CastMember, act: ScriptedAct) -> Option<String> {
        let cloud = keywheel.cloud();
        let (account, user) = (person.account.as_str(), person.name.as_str());
        let group = keywheel.settings().exemption_group.clone();
        let words = match act {
            ScriptedAct::DeleteUser => {
                cloud.delete_user(account, user);
                "an administrator deletes the user".to_owned()
            }
            ScriptedAct::JoinExempt => {
                cloud.add_to_group(account, &group, user);
                format!("joins {group}: exempt")
            }
            ScriptedAct::LeaveExempt => {
                cloud.remove_from_group(account, &group, user);
                format!("leaves {group}")
            }
            ScriptedAct::MakeSecondKey => {
                let key = cloud.add_access_key(account, user, cloud.clock().now());
                format!("somebody makes a second key by hand: {}", key.access_key_id)
            }
            ScriptedAct::DisableOldKey => {
                let user_view = cloud.user(account, user)?;
                let old = user_view.keys.first().filter(|_| user_view.keys.len() > 1)?.id.clone();
                cloud.set_key_status(account, user, &old, "Inactive");
                format!("the owner disables {old} before its time")
            }
            ScriptedAct::ForceRotation => {
                self.forced.push((account.to_owned(), user.to_owned()));
                force_rotation(keywheel, person).await;
                "incident: tags the secret keywheel:force = true and runs `aws secretsmanager rotate-secret`".to_owned()
            }
            ScriptedAct::DeployRoles => {
                keywheel.prepare_member(account);
                "the member template reaches the account".to_owned()
            }
        };
        Some(words)
    }

    /// Carries out one day's work of all owners: each uses its key, or fetches the new key first.
    pub(super) async fn work(&mut self, keywheel: &Deployment, day: i64) -> Vec<(CastMember, String)> {
        let mut done = Vec::new();
        for person in self.cast.clone() {
            if keywheel.cloud().user(&person.account, &person.name).is_none() {
                continue;
            }
            if let Some(words) = self.work_of(keywheel, &person, day).await {
                done.push((person, words));
            }
        }
        done
    }

    async fn work_of(&mut self, keywheel: &Deployment, person: &CastMember, day: i64) -> Option<String> {
        let cloud = keywheel.cloud();
        let who = (person.account.clone(), person.name.clone());
        let in_use = self.in_use.get(&who)?.clone();
        let mut words = None;
        if self.wants_new_key(keywheel, person, day) {
            let fetched = fetch(keywheel, person, &in_use).await;
            if let Some(new) = fetched.filter(|new| *new != in_use) {
                words = Some(format!("fetches {new} from the secret and works with it"));
                self.in_use.insert(who.clone(), new);
            }
        }
        let now = cloud.clock().now();
        let key = &self.in_use[&who];
        if cloud.use_key(&person.account, &person.name, key, "s3", now).is_err() && words.is_none() {
            words = self.refused(cloud, person, day);
        }
        words
    }

    fn wants_new_key(&self, keywheel: &Deployment, person: &CastMember, day: i64) -> bool {
        let who = (person.account.clone(), person.name.clone());
        let patience = match person.habit {
            CastHabit::InstallsAfter(days) => days,
            CastHabit::NeverUses => return false,
            CastHabit::Stubborn => return self.enabled_again.get(&who).is_some_and(|enabled| day >= enabled + 7),
        };
        let rotated_at = rotated_at(keywheel, person);
        rotated_at.is_some_and(|rotated_at| keywheel.cloud().clock().now() >= rotated_at + TimeDelta::days(patience))
    }

    /// The reaction to a refused key: a stubborn owner enables it again, once.
    fn refused(&mut self, cloud: &Cloud, person: &CastMember, day: i64) -> Option<String> {
        let who = (person.account.clone(), person.name.clone());
        let key = self.in_use.get(&who)?.clone();
        let user = cloud.user(&person.account, &person.name)?;
        if person.habit != CastHabit::Stubborn || user.key(&key).is_none() || self.enabled_again.contains_key(&who) {
            return None;
        }
        cloud.set_key_status(&person.account, &person.name, &key, "Active");
        self.enabled_again.insert(who, day);
        Some(format!("is refused with {key}, and an administrator enables it again"))
    }
}

/// When the user's last rotation was recorded, by the tag.
fn rotated_at(keywheel: &Deployment, person: &CastMember) -> Option<DateTime<Utc>> {
    let secret = keywheel.cloud().secret(&secret_name(person))?;
    secret.tags.get(tag::ROTATED_AT)?.parse().ok()
}

fn secret_name(person: &CastMember) -> String {
    let account = person.account.parse().expect("the cast has real account ids");
    let name = person.name.parse().expect("the cast has legal user names");
    SecretName::of(&UserRef { account, name }).to_string()
}

/// Reads the secret as the user does: with the key `with`, across accounts, by the full ARN.
async fn fetch(keywheel: &Deployment, person: &CastMember, with: &str) -> Option<String> {
    let cloud = keywheel.cloud();
    let secret = cloud.secret(&secret_name(person))?;
    let key = cloud.user_key(&person.account, &person.name, with)?;
    let reader = aws_sdk_secretsmanager::Client::new(&cloud.user_config(&key));
    let answer = reader.get_secret_value().secret_id(&secret.arn).send().await.ok()?;
    let value: serde_json::Value = serde_json::from_str(answer.secret_string()?).ok()?;
    let fetched = AccessKeyPair::new(value["AccessKeyId"].as_str()?, value["SecretAccessKey"].as_str()?);
    Some(fetched.access_key_id)
}

async fn force_rotation(keywheel: &Deployment, person: &CastMember) {
    let cloud = keywheel.cloud();
    let administrator = cloud.sdk_config(keywheel.settings().primary_account.as_str(), "administrator");
    let client = aws_sdk_secretsmanager::Client::new(&administrator);
    let force = aws_sdk_secretsmanager::types::Tag::builder().key(tag::FORCE).value("true").build();
    let name = secret_name(person);
    // The timeline shows whether it succeeds.
    let _ = client.tag_resource().secret_id(&name).tags(force).send().await;
    let _ = client.rotate_secret().secret_id(&name).send().await;
}
