//! The stage of all integration tests: keywheel deployed on the model of AWS, in a small organization, with a movable
//! clock.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_secretsmanager::Client as SecretsClient;
use chrono::{DateTime, TimeDelta, Utc};
use keywheel::model::{AccessKeyPair, Clock, Cloud, FaultKind, Mail, SecretView, UserView, paused_runtime};
use keywheel::rehearsal::{Deployment, Leaks, PRIMARY_ACCOUNT, Transport};
use serde_json::{Value, json};

/// The member account in which users are made unless a test says otherwise.
pub(crate) const MEMBER: &str = "111122223333";
/// A second member account.
pub(crate) const OTHER: &str = "222233334444";

/// The time at which every test starts.
pub(crate) fn start() -> DateTime<Utc> {
    "2026-01-01T06:00:00Z".parse().expect("a time")
}

/// Runs a test on a clock that skips every wait. In every test, no secret may appear in the log, a panic, an answer, an
/// error, a mail or the state of the model.
pub(crate) fn rehearse(work: impl Future<Output = ()>) {
    let leaks = Leaks::watch();
    paused_runtime().expect("a runtime").block_on(work);
    assert_eq!(leaks.found(), [], "a secret was shown");
}

/// A refusal, after which nothing has taken effect and the SDK does not retry.
pub(crate) fn refused(code: &str) -> FaultKind {
    FaultKind::ErrorBefore { status: 400, code: code.to_owned(), message: "the test refuses this call".to_owned() }
}

/// Returns the name of a user's secret.
pub(crate) fn secret_name(account: &str, user: &str) -> String {
    format!("Account_{account}_User_{user}_AccessKey")
}

/// keywheel on a model of AWS.
pub(crate) struct TestStack {
    pub(crate) cloud: Cloud,
    pub(crate) keywheel: Deployment,
}

/// The state that a dry run must not change.
#[derive(Debug, PartialEq)]
pub(crate) struct Snapshot {
    users: Vec<UserView>,
    secrets: Vec<SecretView>,
}

impl Drop for TestStack {
    fn drop(&mut self) {
        Leaks::show_cloud(&self.cloud);
    }
}

impl TestStack {
    /// A stage with the primary account, which manages the organization, and one member.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// A new stage with other settings.
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        Self::on(Cloud::new(Clock::starting_at(start()), 1), settings)
    }

    /// A new stage on a given model.
    pub(crate) fn on(cloud: Cloud, settings: &[(&str, &str)]) -> Self {
        Self::through(Transport::Sdk, cloud, settings)
    }

    /// A new stage on a given model, whose functions reach it by this transport.
    pub(crate) fn through(transport: Transport, cloud: Cloud, settings: &[(&str, &str)]) -> Self {
        cloud.add_account(PRIMARY_ACCOUNT, "security", Some("security@example.com"));
        cloud.set_management_account(PRIMARY_ACCOUNT);
        let keywheel = Deployment::through(transport, &cloud, settings).expect("settings that are right");
        keywheel.prepare_groups(PRIMARY_ACCOUNT);
        let stage = Self { cloud, keywheel };
        stage.add_member(MEMBER, "prod");
        stage
    }

    /// Returns an independent copy of the stage that continues from this time.
    pub(crate) fn fork_at(&self, time: DateTime<Utc>, transport: Transport) -> Self {
        let cloud = self.cloud.fork_at(time);
        Self { keywheel: self.keywheel.on(&cloud, transport), cloud }
    }

    /// From now on, the functions call the model without the SDK.
    pub(crate) fn leave_the_sdk(&mut self) {
        self.keywheel = self.keywheel.on(&self.cloud, Transport::Direct);
    }

    /// Adds a member account with the roles and groups of the member template.
    pub(crate) fn add_member(&self, account: &str, name: &str) {
        self.cloud.add_account(account, name, Some(&format!("{name}@example.com")));
        self.keywheel.prepare_member(account);
    }

    /// A stage on which the sweeper calls Organizations through a role of the management account, and that role's ARN.
    pub(crate) fn with_organization_reader() -> (Self, String) {
        let role = format!("arn:aws:iam::{OTHER}:role/organization-reader");
        let stage = Self::with(&[("ORG_LIST_ROLE_ARN", &role)]);
        stage.add_member(OTHER, "management");
        stage.cloud.set_management_account(OTHER);
        let sweeper = format!("arn:aws:iam::{PRIMARY_ACCOUNT}:role/{}", stage.keywheel.settings().execution_role);
        stage.cloud.add_role(OTHER, "organization-reader", &[&sweeper]);
        (stage, role)
    }

    /// Adds a user of the member account with keys of these ages in days.
    pub(crate) fn add_user(&self, name: &str, key_ages: &[i64]) -> Vec<AccessKeyPair> {
        self.add_user_in(MEMBER, name, key_ages)
    }

    /// Adds a user of an account with keys of these ages in days.
    pub(crate) fn add_user_in(&self, account: &str, name: &str, key_ages: &[i64]) -> Vec<AccessKeyPair> {
        self.cloud.add_user(account, name, "/");
        key_ages
            .iter()
            .map(|days| self.cloud.add_access_key(account, name, self.now() - TimeDelta::days(*days)))
            .collect()
    }

    /// Returns the time on the stage.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.cloud.clock().now()
    }

    /// Moves the clock ahead by days.
    pub(crate) async fn pass_days(&self, days: u64) {
        self.cloud.clock().advance(Duration::from_hours(24 * days)).await;
    }

    /// Returns a user of the member account, who must exist.
    pub(crate) fn user(&self, name: &str) -> UserView {
        self.cloud.user(MEMBER, name).expect("the user is there")
    }

    /// Returns the status of a key of the member account's user, or `gone` if the key does not exist.
    pub(crate) fn status(&self, user: &str, key: &AccessKeyPair) -> String {
        let found = self.user(user).key(&key.access_key_id).map(|key| key.status.clone());
        found.unwrap_or_else(|| "gone".to_owned())
    }

    /// Returns the secret of the member account's user, which must exist.
    pub(crate) fn secret(&self, user: &str) -> SecretView {
        self.find_secret(user).expect("the secret is there")
    }

    /// Returns the secret of the member account's user, if it exists.
    pub(crate) fn find_secret(&self, user: &str) -> Option<SecretView> {
        self.cloud.secret(&secret_name(MEMBER, user))
    }

    /// Returns a tag's value from the secret of the member account's user. An empty value counts as absent.
    pub(crate) fn tag(&self, user: &str, name: &str) -> Option<String> {
        self.secret(user).tags.get(&format!("keywheel:{name}")).filter(|value| !value.is_empty()).cloned()
    }

    /// Sweeps all accounts.
    pub(crate) async fn sweep(&self) -> Value {
        self.keywheel.sweep(json!({})).await.expect("the sweep answers")
    }

    /// Sweeps all accounts and expects no failure.
    pub(crate) async fn sweep_well(&self) -> Value {
        let answer = self.sweep().await;
        assert_eq!(answer["failures"], json!([]), "{answer:#}");
        answer
    }

    /// Sweeps all accounts with the planted faults. Returns whether one of them stopped the sweeper.
    pub(crate) async fn sweep_is_stopped(&self) -> bool {
        Box::pin(self.cloud.until_stopped(self.keywheel.sweep(json!({})))).await.is_err()
    }

    /// Sweeps one account as the state machine does.
    pub(crate) async fn sweep_and_hold(&self, account: &str) -> Value {
        let event = json!({"account": account, "notices": "later"});
        self.keywheel.sweep(event).await.expect("the sweep answers")
    }

    /// Sends the notices that such sweeps deferred.
    pub(crate) async fn digest(&self) -> Value {
        self.keywheel.sweep(json!({"digest": {}})).await.expect("the digest answers")
    }

    /// Returns the number of secrets with the mark of a deferred notice.
    pub(crate) fn held(&self) -> usize {
        let is_marked =
            |tags: &BTreeMap<String, String>| tags.get("keywheel:untold").is_some_and(|mark| !mark.is_empty());
        self.cloud.secrets().iter().filter(|secret| is_marked(&secret.tags)).count()
    }

    /// Sweeps, then runs all rotations that are due and all events. Returns the sweep's answer.
    pub(crate) async fn live(&self) -> Value {
        let answer = self.sweep().await;
        self.cloud.run_rotations().await;
        self.cloud.fire_due_rotations().await;
        self.hand_over_events().await;
        answer
    }

    /// Passes a number of days, with a sweep on each.
    pub(crate) async fn live_days(&self, days: u64) {
        for _ in 0..days {
            self.pass_days(1).await;
            self.live().await;
        }
    }

    /// Sends EventBridge's events to the sweeper. Returns its answers.
    pub(crate) async fn hand_over_events(&self) -> Vec<Value> {
        let mut answers = Vec::new();
        for event in self.cloud.drain_events() {
            answers.push(self.keywheel.sweep(event).await.expect("the sweeper answers"));
        }
        answers
    }

    /// Adds a user of the member account and rotates its key. Returns the old key and the id of the new key.
    pub(crate) async fn add_rotated_user(&self, name: &str) -> (AccessKeyPair, String) {
        let old = self.add_user(name, &[90]).remove(0);
        self.live().await;
        let new = self.current_key(name);
        assert_ne!(new, old.access_key_id, "the key was rotated");
        (old, new)
    }

    /// Returns the key id in the current value.
    pub(crate) fn current_key(&self, user: &str) -> String {
        let value = self.secret(user).json("AWSCURRENT").expect("a value");
        value["AccessKeyId"].as_str().expect("a key id").to_owned()
    }

    /// Starts a rotation as a person does, and runs it.
    pub(crate) async fn rotate(&self, user: &str) -> Result<(), String> {
        let secret = self.secret(user);
        // If a rotation has begun already, the call is refused and that rotation continues.
        let _ = self.operator().rotate_secret().secret_id(&secret.arn).send().await;
        self.cloud.run_rotations().await;
        self.secret(user).last_rotation.expect("a rotation ended")
    }

    /// Returns a client of Secrets Manager for a person with all rights in the primary account.
    pub(crate) fn operator(&self) -> SecretsClient {
        SecretsClient::new(&self.cloud.sdk_config(PRIMARY_ACCOUNT, "operator"))
    }

    /// Cancels the schedule of a user of the member account, as a person does.
    pub(crate) async fn cancel_schedule(&self, user: &str) {
        let request = self.operator().cancel_rotate_secret().secret_id(secret_name(MEMBER, user));
        request.send().await.expect("cancelled");
    }

    /// Tags the secret of a user of the member account.
    pub(crate) async fn tag_secret(&self, user: &str, name: &str, value: &str) {
        let tag = aws_sdk_secretsmanager::types::Tag::builder().key(name).value(value).build();
        let request = self.operator().tag_resource().secret_id(secret_name(MEMBER, user)).tags(tag);
        request.send().await.expect("tagged");
    }

    /// Returns all users and secrets of all accounts.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let accounts = self.cloud.account_ids();
        let users = accounts.iter().flat_map(|account| self.cloud.users(account)).collect();
        Snapshot { users, secrets: self.cloud.secrets() }
    }

    /// Returns the number of calls of an operation, including failed ones.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.cloud.calls().iter().filter(|call| call.operation == operation).count()
    }

    /// Returns the mails whose text contains all of these parts.
    pub(crate) fn mails_with(&self, parts: &[&str]) -> Vec<Mail> {
        let holds = |mail: &Mail| {
            let text = format!("{}\n{}", mail.subject, mail.text.as_deref().unwrap_or_default());
            parts.iter().all(|part| text.contains(part))
        };
        self.cloud.mails().into_iter().filter(holds).collect()
    }
}

/// Returns how often an action was carried out, according to an answer.
pub(crate) fn done(answer: &Value, action: &str) -> u64 {
    answer["actions"][action].as_u64().unwrap_or_default()
}

/// Returns the failures of an answer as text.
pub(crate) fn failures(answer: &Value) -> String {
    answer["failures"].to_string()
}

/// Uses a key of ci-bot now, as its owner does.
pub(crate) fn use_key(stage: &TestStack, key: &AccessKeyPair) {
    stage.cloud.use_key(MEMBER, "ci-bot", &key.access_key_id, "s3", stage.now()).expect("it works");
}
