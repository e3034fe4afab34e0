//! keywheel deployed on the model: the real handlers behind a function's ARN, with the roles that the templates define.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::direct::DirectServices;
use super::leaks;
use crate::aws::{Aws, SweeperAws};
use crate::error::Error;
use crate::model::{Cloud, RotationFunction};
use crate::notify::Templates;
use crate::settings::{Function, Settings};
use crate::{process, rotation, sweep};

/// The account of the stack, unless a test chooses another.
pub const PRIMARY_ACCOUNT: &str = "999988887777";
pub(super) const KMS_KEY: &str = "arn:aws:kms:us-east-1:999988887777:key/7f1c2d3e-0000-4000-8000-000000000001";
const FUNCTION_ARN: &str = "arn:aws:lambda:us-east-1:999988887777:function:keywheel-rotation";
/// The template gives the sweeper Lambda's longest time.
const SWEEP_LIMIT: TimeDelta = TimeDelta::minutes(15);

/// How the handlers reach the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Through the SDK, as in production: about half a millisecond a call in a debug build.
    #[default]
    Sdk,
    /// Without the SDK, its retries and the wire: about fifty times faster.
    Direct,
}

/// keywheel on one model of AWS. Cheap to clone; clones share the model.
#[derive(Clone)]
pub struct Deployment {
    cloud: Cloud,
    settings: Arc<Settings>,
    templates: Arc<Templates>,
    transport: Transport,
    sweeper: SweeperAws,
    /// The model calls the function as long as this exists.
    _rotation: Arc<DeployedRotation>,
    clocks: Clocks,
}

impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cloud: _, transport: _, settings, templates: _, sweeper, _rotation: _, clocks: _ } = self;
        f.debug_struct("Deployment").field("settings", settings).field("sweeper", sweeper).finish_non_exhaustive()
    }
}

/// How far each function's clock is ahead of AWS's clock; negative: behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// The sweeper's clock.
    pub sweeper: TimeDelta,
    /// The rotation function's clock.
    pub rotation: TimeDelta,
}

impl Deployment {
    /// Deploys with the rehearsal's default settings and these `overrides`. Makes the primary account, its KMS key and
    /// the roles of both functions; member accounts need [`Deployment::prepare_member`].
    ///
    /// # Errors
    /// Fails for settings or templates that the executables would refuse.
    pub fn new(cloud: &Cloud, overrides: &[(&str, &str)]) -> Result<Self, Error> {
        Self::through(Transport::Sdk, cloud, overrides)
    }

    /// Like [`Deployment::new`], with a choice of the transport.
    ///
    /// # Errors
    /// As [`Deployment::new`].
    pub fn through(transport: Transport, cloud: &Cloud, overrides: &[(&str, &str)]) -> Result<Self, Error> {
        let given: BTreeMap<&str, &str> = DEFAULTS.iter().chain(overrides).copied().collect();
        let lookup = |variable: &str| given.get(variable).map(|value| (*value).to_owned());
        let settings = Arc::new(Settings::read(Function::Sweeper, lookup)?);
        let templates = Templates::load(&settings, |_| None).map_err(|error| Error::InvalidEvent(error.to_string()))?;
        let primary = settings.primary_account.to_string();
        if !cloud.account_ids().contains(&primary) {
            cloud.add_account(&primary, "security", Some("security@example.com"));
        }
        if let Some(organization) = &settings.organization_id {
            cloud.set_organization_id(organization);
        }
        cloud.add_kms_key(settings.kms_key.as_deref().unwrap_or(KMS_KEY));
        let deployed = Self::connected(transport, cloud, settings, Arc::new(templates), Clocks::default());
        deployed.guard_kms_key();
        Ok(deployed)
    }

    /// Gives the KMS key and the execution roles the policies of the template: the key serves these roles and users,
    /// and the roles encrypt under no other key.
    fn guard_kms_key(&self) {
        let Settings { kms_key: Some(key), primary_account, execution_role, .. } = &*self.settings else { return };
        let arn = |account: &str, resource: &str| format!("arn:*:iam::{account}:{resource}");
        let (account, roles) =
            (primary_account.as_str(), [execution_role.clone(), self.settings.rotation_execution_role()]);
        let admitted: Vec<String> = roles.iter().map(|role| arn(account, &format!("role/{role}"))).collect();
        self.cloud.admit_to_kms_key(key, &[admitted, vec![arn("*", "user/*")]].concat());
        for role in &roles {
            self.cloud.deny_other_kms_keys(account, role, Some(&[key]));
        }
    }

    fn connected(
        transport: Transport,
        cloud: &Cloud,
        settings: Arc<Settings>,
        templates: Arc<Templates>,
        clocks: Clocks,
    ) -> Self {
        let sweeper = aws(transport, cloud, Function::Sweeper, &settings, clocks.sweeper);
        let rotation = DeployedRotation {
            cloud: cloud.clone(),
            transport,
            settings: settings.clone(),
            ahead: clocks.rotation,
            idle: Mutex::default(),
        };
        rotation.idle().push(rotation.start());
        let rotation = Arc::new(rotation);
        let arn = settings.rotation_function_arn.as_deref().unwrap_or(FUNCTION_ARN);
        // A weak reference: function and cloud hold each other, and neither would ever be dropped.
        cloud.set_rotation_function(arn, Arc::new(Registered(Arc::downgrade(&rotation))));
        Self { cloud: cloud.clone(), settings, templates, transport, sweeper, _rotation: rotation, clocks }
    }

    /// The same deployment, with new processes on hosts with these clocks.
    #[must_use]
    pub fn with_clocks(&self, clocks: Clocks) -> Self {
        Self::connected(self.transport, &self.cloud, self.settings.clone(), self.templates.clone(), clocks)
    }

    /// The same deployment on a fork of its cloud, through this transport. Its functions start cold, without sessions.
    #[must_use]
    pub fn on(&self, fork: &Cloud, transport: Transport) -> Self {
        Self::connected(transport, fork, self.settings.clone(), self.templates.clone(), self.clocks)
    }

    /// The same deployment on a fork of its cloud as of now, through the same transport.
    #[must_use]
    pub fn on_fork(&self) -> Self {
        self.on(&self.cloud.fork(), self.transport)
    }

    /// The same deployment with other settings, as after a new `sam deploy`.
    ///
    /// # Errors
    /// As [`Deployment::new`].
    pub fn redeployed(&self, overrides: &[(&str, &str)]) -> Result<Self, Error> {
        Self::through(self.transport, &self.cloud, overrides)
    }

    /// Makes what the member template makes in an account: both roles and both groups.
    pub fn prepare_member(&self, account: &str) {
        self.prepare_roles(account);
        self.prepare_groups(account);
    }

    /// Makes the roles alone, as a second deployment of the template does.
    pub fn prepare_roles(&self, account: &str) {
        let function = self.settings.rotation_function_arn.as_deref().unwrap_or(FUNCTION_ARN);
        let partition = function.split(':').nth(1).unwrap_or("aws");
        let settings = &self.settings;
        for (role, trusted) in [
            (settings.member_role.clone(), settings.execution_role.clone()),
            (settings.rotation_member_role(), settings.rotation_execution_role()),
        ] {
            let trusted = format!("arn:{partition}:iam::{}:role/{trusted}", settings.primary_account);
            self.cloud.add_role(account, &role, &[&trusted]);
        }
    }

    /// Makes the groups alone. The stack's own account needs no more, because no role is assumed there.
    pub fn prepare_groups(&self, account: &str) {
        self.cloud.add_group(account, &self.settings.exemption_group);
        if let Some(readers) = &self.settings.reader_group {
            self.cloud.add_group(account, readers);
            self.cloud.allow_reader_group(account, readers);
        }
    }

    /// The model that keywheel is deployed on.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Invokes the sweeper.
    ///
    /// # Errors
    /// The error that the function returns.
    pub async fn sweep(&self, event: Value) -> Result<Value, Error> {
        // Lambda's deadline is by the clock of the host.
        let deadline = self.sweeper.now() + SWEEP_LIMIT;
        let answer = sweep::handle(&self.sweeper, &self.settings, &self.templates, event, deadline).await;
        leaks::show("answer of the sweeper", &answer);
        answer
    }

    /// Invokes the rotation function by hand, as Secrets Manager does, in a process that has just started.
    ///
    /// # Errors
    /// The error that the function returns.
    pub async fn rotate_step(&self, event: Value, deadline: DateTime<Utc>) -> Result<(), Error> {
        let aws = aws(self.transport, &self.cloud, Function::Rotation, &self.settings, self.clocks.rotation);
        let done = rotation::handle(&aws, &self.settings, event, deadline).await;
        leaks::show("answer of the rotation function", &done);
        done
    }
}

const DEFAULTS: [(&str, &str); 9] = [
    ("DRY_RUN_FLAG", "false"),
    ("PRIMARY_ACCOUNT_ID", PRIMARY_ACCOUNT),
    ("AWS_ORG_ID", "o-keywheel0001"),
    ("SENDER_EMAIL", "keywheel@example.com"),
    ("RECIPIENT_EMAIL", "platform@example.com"),
    ("SES_DOMAIN", "example.com"),
    ("ROTATION_FUNCTION_ARN", FUNCTION_ARN),
    ("SECRETS_KMS_KEY_ID", KMS_KEY),
    ("RESOURCE_OWNER_TAG", "owner"),
];

/// The function's clients. The rotation function gets only the [`Aws`] inside.
fn aws(transport: Transport, cloud: &Cloud, function: Function, settings: &Settings, ahead: TimeDelta) -> SweeperAws {
    let role = match function {
        Function::Rotation => settings.rotation_execution_role(),
        Function::Sweeper => settings.execution_role.clone(),
    };
    let (account, access) = (settings.primary_account.as_str(), process::access(function, settings));
    let clock = cloud.clock().skewed(ahead);
    match transport {
        Transport::Sdk => {
            let config = cloud.sdk_config(account, &role).into_builder().time_source(clock.time_source()).build();
            SweeperAws::new(config, access)
        }
        Transport::Direct => {
            let mail_region = access.mail_region.clone();
            let services = DirectServices::new(cloud, cloud.role_session(account, &role), clock, mail_region);
            SweeperAws::through(Arc::new(services), access)
        }
    }
}

/// The entry in the cloud's list of functions.
struct Registered(Weak<DeployedRotation>);

impl RotationFunction for Registered {
    fn invoke(&self, event: Value, deadline: DateTime<Utc>) -> BoxFuture<'static, Result<(), String>> {
        match self.0.upgrade() {
            Some(function) => function.invoke(event, deadline).boxed(),
            None => async { Err("the function was deleted".to_owned()) }.boxed(),
        }
    }
}

/// The rotation function and its processes. Lambda passes an invocation to an idle process, or starts one if none is
/// idle. A process handles one invocation at a time.
struct DeployedRotation {
    cloud: Cloud,
    transport: Transport,
    settings: Arc<Settings>,
    ahead: TimeDelta,
    /// Idle processes. The last one became idle last, and gets the next invocation.
    idle: Mutex<Vec<Process>>,
}

/// The state of a process between invocations.
struct Process {
    aws: Aws,
}

impl DeployedRotation {
    /// An invocation that is dropped, because its time is over or a fault stops it, takes its process with it.
    async fn invoke(self: Arc<Self>, event: Value, deadline: DateTime<Utc>) -> Result<(), String> {
        let process = self.process();
        let deadline = deadline + self.ahead;
        let done = rotation::handle(&process.aws, &self.settings, event, deadline).await;
        leaks::show("answer of the rotation function", &done);
        self.idle().push(process);
        done.map_err(|error| error.to_string())
    }

    fn process(&self) -> Process {
        if self.cloud.world().is_cold_start() {
            self.idle().clear();
        }
        let idle = self.idle().pop();
        idle.unwrap_or_else(|| self.start())
    }

    fn start(&self) -> Process {
        let aws = aws(self.transport, &self.cloud, Function::Rotation, &self.settings, self.ahead);
        let aws = (*aws).clone();
        Process { aws }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Process>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
