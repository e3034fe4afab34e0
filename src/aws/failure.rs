//! A failed call to AWS: which call it was, what it concerned, and what the failure means to the caller.

use std::fmt;

use crate::redact;

/// The meaning of a failed call for a caller that has to decide.
///
/// # Design
/// There is a kind for each distinction that some caller makes, and no more. `NoAnswer` matters most: the call may have
/// taken effect, so its caller may conclude nothing from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// AWS denied the call: a permission is missing.
    Denied,
    /// The user, key, secret, account or other resource does not exist.
    NotFound,
    /// The resource exists already, or its quota is used up.
    Conflict,
    /// AWS throttled every attempt of the SDK. Repeating the call some minutes later may succeed.
    Throttled,
    /// The service rejected the call with any other error; see [`CallFailure::code`].
    Refused,
    /// No readable response of the service arrived, or the service failed (5xx) or timed out (408). It is unknown
    /// whether the call took effect. A proxy's page, half a response, and a success without the members that the
    /// service always sends count as no answer, whatever their HTTP status.
    NoAnswer,
}

/// A failed call: the operation, the resource that it concerned, and the service's error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CallFailure {
    operation: &'static str,
    about: String,
    kind: FailureKind,
    code: String,
    message: String,
    request_id: Option<String>,
}

impl CallFailure {
    /// The operation, such as `iam:CreateAccessKey`.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Returns the meaning of the failure for the caller.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Whether the resource does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind == FailureKind::NotFound
    }

    /// Whether the same call is likely to succeed some minutes later: after throttling or without an answer.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.kind, FailureKind::Throttled | FailureKind::NoAnswer)
    }

    /// The service's error code, such as `AccessDenied`. If no response arrived, the name of the transport failure,
    /// such as `Timeout`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The service's error message; may be empty. Anything that looks like a secret is withheld, unless it stands in
    /// the description of the call, such as the name of a role.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns a failure of the given kind. `operation` has the form `service:Operation`. `about` names the resource;
    /// it must not hold a secret.
    pub(crate) fn new(
        operation: &'static str,
        about: impl fmt::Display,
        kind: FailureKind,
        (code, message): (String, String),
        request_id: Option<String>,
    ) -> Self {
        // Services quote the request in their errors. The error for a wrong signature holds everything that was signed,
        // including the session token.
        let about = about.to_string();
        let shown = |text: &str| redact::secret_like_except(text, &about);
        let (code, message) = (shown(&code), shown(&message));
        Self { operation, about, kind, code, message, request_id }
    }

    /// Returns the failure without its message if the message repeats a part of one of these secrets.
    pub(crate) fn without(mut self, secrets: &[&str]) -> Self {
        if secrets.iter().any(|secret| redact::repeats(&self.message, secret)) {
            self.message = format!("{} because it repeats a secret", redact::WITHHELD);
        }
        self
    }

    /// Returns the failure for a response about a user whose name differs in case: the user that was asked for does not
    /// exist.
    pub(crate) fn other_user(operation: &'static str, about: impl fmt::Display, found: &str) -> Self {
        let error = ("NoSuchEntity".to_owned(), format!("the response is about the user `{found}`"));
        Self::new(operation, about, FailureKind::NotFound, error, None)
    }

    /// Returns the failure for a response that lacks something it must hold. Its kind is `NoAnswer`: the call may have
    /// taken effect.
    pub(crate) fn incomplete(operation: &'static str, about: impl fmt::Display, missing: &str) -> Self {
        Self {
            operation,
            about: about.to_string(),
            kind: FailureKind::NoAnswer,
            code: "IncompleteAnswer".to_owned(),
            message: format!("the response has no usable {missing}"),
            request_id: None,
        }
    }
}

impl fmt::Display for CallFailure {
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

impl FailureKind {
    /// Returns the meaning of an error response with this HTTP status and error code.
    pub(crate) fn of_answer(status: u16, code: &str) -> Self {
        // A service may fail, or give up waiting, after it has carried out the call.
        if status >= 500 || status == 408 { Self::NoAnswer } else { Self::of_code(code) }
    }

    fn of_code(code: &str) -> Self {
        match code {
            "AccessDenied"
            | "AccessDeniedException"
            | "AuthorizationError"
            | "UnauthorizedOperation"
            | "NotAuthorizedException" => Self::Denied,
            "NoSuchEntity"
            | "NoSuchEntityException"
            | "NotFound"
            | "NotFoundException"
            | "ResourceNotFoundException"
            | "AccountNotFoundException" => Self::NotFound,
            "EntityAlreadyExists" | "ResourceExistsException" | "LimitExceeded" | "LimitExceededException" => {
                Self::Conflict
            }
            "Throttled"
            | "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "RequestThrottled"
            | "SlowDown" => Self::Throttled,
            _ => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(message: &str) -> CallFailure {
        let answer = ("ValidationException".to_owned(), message.to_owned());
        CallFailure::new("secretsmanager:PutSecretValue", "a secret", FailureKind::Refused, answer, None)
    }

    #[test]
    fn a_message_that_repeats_part_of_a_secret_is_withheld() {
        let token = "7c3e1a52-0c1d-4e0f-9a57-1c2f3d4e5f60";
        for (message, shown) in [
            ("Access to KMS is not allowed", "Access to KMS is not allowed"),
            ("RotationToken 7c3e1a52-0c1d is not valid", "(withheld) because it repeats a secret"),
            ("Value 'not+a/rea…' is too short", "(withheld) because it repeats a secret"),
        ] {
            let failure = failure(message).without(&["not+a/real=secret", token]);
            assert_eq!(failure.message(), shown);
            assert!(
                failure
                    .to_string()
                    .starts_with("secretsmanager:PutSecretValue for a secret failed: ValidationException")
            );
        }
    }

    #[test]
    fn reported_c1_a_status_without_an_answer_is_no_refusal() {
        for (status, code, kind) in [
            (400, "ValidationException", FailureKind::Refused),
            (404, "NoSuchEntity", FailureKind::NotFound),
            (408, "RequestTimeoutException", FailureKind::NoAnswer),
            (500, "AccessDenied", FailureKind::NoAnswer),
            (503, "NoSuchEntity", FailureKind::NoAnswer),
        ] {
            assert_eq!(FailureKind::of_answer(status, code), kind, "{status} {code}");
        }
    }

    #[test]
    fn text_that_looks_like_a_secret_is_withheld() {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzKEY1";
        assert_eq!(failure(&format!("Value '{secret}' is bad")).message(), "Value '(withheld)' is bad");
    }
}
