//! Secrets Manager's side of a rotation: the four steps, the retries and the events.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::json;

use super::clock::delta;
use super::cloud::{Cloud, Stopped};
use super::history::ROTATION;
use super::ids;
use super::queue::{Extent, RotationJob};
use super::secret::{CURRENT, PENDING, Secret, SecretLocation};
use super::secretsmanager::start_rotation;
use super::state::World;

/// The order of the steps.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html>
const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

/// The pause of the schedule after a failed rotation. AWS does not document it.
const PAUSE_AFTER_FAILURE: TimeDelta = TimeDelta::hours(24);

/// Marks a job as running until it is dropped, even if the whole run is dropped.
struct Running<'c> {
    cloud: &'c Cloud,
    job: RotationJob,
}

impl<'c> Running<'c> {
    fn new(cloud: &'c Cloud, job: RotationJob) -> Self {
        cloud.world().running.push(job.clone());
        Self { cloud, job }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let job = &self.job;
        self.cloud.world().running.retain(|it| !it.same_as(job));
    }
}

/// The facts about a secret that its rotation needs.
struct RotationTarget {
    arn: String,
    function: String,
    rotation_token: String,
}

impl World {
    /// Queues a rotation, unless it is queued or running already.
    pub(crate) fn queue(&mut self, job: RotationJob) {
        let runs = self.running.iter().any(|it| it.same_as(&job));
        if !runs && self.rotations.push(job) {
            self.rotation_queued.notify_one();
        }
    }

    fn target(&mut self, job: &RotationJob) -> Result<RotationTarget, String> {
        let rotation_token = ids::rotation_token(&mut self.rng);
        let account = self.accounts.get_mut(&job.location.account);
        let secret = account.and_then(|it| it.secrets.get_mut(&job.location.name));
        let secret = secret.filter(|it| it.deletion_date.is_none());
        let secret = secret.ok_or("the secret is gone or marked for deletion")?;
        if secret.rotation.abandoned.as_ref() == Some(&job.token) {
            return Err("a new version was put by hand".to_owned());
        }
        if !secret.rotation.enabled {
            return Err("the rotation was cancelled".to_owned());
        }
        let function = secret.rotation.function.clone();
        // A retry goes on with the token of the first attempt.
        let under_way = match &secret.rotation.under_way {
            Some((version, token)) if *version == job.token => token.clone(),
            _ => rotation_token,
        };
        secret.rotation.under_way = Some((job.token.clone(), under_way.clone()));
        Ok(RotationTarget {
            arn: secret.arn.clone(),
            function: function.ok_or("the secret has no rotation function")?,
            rotation_token: under_way,
        })
    }

    /// Refuses a pending version with a value that the secret's rotation function did not put.
    fn check_pending(&self, job: &RotationJob) -> Result<(), String> {
        if !self.switches.refuses_foreign_pending || job.extent == Extent::TestOnly {
            return Ok(());
        }
        let Some(secret) = self.secret_at(&job.location) else { return Ok(()) };
        let Some(pending) = secret.version(&job.token).filter(|version| version.value.is_some()) else { return Ok(()) };
        let function = secret.rotation.function.as_deref();
        if pending.stages.contains(CURRENT) || pending.put_by.as_deref() == function {
            return Ok(());
        }
        Err(format!(
            "Pending secret version {} for Secret {} was not created by Lambda {}. Remove the AWSPENDING staging label \
             and restart rotation.",
            pending.id,
            secret.arn,
            function.unwrap_or_default()
        ))
    }

    fn alter(&mut self, job: &RotationJob, now: DateTime<Utc>, change: impl FnOnce(&mut Secret)) {
        if let Some(secret) = self.change_secret(&job.location, now) {
            change(secret);
        }
    }

    /// Emits the event that CloudTrail sends to EventBridge. The event has the step in which `error` came, and nothing
    /// of the function's message.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html>
    pub(crate) fn announce(
        &mut self,
        location: &SecretLocation,
        event_name: &str,
        error: Option<&str>,
        now: DateTime<Utc>,
    ) {
        let Some(secret) = self.secret_at(location) else { return };
        let (arn, function) = (secret.arn.clone(), secret.rotation.function.clone().unwrap_or_default());
        let account = location.account.clone();
        let mut detail = json!({
            "eventVersion": "1.11",
            "userIdentity": { "accountId": account, "invokedBy": "secretsmanager.amazonaws.com" },
            "eventTime": now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            "eventSource": "secretsmanager.amazonaws.com",
            "eventName": event_name,
            "awsRegion": self.region,
            "sourceIPAddress": "secretsmanager.amazonaws.com",
            "userAgent": "secretsmanager.amazonaws.com",
            "requestParameters": null,
            "responseElements": null,
            "additionalEventData": { "SecretId": arn },
            "readOnly": false,
            "eventType": "AwsServiceEvent",
            "managementEvent": true,
            "recipientAccountId": account,
            "eventCategory": "Management",
        });
        if let Some(error) = error {
            let step = STEPS.into_iter().find(|step| error.starts_with(&format!("{step}: ")));
            let of_step = |step| format!("Error when executing lambda {function} during {step} step");
            detail["errorMessage"] = json!(step.map_or_else(|| error.to_owned(), of_step));
        }
        self.event("AWS Service Event via CloudTrail", &account, &arn, &detail, now);
    }
}

impl Cloud {
    /// Runs every queued rotation to its end, including retries. Several run at once, as on Lambda.
    pub async fn run_rotations(&self) {
        loop {
            let (jobs, at_once) = {
                let mut world = self.world();
                let at_once = world.switches.rotations_at_once.max(1);
                (world.rotations.take(usize::MAX), at_once)
            };
            if jobs.is_empty() {
                return;
            }
            let running = futures_util::stream::iter(jobs).map(|job| self.run(job));
            running.buffer_unordered(at_once).collect::<()>().await;
        }
    }

    /// Runs rotations as they are queued, concurrently with other work, until it is dropped.
    pub async fn serve_rotations(&self) {
        let queued = Arc::clone(&self.world().rotation_queued);
        let mut running = FuturesUnordered::new();
        loop {
            {
                let mut world = self.world();
                let free = world.switches.rotations_at_once.max(1).saturating_sub(running.len());
                running.extend(world.rotations.take(free).into_iter().map(|job| self.run(job)));
            }
            tokio::select! {
                biased;
                Some(()) = running.next() => {}
                () = queued.notified() => {}
            }
        }
    }

    /// Starts every due rotation, as the native schedule does, and runs them to their end.
    pub async fn fire_due_rotations(&self) {
        self.start_due_rotations();
        self.run_rotations().await;
    }

    /// Queues every due rotation.
    pub(crate) fn start_due_rotations(&self) {
        let now = self.clock().now();
        let mut world = self.world();
        world.purge_secrets(now);
        for location in due(&world, now) {
            let token = ids::uuid(&mut world.rng);
            // If an earlier rotation is incomplete, it is queued instead. The schedule has no caller that could get the
            // error.
            let started = start_rotation(&mut world, &location, &token, Extent::Whole, now);
            if started.is_err()
                && world.switches.never_reattempts
                && let Some(secret) = world.change_secret(&location, now)
            {
                secret.rotation.not_before = Some(now + PAUSE_AFTER_FAILURE);
            }
        }
    }

    /// When the native schedule acts next: the earliest next rotation, or the end of the pause after a failure.
    pub fn next_rotation_due(&self) -> Option<DateTime<Utc>> {
        let world = self.world();
        let secrets = world.accounts.values().flat_map(|it| it.secrets.values());
        secrets.filter_map(|secret| secret.next_attempt(world.switches.schedule_hour)).min()
    }

    async fn run(&self, job: RotationJob) {
        let running = Running::new(self, job);
        let job = &running.job;
        let (attempts, mut wait) = self.begin(job);
        for attempt in 1..=attempts {
            match self.attempt(job).await {
                Ok(()) => return self.conclude(job, Ok(())),
                Err(AttemptFailure::Abandoned(why)) => return self.abandon(job, why),
                Err(AttemptFailure::Refused(why)) => return self.conclude(job, Err(why)),
                Err(AttemptFailure::Step(why)) if attempt == attempts => return self.conclude(job, Err(why)),
                Err(AttemptFailure::Step(_)) => {
                    self.clock().sleep_for(wait).await;
                    wait = wait.saturating_mul(2);
                }
            }
        }
    }

    /// Emits the event of the start. Returns the number of attempts and the wait after the first.
    fn begin(&self, job: &RotationJob) -> (u32, Duration) {
        let mut world = self.world();
        let prefix = job.extent.event_prefix();
        world.announce(&job.location, &format!("{prefix}Started"), None, self.clock().now());
        let attempts = match job.extent {
            Extent::Whole => world.switches.rotation_attempts.max(1),
            Extent::TestOnly => 1,
        };
        (attempts, world.switches.rotation_retry_wait)
    }

    /// Runs all steps once, in order, until one fails.
    async fn attempt(&self, job: &RotationJob) -> Result<(), AttemptFailure> {
        let steps = match job.extent {
            Extent::Whole => &STEPS[..],
            Extent::TestOnly => &["testSecret"],
        };
        self.world().check_pending(job).map_err(AttemptFailure::Refused)?;
        for step in steps {
            let target = self.world().target(job).map_err(AttemptFailure::Abandoned)?;
            self.step(job, &target, step).await.map_err(|why| AttemptFailure::Step(format!("{step}: {why}")))?;
        }
        let world = self.world();
        let current = world.secret_at(&job.location).and_then(|it| it.staged(CURRENT));
        let moved = current.is_some_and(|it| it.id == job.token);
        if moved || job.extent == Extent::TestOnly {
            return Ok(());
        }
        Err(AttemptFailure::Step("finishSecret: AWSCURRENT is not on the new version".to_owned()))
    }

    /// Invokes the function for one step. The invocation is dropped at its time limit or if a fault stops it.
    async fn step(&self, job: &RotationJob, target: &RotationTarget, step: &str) -> Result<(), String> {
        let function = self.functions().get(&target.function).cloned();
        let function = function.ok_or_else(|| {
            format!("Secrets Manager cannot invoke the specified Lambda function {}", target.function)
        })?;
        let event = json!({
            "Step": step,
            "SecretId": target.arn,
            "ClientRequestToken": job.token,
            "RotationToken": target.rotation_token,
        });
        let limit: Duration = self.world().switches.rotation_step_limit;
        let deadline = self.clock().now() + delta(limit);
        // Invoked inside the watched future, so that calls before its first await are watched, too.
        let invocation = self.until_stopped(async move { function.invoke(event, deadline).await });
        let invocation = ROTATION.scope(job.token.clone(), invocation);
        match tokio::time::timeout(limit, invocation).await {
            Ok(Ok(result)) => result,
            Ok(Err(Stopped)) => Err("the function was stopped".to_owned()),
            Err(_) => Err(format!("Task timed out after {} seconds", limit.as_secs())),
        }
    }

    /// Records the result of a rotation and emits its event.
    fn conclude(&self, job: &RotationJob, result: Result<(), String>) {
        let now = self.clock().now();
        let mut world = self.world();
        let lingers = world.switches.pending_label_lingers;
        let error = result.as_ref().err().cloned();
        world.alter(job, now, |secret| match job.extent {
            Extent::TestOnly => end_test(secret, job, result),
            Extent::Whole => end_rotation(secret, result, lingers, now),
        });
        let end = if error.is_none() { "Succeeded" } else { "Failed" };
        let event_name = format!("{}{end}", job.extent.event_prefix());
        world.announce(&job.location, &event_name, error.as_deref(), now);
    }

    /// Ends a rotation whose secret was deleted, whose schedule was cancelled, or whose version gave way to one put by
    /// hand. No event is documented for the first two; the put itself has emitted that of the last.
    fn abandon(&self, job: &RotationJob, why: String) {
        let now = self.clock().now();
        let mut world = self.world();
        world.alter(job, now, |secret| match job.extent {
            Extent::TestOnly => end_test(secret, job, Err(why)),
            Extent::Whole => secret.rotation.last_result = Some(Err(why)),
        });
    }
}

enum AttemptFailure {
    /// A step failed. The whole rotation is tried again.
    Step(String),
    /// There is nothing left to rotate.
    Abandoned(String),
    /// The service does not work on this version, and no attempt changes that.
    Refused(String),
}

/// Records the result of a test, and removes the copied version in any case.
fn end_test(secret: &mut Secret, job: &RotationJob, result: Result<(), String>) {
    secret.versions.retain(|it| it.id != job.token || it.stages.contains(CURRENT));
    secret.rotation.under_way = None;
    secret.rotation.last_test = Some(result);
}

/// A failure leaves AWSPENDING where it is, and `NextRotationDate` in the past.
fn end_rotation(secret: &mut Secret, result: Result<(), String>, lingers: bool, now: DateTime<Utc>) {
    if result.is_ok() {
        secret.rotation.last_rotated = Some(now);
        secret.rotation.counted_from = Some(now);
        secret.rotation.not_before = None;
        secret.rotation.under_way = None;
        if !lingers {
            for version in &mut secret.versions {
                version.stages.remove(PENDING);
            }
        }
    } else {
        secret.rotation.not_before = Some(now + PAUSE_AFTER_FAILURE);
    }
    secret.rotation.last_result = Some(result);
    secret.changed = now;
}

fn due(world: &World, now: DateTime<Utc>) -> Vec<SecretLocation> {
    let secrets = world.accounts.values().flat_map(|it| it.secrets.values());
    let due = secrets.filter(|it| it.next_attempt(world.switches.schedule_hour).is_some_and(|next| next <= now));
    due.map(|it| SecretLocation { account: it.account.clone(), name: it.name.clone() }).collect()
}
