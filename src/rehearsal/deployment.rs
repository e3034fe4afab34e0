//! keywheel deployed on the model: the real handlers behind a function ARN, with the roles that the templates make.

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
const KMS_KEY: &str = "arn:aws:kms:us-east-1:999988887777:key/7f1c2d3e-0000-4000-8000-000000000001";
const FUNCTION_ARN: &str = "arn:aws:lambda:us-east-1:999988887777:function:keywheel-rotation";
/// Lambda's longest, which the template gives the sweeper.
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
    /// Deployed as long as this is.
    _rotation: Arc<DeployedRotation>,
    clocks: Clocks,
}

impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cloud: _, transport: _, settings, templates: _, sweeper, _rotation: _, clocks: _ } = self;
        f.debug_struct("Deployment").field("settings", settings).field("sweeper", sweeper).finish_non_exhaustive()
    }
}

/// How far each function's clock is ahead of AWS's; behind it, when negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// The sweeper's.
    pub sweeper: TimeDelta,
    /// The rotation function's.
    pub rotation: TimeDelta,
}

impl Deployment {
    /// Deploys with these settings over the rehearsal's own. The primary account, its KMS key and the two functions'
    /// roles are made; member accounts are prepared one by one.
    ///
    /// # Errors
    /// Settings or templates that the executables would refuse.
    pub fn new(cloud: &Cloud, overrides: &[(&str, &str)]) -> Result<Self, Error> {
        Self::through(Transport::Sdk, cloud, overrides)
    }

    /// The same on that way to the model.
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
        cloud.add_kms_key(settings.kms_key.as_deref().unwrap_or(KMS_KEY));
        Ok(Self::connected(transport, cloud, settings, Arc::new(templates), Clocks::default()))
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
        // Not the function itself: it holds the cloud, and neither would ever be dropped.
        cloud.set_rotation_function(arn, Arc::new(Registered(Arc::downgrade(&rotation))));
        Self { cloud: cloud.clone(), settings, templates, transport, sweeper, _rotation: rotation, clocks }
    }

    /// The same deployment, started anew on hosts whose clocks go wrong.
    #[must_use]
    pub fn with_clocks(&self, clocks: Clocks) -> Self {
        Self::connected(self.transport, &self.cloud, self.settings.clone(), self.templates.clone(), clocks)
    }

    /// The same deployment on a fork of its cloud and on that way to it, with functions that start cold: no session is
    /// carried over.
    #[must_use]
    pub fn on(&self, fork: &Cloud, transport: Transport) -> Self {
        Self::connected(transport, fork, self.settings.clone(), self.templates.clone(), self.clocks)
    }

    /// The same deployment on a fork of its cloud as of now, on the same way to it.
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

    /// What the member template brings into an account: both roles and both groups.
    pub fn prepare_member(&self, account: &str) {
        self.prepare_roles(account);
        self.prepare_groups(account);
    }

    /// The roles alone, as they are when the template is deployed again.
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

    /// The groups alone: in the account of the stack no role is assumed.
    pub fn prepare_groups(&self, account: &str) {
        self.cloud.add_group(account, &self.settings.exemption_group);
        if let Some(readers) = &self.settings.reader_group {
            self.cloud.add_group(account, readers);
            self.cloud.allow_reader_group(account, readers);
        }
    }

    /// The model.
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
    /// The error that the function answers.
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
    /// The error that the function answers.
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

/// That function's way to the model. What the rotation function is given of it is the [`Aws`] that is part of it.
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
            let services = DirectServices::new(cloud, cloud.role_session(account, &role), clock);
            SweeperAws::through(Arc::new(services), access)
        }
    }
}

/// What the cloud knows of the function.
struct Registered(Weak<DeployedRotation>);

impl RotationFunction for Registered {
    fn invoke(&self, event: Value, deadline: DateTime<Utc>) -> BoxFuture<'static, Result<(), String>> {
        match self.0.upgrade() {
            Some(function) => function.invoke(event, deadline).boxed(),
            None => async { Err("the function was deleted".to_owned()) }.boxed(),
        }
    }
}

/// The rotation function and its processes. Lambda hands an invocation to an idle process, and starts one where there is
/// none; each handles one at a time.
struct DeployedRotation {
    cloud: Cloud,
    transport: Transport,
    settings: Arc<Settings>,
    ahead: TimeDelta,
    /// The last one was idle last, and gets the next invocation.
    idle: Mutex<Vec<Process>>,
}

/// What a process holds from one invocation to the next.
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
