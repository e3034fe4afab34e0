//! A rotation that a test carries out step by step.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;

use crate::harness::TestStack;

/// The steps in their order.
pub(crate) const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

/// A rotation that Secrets Manager has begun, and that a test carries out step by step.
pub(crate) struct Rotation {
    pub(crate) stage: TestStack,
    pub(crate) user: &'static str,
    pub(crate) secret: String,
    pub(crate) version: String,
}

impl Rotation {
    pub(crate) fn of(stage: TestStack, user: &'static str) -> Self {
        let secret = stage.secret(user);
        let version = secret.version_with("AWSPENDING").expect("a rotation has begun").id.clone();
        Self { stage, user, secret: secret.arn, version }
    }

    /// The first rotation of a user of the member account, with a key that works at once.
    pub(crate) async fn first(user: &'static str) -> Self {
        let stage = TestStack::new();
        stage.cloud.switch(|aws| aws.key_propagation = Duration::ZERO);
        stage.add_user(user, &[90]);
        stage.sweep_well().await;
        Self::of(stage, user)
    }

    /// Carries out one step and returns its result.
    pub(crate) async fn step(&self, step: &str) -> Result<(), String> {
        let event = json!({"Step": step, "SecretId": self.secret, "ClientRequestToken": self.version});
        let deadline = self.stage.now() + TimeDelta::minutes(2);
        self.stage.keywheel.rotate_step(event, deadline).await.map_err(|error| error.to_string())
    }

    /// Carries out steps that all succeed, and returns the calls of the last one.
    pub(crate) async fn steps(&self, steps: &[&str]) -> Vec<String> {
        let mut calls = Vec::new();
        for step in steps {
            let before = self.stage.cloud.calls().len();
            assert_eq!(self.step(step).await, Ok(()), "{step}");
            calls = self.stage.cloud.calls().split_off(before).into_iter().map(|call| call.operation).collect();
        }
        calls
    }

    pub(crate) async fn expect_refusal(&self, step: &str, cause: &str) {
        let refused = self.step(step).await;
        assert!(refused.as_ref().is_err_and(|why| why.contains(cause)), "{step}: {refused:?}, not {cause}");
    }

    /// The user's newest key.
    pub(crate) fn new_key(&self) -> String {
        self.stage.user(self.user).keys.pop().expect("a key was made").id
    }
}
