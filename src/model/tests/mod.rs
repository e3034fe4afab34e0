//! Tests of the model through the real SDK clients.

mod access;
mod faults;
mod iam;
mod kms;
mod mail_and_accounts;
mod rotation;
mod secrets;
mod served;
mod topic;

use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use chrono::{DateTime, Utc};

use super::{Clock, Cloud, KmsKeyState};

const CENTRAL: &str = "111122223333";
const MEMBER: &str = "444455556666";
const KMS: &str = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555";

fn day() -> DateTime<Utc> {
    "2026-11-22T09:00:00Z".parse().expect("a date")
}

/// Two accounts; the member's role `sweeper` trusts the role `execution` of the central one.
fn cloud() -> Cloud {
    let cloud = Cloud::new(Clock::starting_at(day()), 7);
    cloud.add_account(CENTRAL, "central", Some("central@example.com"));
    cloud.add_account(MEMBER, "member", None);
    cloud.set_management_account(CENTRAL);
    cloud.add_role(CENTRAL, "execution", &[]);
    cloud.add_role(MEMBER, "sweeper", &["arn:aws:iam::111122223333:role/execution"]);
    cloud.add_kms_key(KMS);
    cloud
}

fn secrets_client(cloud: &Cloud) -> aws_sdk_secretsmanager::Client {
    aws_sdk_secretsmanager::Client::new(&cloud.sdk_config(CENTRAL, "execution"))
}

fn iam_client(cloud: &Cloud) -> aws_sdk_iam::Client {
    aws_sdk_iam::Client::new(&cloud.sdk_config(MEMBER, "sweeper"))
}

/// The error code of a refused call.
fn code<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>(
    result: Result<T, SdkError<E, R>>,
) -> String {
    match result {
        Err(SdkError::ServiceError(error)) => error.err().code().unwrap_or("no code").to_owned(),
        other => panic!("expected a refusal, not {other:?}"),
    }
}

/// The error message of a refused call.
fn message<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>(
    result: Result<T, SdkError<E, R>>,
) -> String {
    match result {
        Err(SdkError::ServiceError(error)) => error.err().message().unwrap_or("no message").to_owned(),
        other => panic!("expected a refusal, not {other:?}"),
    }
}
