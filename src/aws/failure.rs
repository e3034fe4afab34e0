//! What went wrong in a call to AWS, in words that say which call it was and what it was about.

use std::fmt;

use crate::redact;

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
pub struct CallFailure {
    operation: &'static str,
    about: String,
    kind: FailureKind,
    code: String,
    message: String,
    request_id: Option<String>,
}

impl CallFailure {
    /// What the failure means.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Whether what the call is about does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind == FailureKind::NotFound
    }

    /// Whether the same call may well succeed some minutes later.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.kind, FailureKind::Throttled | FailureKind::NoAnswer)
    }

    /// The service's error code, such as `AccessDenied`; a description of the transport failure without one.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What the service said.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// A call that failed with this meaning. `operation` reads `service:Operation`; `about` is what the call concerns,
    /// never a secret.
    pub(crate) fn new(
        operation: &'static str,
        about: impl fmt::Display,
        kind: FailureKind,
        (code, message): (String, String),
        request_id: Option<String>,
    ) -> Self {
        // Services repeat what they refuse: a wrong signature is answered with all that was signed, the session token
        // included.
        let (code, message) = (redact::secret_like(&code), redact::secret_like(&message));
        Self { operation, about: about.to_string(), kind, code, message, request_id }
    }

    /// The same failure without the service's message, if that repeats a piece of what the call carried in secret.
    pub(crate) fn without(mut self, secrets: &[&str]) -> Self {
        if secrets.iter().any(|secret| redact::repeats(&self.message, secret)) {
            self.message = format!("{} because it repeats what is secret", redact::WITHHELD);
        }
        self
    }

    /// An answer that tells of a user who is written otherwise, so that there is none of the name that was asked for.
    pub(crate) fn other_user(operation: &'static str, about: impl fmt::Display, found: &str) -> Self {
        let error = ("NoSuchEntity".to_owned(), format!("the answer is about the user `{found}`"));
        Self::new(operation, about, FailureKind::NotFound, error, None)
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
    /// What an answer with this status and error code means.
    pub(crate) fn of_answer(status: u16, code: &str) -> Self {
        // A service that failed may have done its work before.
        if status >= 500 { Self::NoAnswer } else { Self::of_code(code) }
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
    fn a_message_that_repeats_a_piece_of_what_was_sent_is_withheld() {
        let token = "7c3e1a52-0c1d-4e0f-9a57-1c2f3d4e5f60";
        for (message, shown) in [
            ("Access to KMS is not allowed", "Access to KMS is not allowed"),
            ("RotationToken 7c3e1a52-0c1d is not valid", "(withheld) because it repeats what is secret"),
            ("Value 'not+a/rea…' is too short", "(withheld) because it repeats what is secret"),
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
    fn what_looks_like_a_secret_is_withheld_from_every_message() {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzKEY1";
        assert_eq!(failure(&format!("Value '{secret}' is bad")).message(), "Value '(withheld)' is bad");
    }
}
