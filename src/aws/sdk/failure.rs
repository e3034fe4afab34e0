//! The SDK's errors as failures of calls.

use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;

use crate::aws::failure::{CallFailure, FailureKind};

/// Turns an SDK result into one whose error names the call and the resource.
pub(crate) trait OrFailure<T> {
    /// `operation` has the form `service:Operation`. `about` names the resource; it must not hold a secret.
    fn or_failure(self, operation: &'static str, about: impl fmt::Display) -> Result<T, CallFailure>;
}

impl<T, E: ProvideErrorMetadata> OrFailure<T> for Result<T, SdkError<E, HttpResponse>> {
    fn or_failure(self, operation: &'static str, about: impl fmt::Display) -> Result<T, CallFailure> {
        self.map_err(|error| {
            let (kind, code, message) = describe(&error);
            let request_id = error.request_id().map(str::to_owned);
            CallFailure::new(operation, about, kind, (code, message), request_id)
        })
    }
}

fn describe<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> (FailureKind, String, String) {
    let transport = |text: &str| (FailureKind::NoAnswer, text.to_owned(), String::new());
    match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status();
            match answer.err().code() {
                Some(code) if !status.is_success() => {
                    let message = answer.err().message().unwrap_or_default().to_owned();
                    (FailureKind::of_answer(status.as_u16(), code), code.to_owned(), message)
                }
                // A success that cannot be parsed, or an error without the code that every service sends.
                _ => unreadable(status.as_u16()),
            }
        }
        SdkError::TimeoutError(_) => transport("Timeout"),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => transport("Timeout"),
        SdkError::DispatchFailure(_) => transport("ConnectionFailure"),
        SdkError::ResponseError(answer) => unreadable(answer.raw().status().as_u16()),
        // The request could not be built, so nothing was sent.
        other => (FailureKind::Refused, "InvalidRequest".to_owned(), other.to_string()),
    }
}

/// A response that is not the service's, such as a proxy's page. The call may have reached the service and taken
/// effect.
fn unreadable(status: u16) -> (FailureKind, String, String) {
    (FailureKind::NoAnswer, "UnreadableAnswer".to_owned(), format!("the response has HTTP status {status}"))
}
