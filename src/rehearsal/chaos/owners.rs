//! The owners at work: they use their key, fetch the new key after some days or never, and react when a key is refused.

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;

use super::cast::{Habit, OnRefusal, Person};
use super::glance::key_of_readers;
use crate::model::Cloud;

/// The state of one owner.
struct Owner {
    works_with: Option<String>,
    /// When the owner first saw another key in the secret.
    noticed: Option<DateTime<Utc>>,
    rng: Rng,
}

/// All owners of a shard, in the order of its people.
pub(super) struct Owners(Vec<Owner>);

impl Owners {
    pub(super) fn of(people: &[Person]) -> Self {
        let owner = |person: &Person| Owner { works_with: None, noticed: None, rng: Rng::with_seed(person.seed) };
        Self(people.iter().map(owner).collect())
    }

    /// Carries out one day of all owners. Returns the numbers of the people whose owner enabled a key.
    ///
    /// In a calm period no owner insists on an old key. An owner who enables it again and again keeps its slot taken,
    /// so that no rotation can succeed. keywheel means it so and sends a notice each time.
    pub(super) fn work(&mut self, cloud: &Cloud, people: &[Person], is_calm: bool) -> Vec<usize> {
        let now = cloud.clock().now();
        let mut enabled = Vec::new();
        for (number, (owner, person)) in self.0.iter_mut().zip(people).enumerate() {
            if owner.work(cloud, person, now, is_calm) {
                enabled.push(number);
            }
        }
        enabled
    }
}

impl Owner {
    fn work(&mut self, cloud: &Cloud, person: &Person, now: DateTime<Utc>, is_calm: bool) -> bool {
        // On one day in four there is no work.
        if person.habit == Habit::UsesNone || self.rng.u32(..4) == 0 {
            return false;
        }
        let stored = key_of_readers(cloud, person);
        self.fetch_in_time(person, stored.as_deref(), now);
        let Some(key) = self.works_with.clone().or_else(|| Self::first_key(cloud, person)) else { return false };
        if cloud.use_key(&person.account, &person.name, &key, "s3", now).is_ok() {
            self.works_with = Some(key);
            return false;
        }
        let gives_in = is_calm && person.refused == OnRefusal::Enables;
        self.refused(cloud, person, &key, stored, if gives_in { OnRefusal::Fetches } else { person.refused })
    }

    fn fetch_in_time(&mut self, person: &Person, stored: Option<&str>, now: DateTime<Utc>) {
        let Habit::InstallsAfter { days } = person.habit else { return };
        if stored.is_none() || stored == self.works_with.as_deref() {
            self.noticed = None;
            return;
        }
        let noticed = *self.noticed.get_or_insert(now);
        if now - noticed >= TimeDelta::days(days) {
            self.works_with = stored.map(str::to_owned);
        }
    }

    /// A used, active key of the user: the owner has kept its secret.
    fn first_key(cloud: &Cloud, person: &Person) -> Option<String> {
        let keys = cloud.user(&person.account, &person.name)?.keys;
        keys.into_iter().find(|key| key.is_active() && key.last_use.is_some()).map(|key| key.id)
    }

    fn refused(&mut self, cloud: &Cloud, person: &Person, key: &str, stored: Option<String>, what: OnRefusal) -> bool {
        match what {
            OnRefusal::Waits => {}
            OnRefusal::Fetches => self.works_with = stored,
            OnRefusal::Enables => {
                let user = cloud.user(&person.account, &person.name);
                let there = user.as_ref().and_then(|user| user.key(key));
                match there {
                    Some(found) if !found.is_active() => {
                        cloud.set_key_status(&person.account, &person.name, key, "Active");
                        return true;
                    }
                    Some(_) => {}
                    None => self.works_with = stored,
                }
            }
        }
        false
    }
}
