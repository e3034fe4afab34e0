//! Views of the model's state without a call, for tests and judges.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::cloud::Cloud;
use super::history::KeyEvent;
use super::rules::Rules;
use super::secret::{Plain, Secret};
use super::secretsmanager::policy;
use super::state::Observer;
use super::state::{AccessKey, IamUser, RecordedUse, World};

/// A user and its keys.
#[derive(Clone, Debug, PartialEq)]
pub struct UserView {
    /// The id of its account.
    pub account: String,
    /// The name, in the case in which the user was made.
    pub name: String,
    /// The path, `/` by default.
    pub path: String,
    /// The ARN, with the path.
    pub arn: String,
    /// The unique id, `AIDA…`.
    pub id: String,
    /// When the user was made.
    pub created: DateTime<Utc>,
    /// The user's tags.
    pub tags: BTreeMap<String, String>,
    /// The names of the user's groups.
    pub groups: Vec<String>,
    /// The keys, oldest first.
    pub keys: Vec<KeyView>,
}

impl UserView {
    /// Returns the key with this id; `None` if the user lacks it, for example because it was deleted.
    pub fn key(&self, id: &str) -> Option<&KeyView> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// How many keys are active.
    pub fn active_keys(&self) -> usize {
        self.keys.iter().filter(|key| key.is_active()).count()
    }
}

/// An access key, without its secret.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyView {
    /// The access key id.
    pub id: String,
    /// `Active`, `Inactive` or `Expired`.
    pub status: String,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// Its recorded last use; `None` if it was never used.
    pub last_use: Option<RecordedUse>,
}

impl KeyView {
    /// Whether the key is active. A new key works only after its propagation.
    pub fn is_active(&self) -> bool {
        self.status == "Active"
    }
}

/// A secret with everything on it.
#[derive(Clone, Debug, PartialEq)]
pub struct SecretView {
    /// The account that holds it.
    pub account: String,
    /// The name, without the ARN's suffix.
    pub name: String,
    /// The ARN, with its random suffix.
    pub arn: String,
    /// The description; `None` if it was made without one.
    pub description: Option<String>,
    /// The KMS key; `None` for the default key.
    pub kms_key_id: Option<String>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// Its versions, oldest first, including deprecated versions.
    pub versions: Vec<VersionView>,
    /// Its tags, by key.
    pub tags: BTreeMap<String, String>,
    /// Its resource policy as `GetResourcePolicy` shows it now.
    pub policy: Option<Value>,
    /// Whether the schedule is on.
    pub rotation_enabled: bool,
    /// The ARN of the rotation function; `None` before the first `RotateSecret`.
    pub rotation_function: Option<String>,
    /// The rules as `DescribeSecret` shows them.
    pub rotation_rules: Option<Value>,
    /// The last rotation that succeeded.
    pub last_rotated: Option<DateTime<Utc>>,
    /// The latest time for the next rotation; in the past after a failure.
    pub next_rotation: Option<DateTime<Utc>>,
    /// When the secret is purged, if it was deleted.
    pub deletion_date: Option<DateTime<Utc>>,
    /// The result of the last test of the configuration (`RotateImmediately=false`).
    pub last_test: Option<Result<(), String>>,
    /// The result of the last rotation, with the function's last error.
    pub last_rotation: Option<Result<(), String>>,
}

impl SecretView {
    /// The version that has a staging label.
    pub fn version_with(&self, stage: &str) -> Option<&VersionView> {
        self.versions.iter().find(|it| it.has_stage(stage))
    }

    /// The text of the version that has a staging label.
    pub fn text(&self, stage: &str) -> Option<&str> {
        self.version_with(stage)?.text()
    }

    /// The JSON value of the version that has a staging label.
    pub fn json(&self, stage: &str) -> Option<Value> {
        serde_json::from_str(self.text(stage)?).ok()
    }
}

/// A version of a secret. Its `Debug` does not show the value.
#[derive(Clone, PartialEq)]
pub struct VersionView {
    /// The version's id: the request token that made it.
    pub id: String,
    /// Its staging labels; empty for a deprecated version.
    pub stages: Vec<String>,
    /// When it was registered.
    pub created: DateTime<Utc>,
    /// Whether it was ever the current version.
    pub was_current: bool,
    value: Option<Plain>,
}

impl VersionView {
    /// Whether the version has this label.
    pub fn has_stage(&self, stage: &str) -> bool {
        self.stages.iter().any(|it| it == stage)
    }

    /// Whether the version has a value (a pending one may be empty).
    pub fn has_value(&self) -> bool {
        self.value.is_some()
    }

    /// The value, if it is text.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Some(Plain::Text(text)) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Debug for VersionView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VersionView")
            .field("id", &self.id)
            .field("stages", &self.stages)
            .field("created", &self.created)
            .field("has_value", &self.has_value())
            .finish_non_exhaustive()
    }
}

impl Cloud {
    /// The users of an account, by name.
    pub fn users(&self, account: &str) -> Vec<UserView> {
        let world = self.world();
        let users = world.accounts.get(account).map(|it| it.users.values());
        users.into_iter().flatten().map(|user| user_view(&world, account, user)).collect()
    }

    /// Returns the user of this name, in any case; `None` if the account or the user does not exist.
    pub fn user(&self, account: &str, name: &str) -> Option<UserView> {
        let world = self.world();
        let user = world.accounts.get(account)?.user(name)?;
        Some(user_view(&world, account, user))
    }

    /// Whether an account has a role of that name.
    pub fn has_role(&self, account: &str, role: &str) -> bool {
        self.world().accounts.get(account).is_some_and(|account| account.roles.contains_key(role))
    }

    /// Whether an account has a group of that name.
    pub fn has_group(&self, account: &str, group: &str) -> bool {
        self.world().accounts.get(account).is_some_and(|account| account.group(group).is_some())
    }

    /// The accounts' ids.
    pub fn account_ids(&self) -> Vec<String> {
        self.world().accounts.keys().cloned().collect()
    }

    /// All secrets of all accounts, also those marked for deletion.
    pub fn secrets(&self) -> Vec<SecretView> {
        let mut world = self.world();
        world.purge_secrets(self.clock().now());
        let accounts = world.accounts.values();
        accounts.flat_map(|account| account.secrets.values()).map(|secret| secret_view(&world, secret)).collect()
    }

    /// The secret of this name in the first account that has one.
    pub fn secret(&self, name: &str) -> Option<SecretView> {
        let mut world = self.world();
        world.purge_secrets(self.clock().now());
        let secret = world.accounts.values().find_map(|it| it.secrets.get(name))?;
        Some(secret_view(&world, secret))
    }
}

fn user_view(world: &World, account: &str, user: &IamUser) -> UserView {
    UserView {
        account: account.to_owned(),
        name: user.name.clone(),
        path: user.path.clone(),
        arn: world.user_arn(account, user),
        id: user.id.clone(),
        created: user.created,
        tags: user.tags.clone(),
        groups: user.groups.iter().cloned().collect(),
        keys: user.keys.iter().map(key_view).collect(),
    }
}

fn key_view(key: &AccessKey) -> KeyView {
    KeyView { id: key.id.clone(), status: key.status.clone(), created: key.created, last_use: key.last_use.clone() }
}

fn secret_view(world: &World, secret: &Secret) -> SecretView {
    let versions = secret.versions.iter().map(|version| VersionView {
        id: version.id.clone(),
        stages: version.stages.iter().cloned().collect(),
        created: version.created,
        was_current: version.was_current,
        value: version.value.clone(),
    });
    let policy = secret.policy.as_ref();
    SecretView {
        account: secret.account.clone(),
        name: secret.name.clone(),
        arn: secret.arn.clone(),
        description: secret.description.clone(),
        kms_key_id: secret.kms_key_id.clone(),
        created: secret.created,
        versions: versions.collect(),
        tags: secret.tags.clone(),
        policy: policy.map(|stored| policy::shown(world, stored)),
        rotation_enabled: secret.rotation.enabled,
        rotation_function: secret.rotation.function.clone(),
        rotation_rules: secret.rotation.rules.as_ref().map(Rules::shown),
        last_rotated: secret.rotation.last_rotated,
        next_rotation: secret.next_rotation(),
        deletion_date: secret.deletion_date,
        last_test: secret.rotation.last_test.clone(),
        last_rotation: secret.rotation.last_result.clone(),
    }
}

impl Cloud {
    /// Passes every further change of a key to that observer.
    pub(crate) fn observe_keys(&self, observer: Observer) {
        self.world().observer = observer;
    }

    /// The changes of keys from the `from`-th on, oldest first.
    pub fn key_history(&self, from: usize) -> Vec<KeyEvent> {
        self.world().key_history.get(from..).map(<[KeyEvent]>::to_vec).unwrap_or_default()
    }
}
