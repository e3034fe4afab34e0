//! The memory of a sweep, measured through the AWS SDK in a process of its own.

use std::process::Command;

use chrono::TimeDelta;
use keywheel::model::{Clock, Cloud, paused_runtime};
use keywheel::rehearsal::Transport;
use peak_alloc::PeakAlloc;
use serde_json::json;

use crate::harness::{MEMBER, TestStack, start};

/// Counts what this process has allocated, for the test below.
#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Users of one account by IAM's default quota.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const USERS: usize = 5_000;

/// Lambda gives the sweeper 512 MB. The lists of an account are held as plain maps for as long as they fit.
const MAX_PEAK_BYTES: usize = 64_000_000;

/// Runs the test below alone: other tests of this process would be counted too.
#[test]
fn a_sweep_of_5_000_users_needs_less_than_64_mb() {
    let this = std::env::current_exe().expect("the test's executable");
    let mut alone = Command::new(this);
    alone.args(["--exact", "sweep_memory::measured_alone", "--ignored", "--nocapture"]);
    let output = alone.output().expect("it runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
}

#[test]
#[ignore = "runs in a process of its own, started by the test above"]
fn measured_alone() {
    paused_runtime().expect("a runtime").block_on(async {
        let mut stage = TestStack::through(Transport::Direct, Cloud::new(Clock::starting_at(start()), 1), &[]);
        stage.cloud.switch(|aws| aws.counts_only = true);
        for n in 0..USERS {
            let name = format!("user-{n:04}");
            stage.cloud.add_user(MEMBER, &name, "/");
            stage.cloud.add_access_key(MEMBER, &name, stage.now() - TimeDelta::days(20));
        }
        while stage.cloud.secrets().len() < USERS {
            stage.sweep().await;
        }
        stage.keywheel = stage.keywheel.on(&stage.cloud, Transport::Sdk);
        // The model keeps the credential report that the first sweep of a day orders.
        for hours in [24, 1] {
            stage.cloud.clock().advance(std::time::Duration::from_hours(hours)).await;
            let before = HEAP.current_usage();
            HEAP.reset_peak_usage();
            let answer = stage.sweep_well().await;
            let peak = HEAP.peak_usage() - before;
            assert_eq!((&answer["users"], &answer["plan"]), (&json!(USERS), &json!([])), "{answer:#}");
            assert!(peak < MAX_PEAK_BYTES, "{peak} bytes");
        }
    });
}
