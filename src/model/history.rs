//! What happened to every access key, by whom, and what else the user had at that moment: what invariants are judged by.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::cloud::Cloud;
use super::rotation::rotation_under_way;
use super::state::{AccessKey, IamUser, World};

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// It was made.
    Created,
    /// It was switched on.
    Enabled,
    /// It was switched off.
    Disabled,
    /// It was deleted.
    Deleted,
}

impl KeyChange {
    /// The change that sets that status.
    pub(crate) fn to_status(status: &str) -> Self {
        if status == "Active" { Self::Enabled } else { Self::Disabled }
    }
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// The user's account.
    pub account: String,
    /// The user.
    pub user: String,
    /// The key.
    pub key: String,
    /// What happened to it.
    pub change: KeyChange,
    /// The ARN of the caller; `None` for a person.
    pub by: Option<String>,
    /// The token of the rotation whose step it happened in.
    pub rotation: Option<String>,
    /// The key's status before; `Active` for one just made.
    pub status_before: String,
    /// Whether the key was ever used.
    pub used: bool,
    /// The user's other keys: id, status, and whether it was ever used.
    pub others: Vec<(String, String, bool)>,
}

impl KeyEvent {
    /// Whether another key of the user was active at that moment.
    pub fn another_was_active(&self) -> bool {
        self.others.iter().any(|(_, status, _)| status == "Active")
    }
}

impl World {
    /// Records a change of a key; `before` is the key as it was, `user` the user with or without it.
    pub(crate) fn note_key(
        &mut self,
        account: &str,
        user: &str,
        before: &AccessKey,
        change: KeyChange,
        by: Option<&str>,
        at: DateTime<Utc>,
    ) {
        let found = self.accounts.get(account).and_then(|it| it.user(user));
        let others = found.map(|user| others(user, &before.id)).unwrap_or_default();
        let user = found.map_or(user, |user| &user.name).to_owned();
        let event = KeyEvent {
            at,
            account: account.to_owned(),
            user,
            key: before.id.clone(),
            change,
            by: by.map(str::to_owned),
            rotation: rotation_under_way(),
            status_before: before.status.clone(),
            used: before.last_use.is_some(),
            others,
        };
        self.observer.clone().tell(self, &event);
        if !self.switches.counts_only {
            self.key_history.push(event);
        }
    }
}

type Observe = dyn FnMut(&World, &KeyEvent) + Send;

/// Who is told of every change of a key at the very moment, with the world as it is then.
#[derive(Clone, Default)]
pub(crate) struct Observer(Option<Arc<Mutex<Observe>>>);

impl Observer {
    pub(crate) fn new(observe: impl FnMut(&World, &KeyEvent) + Send + 'static) -> Self {
        Self(Some(Arc::new(Mutex::new(observe))))
    }

    fn tell(&self, world: &World, event: &KeyEvent) {
        if let Some(observe) = &self.0 {
            observe.lock().unwrap_or_else(PoisonError::into_inner)(world, event);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

fn others(user: &IamUser, id: &str) -> Vec<(String, String, bool)> {
    let others = user.keys.iter().filter(|key| key.id != id);
    others.map(|key| (key.id.clone(), key.status.clone(), key.last_use.is_some())).collect()
}

impl Cloud {
    /// Has every change of a key told to that observer from now on.
    pub(crate) fn observe_keys(&self, observer: Observer) {
        self.world().observer = observer;
    }

    /// The changes of keys from the `from`-th on, oldest first.
    pub fn key_history(&self, from: usize) -> Vec<KeyEvent> {
        self.world().key_history.get(from..).map(<[KeyEvent]>::to_vec).unwrap_or_default()
    }
}
