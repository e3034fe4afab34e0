//! The log of every call that reached the model: what invariants and policies are later judged by.

use chrono::{DateTime, Utc};

/// One call, as it was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// When the model answered.
    pub at: DateTime<Utc>,
    /// The service as policies name it: `iam`, `sts`, `secretsmanager`, `organizations`, `ses` or `sns`.
    pub service: String,
    /// The operation, for example `CreateAccessKey`.
    pub operation: String,
    /// Who called: the ARN of a user or of a role session; empty when the caller was not recognized.
    pub caller_arn: String,
    /// The account in which the caller acted; empty when the caller was not recognized.
    pub caller_account: String,
    /// The ARN of what the call was about, or `*`.
    pub resource: String,
    /// The ARNs of what else the caller needed a permission for.
    pub beside: Vec<String>,
    /// Whether the caller got a success. A lost answer is no success, though it had its effect.
    pub ok: bool,
    /// The error code of the answer, or of the fault that took the answer away.
    pub error_code: Option<String>,
}
