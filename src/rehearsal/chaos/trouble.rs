//! Faults of every kind on every operation that keywheel calls, and other behaviour that AWS allows itself.

use std::time::Duration;

use chrono::TimeDelta;
use fastrand::Rng;

use super::acts::{Act, up_to};
use super::cast::ShardAccount;
use crate::model::{Fault, FaultKind, Switches, Unreadable};

/// Every operation that keywheel calls.
const OPERATIONS: [(&str, &str); 28] = [
    ("sts", "AssumeRole"),
    ("sts", "GetCallerIdentity"),
    ("organizations", "ListAccounts"),
    ("organizations", "DescribeAccount"),
    ("iam", "GetAccountAuthorizationDetails"),
    ("iam", "GetUser"),
    ("iam", "ListGroupsForUser"),
    ("iam", "ListAccessKeys"),
    ("iam", "GetAccessKeyLastUsed"),
    ("iam", "CreateAccessKey"),
    ("iam", "UpdateAccessKey"),
    ("iam", "DeleteAccessKey"),
    ("iam", "AddUserToGroup"),
    ("secretsmanager", "ListSecrets"),
    ("secretsmanager", "DescribeSecret"),
    ("secretsmanager", "GetResourcePolicy"),
    ("secretsmanager", "PutResourcePolicy"),
    ("secretsmanager", "GetSecretValue"),
    ("secretsmanager", "PutSecretValue"),
    ("secretsmanager", "UpdateSecretVersionStage"),
    ("secretsmanager", "TagResource"),
    ("secretsmanager", "UntagResource"),
    ("secretsmanager", "CreateSecret"),
    ("secretsmanager", "RotateSecret"),
    ("secretsmanager", "CancelRotateSecret"),
    ("secretsmanager", "DeleteSecret"),
    ("secretsmanager", "RestoreSecret"),
    ("ses", "SendEmail"),
];

/// A random fault of AWS or of the account's administration.
pub(super) fn fault(rng: &mut Rng, accounts: &[ShardAccount]) -> Act {
    let (service, operation) = match rng.u32(..4) {
        0 => ("*", "*"),
        _ => OPERATIONS[rng.usize(..OPERATIONS.len())],
    };
    let kind = kind(rng);
    let mut fault = Fault::on(service, operation, kind);
    let may_last = operation != "*" && !matches!(fault.kind, FaultKind::Hang | FaultKind::Stop | FaultKind::StopAfter);
    fault = if may_last && rng.u32(..3) == 0 { fault.every() } else { fault.nth(rng.u64(1..30)) };
    if service == "iam" && rng.u32(..3) == 0 {
        fault = fault.in_account(&accounts[rng.usize(..accounts.len())].id);
    }
    let lasts = TimeDelta::minutes(if rng.u32(..4) == 0 { rng.i64(60..8000) } else { rng.i64(10..2000) });
    Act::Fault { fault, lasts }
}

fn kind(rng: &mut Rng) -> FaultKind {
    let (status, code) = *rng
        .choice(&[
            (500, "InternalServiceError"),
            (503, "ServiceUnavailable"),
            (400, "RequestExpired"),
            (500, "ServiceFailure"),
        ])
        .unwrap_or(&(500, "InternalServiceError"));
    let (code, message) = (code.to_owned(), "planted".to_owned());
    match rng.u32(..13) {
        0 => FaultKind::ErrorBefore { status, code, message },
        1 => FaultKind::ErrorAfter { status: 500, code, message },
        2 => FaultKind::Throttle { times: rng.u64(1..30) },
        3 => FaultKind::AccessDenied,
        4 => FaultKind::Latency(up_to(rng, 15)),
        5 => FaultKind::Hang,
        6 | 7 => FaultKind::LostAnswer,
        8 => FaultKind::Stop,
        9 => FaultKind::Unreadable { takes_effect: rng.bool(), answer: Unreadable::page() },
        // Position 0 is a page that lists have had.
        11 => FaultKind::NextPage("0".to_owned()),
        10 => FaultKind::Unreadable { takes_effect: true, answer: Unreadable::Half },
        _ => FaultKind::StopAfter,
    }
}

/// The reads on which keywheel's decisions rest; an operation that is listed twice is drawn twice as often.
const READS: [(&str, &str); 8] = [
    // While last uses are unknown, all other work goes on.
    ("iam", "GetAccessKeyLastUsed"),
    ("iam", "GetAccessKeyLastUsed"),
    ("iam", "ListGroupsForUser"),
    ("iam", "ListAccessKeys"),
    ("iam", "GetUser"),
    ("iam", "GetAccountAuthorizationDetails"),
    ("secretsmanager", "DescribeSecret"),
    ("secretsmanager", "ListSecrets"),
];

/// A read that is denied to all for days, as after a change of a policy.
pub(super) fn blindness(rng: &mut Rng) -> Act {
    let (service, operation) = READS[rng.usize(..READS.len())];
    let fault = Fault::on(service, operation, FaultKind::AccessDenied).every();
    Act::Fault { fault, lasts: TimeDelta::hours(rng.i64(12..300)) }
}

/// How AWS behaves from now on.
pub(super) fn behaviour(rng: &mut Rng) -> Switches {
    let lag_of_keys = rng.choice(&[5, 20, 300]).unwrap_or(&5);
    let cold_starts = rng.choice(&[0, 30, 100]).copied().unwrap_or(0);
    let mut seldom = |most: u64| if rng.u32(..3) == 0 { up_to(rng, most) } else { Duration::ZERO };
    let (list_secrets_lag, list_access_keys_lag, pending_read_lag) = (seldom(300), seldom(*lag_of_keys), seldom(6));
    let describe_tags_lag = seldom(5);
    let key_propagation = up_to(rng, 60);
    // Another draw would change the stories of all seeds.
    let chance = key_propagation.as_secs();
    Switches {
        key_propagation,
        key_propagation_elsewhere: Duration::from_secs(chance % 25),
        list_secrets_lag,
        list_access_keys_lag,
        pending_read_lag,
        describe_tags_lag,
        pending_label_lingers: rng.bool(),
        put_abandons_rotation: rng.bool(),
        short_iam_pages: rng.u32(..4) == 0,
        details_of_at_most: (rng.u32(..6) == 0).then_some(60),
        odd_report_rows: rng.u32(..4) == 0,
        empty_account_pages: rng.u32(..4) == 0,
        repeated_accounts: rng.u32(..4) == 0,
        omit_account_status: rng.bool(),
        mails_per_second: (rng.u32(..6) == 0).then_some(2),
        suppressed_addresses: (rng.u32(..3) == 0)
            .then(|| ("jo@example.com".to_owned(), "BOUNCE"))
            .into_iter()
            .collect(),
        rotation_attempts: rng.u32(1..4),
        schedule_hour: rng.bool().then(|| rng.u8(..24)),
        new_secret_lag: Duration::from_secs(chance % 10),
        never_reattempts: chance.is_multiple_of(2),
        refuses_foreign_pending: chance.is_multiple_of(3),
        cold_starts,
        ..Switches::default()
    }
}
