//! Checks the resource policies of some users for whom nothing is due, different ones in each run: no list shows a
//! policy.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use chrono::{DateTime, Utc};
use tracing::info;

use super::account_user::AccountUser;
use super::observe;
use super::report::Failure;
use super::run::Run;
use super::stage::Stage;
use super::totals::SweepTotals;
use crate::aws::SecretDescription;
use crate::lifecycle::Exemption;

/// How many resource policies a run reads of users for whom nothing is due: each is a call. Before a rotation the
/// user's policy is always read.
const POLICIES_A_RUN: usize = 2;

/// A random choice among the users for whom nothing is due.
pub(super) struct PolicySample {
    seed: i64,
    chosen: Vec<(u64, AccountUser, SecretDescription)>,
}

impl PolicySample {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self { seed: now.timestamp(), chosen: Vec::new() }
    }

    /// Chooses the user, or not. Users whose keys are not rotated need no policy.
    pub(super) fn offer(&mut self, user: AccountUser, secret: SecretDescription) {
        if user.exemption != Exemption::NotExempt || secret.deleted.is_some() || !secret.rotation_enabled {
            return;
        }
        let mut hasher = DefaultHasher::new();
        (self.seed, user.name()).hash(&mut hasher);
        let draw = hasher.finish();
        let at = self.chosen.partition_point(|(drawn, ..)| *drawn < draw);
        if at < POLICIES_A_RUN {
            self.chosen.insert(at, (draw, user, secret));
            self.chosen.truncate(POLICIES_A_RUN);
        }
    }

    /// Reads the policies of the chosen users and returns those users whose policy has to be repaired. A policy that
    /// cannot be read is reported and left to another run, because nothing is due for its user.
    pub(super) async fn check(self, run: &Run<'_>, totals: &mut SweepTotals) -> Vec<(AccountUser, SecretDescription)> {
        let mut wrong = Vec::new();
        for (_, user, secret) in self.chosen {
            if run.is_out_of_time() {
                break;
            }
            match observe::policy_fits(run, &secret.arn, &user.arn).await {
                Ok(true) => {}
                Ok(false) => {
                    info!(user = %user.arn.user(), "the resource policy is not as it should be");
                    wrong.push((user, secret));
                }
                Err(failure) => {
                    totals.add_failures([Failure::of_user(user.arn.user(), Stage::Observe, &failure)]);
                }
            }
        }
        wrong
    }
}
