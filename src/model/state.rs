//! The state of the model: plain data, one instance per cloud, behind one lock. Services change it, views show it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::Notify;

use super::calls::Call;
use super::history::{KeyChange, KeyEvent, rotation_under_way};
use super::ids;
use super::kms::KmsKey;
use super::mail::Outbox;
use super::queue::{RotationJob, RotationQueue};
use super::secret::Secret;
use super::switches::Switches;
use super::topic::Topic;

/// The state of an account in its organization.
/// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_Account.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountStatus {
    /// In use.
    Active,
    /// Suspended by AWS.
    Suspended,
    /// Being closed; still works.
    PendingClosure,
    /// Made, not yet usable.
    PendingActivation,
    /// Closed by its owner.
    Closed,
}

impl AccountStatus {
    /// The value of the member `State`.
    pub(crate) fn state(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
            Self::PendingClosure => "PENDING_CLOSURE",
            Self::PendingActivation => "PENDING_ACTIVATION",
            Self::Closed => "CLOSED",
        }
    }

    /// The value of the retired member `Status`, which has fewer values.
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::Active | Self::PendingActivation => "ACTIVE",
            Self::PendingClosure => "PENDING_CLOSURE",
            Self::Suspended | Self::Closed => "SUSPENDED",
        }
    }

    /// Whether roles of the account can be assumed.
    pub(crate) fn usable(self) -> bool {
        matches!(self, Self::Active | Self::PendingClosure)
    }
}

/// The last use of an access key as IAM records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedUse {
    /// The first use in its quarter of an hour.
    pub at: DateTime<Utc>,
    /// The service as IAM names it, for example `s3`.
    pub service: String,
    /// The region, for example `us-east-1`.
    pub region: String,
}

#[derive(Clone)]
pub(crate) struct AccessKey {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) created: DateTime<Utc>,
    /// When STS begins to accept the key.
    pub(crate) accepted_from: DateTime<Utc>,
    /// When the slowest service begins to accept it.
    pub(crate) accepted_everywhere_from: DateTime<Utc>,
    pub(crate) status: String,
    pub(crate) last_use: Option<RecordedUse>,
    /// When the status last changed, and the status before.
    pub(crate) changed: Option<(DateTime<Utc>, String)>,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessKey({}, {})", self.id, self.status)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct IamUser {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) id: String,
    pub(crate) created: DateTime<Utc>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) groups: BTreeSet<String>,
    pub(crate) keys: Vec<AccessKey>,
    /// Deleted keys and when they were deleted, because a lagging list still shows them.
    pub(crate) deleted_keys: Vec<(DateTime<Utc>, AccessKey)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) created: DateTime<Utc>,
    /// User names in lower case.
    pub(crate) members: BTreeSet<String>,
    /// Whether its policy lets members read secrets of other accounts.
    pub(crate) grants_reads: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) trusts: Vec<String>,
    /// The only KMS keys under which it may encrypt, by a denial in its own policy; `None` without one.
    pub(crate) encrypts_only_under: Option<BTreeSet<String>>,
}

#[derive(Clone, Debug)]
pub(crate) struct GeneratedReport {
    pub(crate) started: DateTime<Utc>,
    pub(crate) content: Arc<str>,
}

#[derive(Clone, Debug)]
pub(crate) struct AwsAccount {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) email: Option<String>,
    pub(crate) state: AccountStatus,
    /// Whether it belongs to the organization, if there is one.
    pub(crate) is_member: bool,
    pub(crate) joined: DateTime<Utc>,
    pub(crate) alias: Option<String>,
    /// Opt-in Regions that the account has not enabled.
    pub(crate) regions_off: BTreeSet<String>,
    /// By name in lower case, because names are unique regardless of case.
    pub(crate) users: BTreeMap<String, IamUser>,
    /// By name in lower case.
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) roles: BTreeMap<String, Role>,
    pub(crate) report: Option<GeneratedReport>,
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// Names in the order of creation, for lists.
    pub(crate) secret_order: BTreeMap<u64, String>,
}

impl AwsAccount {
    pub(crate) fn user(&self, name: &str) -> Option<&IamUser> {
        self.users.get(&name.to_ascii_lowercase())
    }

    pub(crate) fn user_mut(&mut self, name: &str) -> Option<&mut IamUser> {
        self.users.get_mut(&name.to_ascii_lowercase())
    }

    pub(crate) fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(&name.to_ascii_lowercase())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Organization {
    pub(crate) id: String,
    pub(crate) management: Option<String>,
    pub(crate) delegated: BTreeSet<String>,
}

/// Temporary credentials of a role.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) secret: String,
    pub(crate) token: String,
    pub(crate) account: String,
    pub(crate) role: String,
    pub(crate) name: String,
    pub(crate) expires: Option<DateTime<Utc>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({}, {}, {})", self.account, self.role, self.name)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) partition: String,
    pub(crate) region: String,
    pub(crate) rng: fastrand::Rng,
    pub(crate) accounts: BTreeMap<String, AwsAccount>,
    pub(crate) organization: Option<Organization>,
    pub(crate) sessions: HashMap<String, Session>,
    /// The account and the user name of each long-term key, by key id.
    pub(crate) key_owners: HashMap<String, (String, String)>,
    /// By ARN.
    pub(crate) kms_keys: BTreeMap<String, KmsKey>,
    /// Scheduled deletions: time, account and name.
    pub(crate) deletions: BTreeSet<(DateTime<Utc>, String, String)>,
    pub(crate) switches: Switches,
    pub(crate) outbox: Outbox,
    /// By ARN.
    pub(crate) topics: BTreeMap<String, Topic>,
    pub(crate) events: Vec<Value>,
    pub(crate) calls: Vec<Call>,
    /// Calls that were counted but not kept.
    pub(crate) calls_counted: usize,
    pub(crate) key_history: Vec<KeyEvent>,
    pub(crate) observer: Observer,
    pub(crate) rotations: RotationQueue,
    pub(crate) running: Vec<RotationJob>,
    pub(crate) rotation_queued: Arc<Notify>,
    pub(crate) serial: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let organization =
            Organization { id: ids::organization_id(&mut rng), management: None, delegated: BTreeSet::new() };
        Self {
            partition: "aws".to_owned(),
            region: "us-east-1".to_owned(),
            rng,
            accounts: BTreeMap::new(),
            organization: Some(organization),
            sessions: HashMap::new(),
            key_owners: HashMap::new(),
            kms_keys: BTreeMap::new(),
            deletions: BTreeSet::new(),
            switches: Switches::default(),
            outbox: Outbox::default(),
            topics: BTreeMap::new(),
            events: Vec::new(),
            calls: Vec::new(),
            calls_counted: 0,
            key_history: Vec::new(),
            observer: Observer::default(),
            rotations: RotationQueue::default(),
            running: Vec::new(),
            rotation_queued: Arc::default(),
            serial: 0,
        }
    }

    /// An independent copy. Running rotations are driven from outside the world, so in the copy they are queued again.
    pub(crate) fn forked(&self) -> Self {
        let mut copy = self.clone();
        let running = std::mem::take(&mut copy.running);
        copy.rotations.put_before(running);
        copy.observer = Observer::default();
        copy.rotation_queued = Arc::default();
        copy
    }

    /// Draws whether the next invocation of the rotation function starts a new process.
    pub(crate) fn is_cold_start(&mut self) -> bool {
        let of_a_hundred = self.switches.cold_starts;
        of_a_hundred > 0 && self.rng.u32(..100) < of_a_hundred
    }

    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(crate) fn user_arn(&self, account: &str, user: &IamUser) -> String {
        let (partition, path, name) = (&self.partition, &user.path, &user.name);
        format!("arn:{partition}:iam::{account}:user{path}{name}")
    }

    pub(crate) fn role_arn(&self, account: &str, role: &str) -> String {
        format!("arn:{}:iam::{account}:role/{role}", self.partition)
    }

    pub(crate) fn group_arn(&self, account: &str, group: &str) -> String {
        format!("arn:{}:iam::{account}:group/{group}", self.partition)
    }

    /// The Region for which requests to IAM are signed in this partition.
    /// <https://docs.aws.amazon.com/general/latest/gr/iam-service.html>
    pub(crate) fn global_region(&self) -> &'static str {
        match self.partition.as_str() {
            "aws-cn" => "cn-north-1",
            "aws-us-gov" => "us-gov-west-1",
            _ => "us-east-1",
        }
    }
}

impl World {
    /// Records a call, or only counts it.
    pub(crate) fn log_call(&mut self, call: impl FnOnce() -> Call) {
        if self.switches.counts_only {
            self.calls_counted += 1;
        } else {
            self.calls.push(call());
        }
    }
}

impl World {
    /// Records a change of a key and passes it to the observer. `before` is the key before the change.
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
            last_service: before.last_use.as_ref().map(|it| it.service.clone()),
            others,
        };
        self.observer.clone().tell(self, &event);
        if !self.switches.counts_only {
            self.key_history.push(event);
        }
    }
}

type Observe = dyn FnMut(&World, &KeyEvent) + Send;

/// A function that gets every change of a key at the moment of the change, with the world as it is then.
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
