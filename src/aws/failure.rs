//! What went wrong in a call to AWS, in words that say which call it was and what it was about.

use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;

/// What a failed call means to a caller that has to decide.
///
/// # Design
/// Only distinctions that some caller branches on. `NoAnswer` is the one that matters most: the call may have taken
/// effect, so nothing may be concluded from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The caller is not permitted to do this.
    Denied,
    /// What the call is about does not exist.
    NotFound,
    /// It exists already, or a limit on how many may exist is reached.
    Conflict,
    /// Too many requests; the SDK's own retries are exhausted.
    Throttled,
    /// The service answered with another error.
    Refused,
    /// No readable answer came, or the service failed (5xx): the call may or may not have taken effect.
    NoAnswer,
}

/// A failed call: operation, what it was about, and what the service said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    operation: &'static str,
    about: String,
    kind: FailureKind,
    code: String,
    message: String,
    request_id: Option<String>,
}

impl Failure {
    /// What the failure means.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Whether what the call is about does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind == FailureKind::NotFound
    }

    /// The service's error code, such as `AccessDenied`; a description of the transport failure without one.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What the service said.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// An answer that arrived but lacks what it must hold.
    pub(crate) fn incomplete(operation: &'static str, about: impl fmt::Display, missing: &str) -> Self {
        Self {
            operation,
            about: about.to_string(),
            // The effect of the call, if it has one, took place.
            kind: FailureKind::NoAnswer,
            code: "IncompleteAnswer".to_owned(),
            message: format!("the answer has no usable {missing}"),
            request_id: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, about, kind: _, code, message, request_id } = self;
        write!(f, "{operation} for {about} failed: {code}")?;
        if !message.is_empty() {
            write!(f, ": {message}")?;
        }
        match request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

/// Turns an SDK result into one whose error says what was attempted.
pub(crate) trait OrFailure<T> {
    /// `operation` reads `service:Operation`; `about` is what the call concerns, never a secret.
    fn or_failure(self, operation: &'static str, about: impl fmt::Display) -> Result<T, Failure>;
}

impl<T, E: ProvideErrorMetadata> OrFailure<T> for Result<T, SdkError<E, HttpResponse>> {
    fn or_failure(self, operation: &'static str, about: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| {
            let (kind, code, message) = describe(&error);
            let request_id = error.request_id().map(str::to_owned);
            Failure { operation, about: about.to_string(), kind, code, message, request_id }
        })
    }
}

fn describe<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> (FailureKind, String, String) {
    let transport = |text: &str| (FailureKind::NoAnswer, text.to_owned(), String::new());
    match error {
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().unwrap_or("UnknownError").to_owned();
            let message = answer.err().message().unwrap_or_default().to_owned();
            // A service that failed may have done its work before.
            let failed = answer.raw().status().is_server_error();
            let kind = if failed { FailureKind::NoAnswer } else { kind_of(&code) };
            (kind, code, message)
        }
        SdkError::TimeoutError(_) => transport("Timeout"),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => transport("Timeout"),
        SdkError::DispatchFailure(_) => transport("ConnectionFailure"),
        SdkError::ResponseError(_) => transport("UnreadableAnswer"),
        // Nothing was sent: the request could not be built.
        other => (FailureKind::Refused, "InvalidRequest".to_owned(), other.to_string()),
    }
}

fn kind_of(code: &str) -> FailureKind {
    match code {
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" | "NotAuthorizedException" => {
            FailureKind::Denied
        }
        "NoSuchEntity" | "NoSuchEntityException" | "ResourceNotFoundException" | "AccountNotFoundException" => {
            FailureKind::NotFound
        }
        "EntityAlreadyExists" | "ResourceExistsException" | "LimitExceeded" | "LimitExceededException" => {
            FailureKind::Conflict
        }
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "RequestThrottled"
        | "SlowDown" => FailureKind::Throttled,
        _ => FailureKind::Refused,
    }
}
