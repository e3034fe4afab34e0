//! The record of every call to the model. Tests of invariants and of policies read it.

use chrono::{DateTime, Utc};

/// One call and its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// When the model answered.
    pub at: DateTime<Utc>,
    /// The service as policies name it: `iam`, `sts`, `secretsmanager`, `organizations`, `ses` or `sns`.
    pub service: String,
    /// The operation, for example `CreateAccessKey`.
    pub operation: String,
    /// The ARN of the calling user or role session; empty if the model did not recognize the caller.
    pub caller_arn: String,
    /// The caller's account; empty if the model did not recognize the caller.
    pub caller_account: String,
    /// The ARN of the resource of the call, or `*`.
    pub resource: String,
    /// The ARNs of further resources for which the caller needed a permission.
    pub beside: Vec<String>,
    /// Whether the caller got a success. A call whose answer was lost took effect, but counts as no success.
    pub ok: bool,
    /// The error code of the answer, or the name of the fault that suppressed the answer.
    pub error_code: Option<String>,
}
