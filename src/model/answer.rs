//! The answer of a service, and its form in each protocol: JSON 1.1, Query with XML, REST JSON.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::faults::Unreadable;
use super::service::{Operation, Service};
use super::xml::Xml;

/// The success of an operation.
pub(crate) enum Reply {
    Json(Value),
    /// The content of the `…Result` element.
    Xml(Xml),
    /// A success without members.
    Empty,
}

/// An error as AWS returns it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServiceError {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Reply {
    /// Names a token as that of the next page, in the members of each protocol.
    pub(crate) fn name_next_page(&mut self, token: &str) {
        match self {
            Self::Json(answer) => answer["NextToken"] = json!(token),
            Self::Xml(answer) => {
                answer.replace_text("IsTruncated", "true");
                answer.replace_text("Marker", token);
            }
            Self::Empty => {}
        }
    }
}

pub(crate) type ServiceResult = Result<Reply, ServiceError>;

impl ServiceError {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    /// Secrets Manager's error for a parameter that it does not accept.
    pub(crate) fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidParameterException", message)
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationException", message)
    }

    /// Secrets Manager's and Organizations' denial.
    pub(crate) fn denied(caller: &str, action: &str, resource: &str, why: &str) -> Self {
        let message = format!("User: {caller} is not authorized to perform: {action} on resource: {resource}{why}");
        Self::new(400, "AccessDeniedException", message)
    }

    /// The denial with the message and the code of the service.
    pub(crate) fn access_denied(service: Service, caller: &str, action: &str, resource: &str) -> Self {
        let denied = Self::denied(caller, action, resource, "");
        match service {
            Service::Iam | Service::Sts => Self::new(403, "AccessDenied", denied.message),
            Service::Sns => Self::new(403, "AuthorizationError", denied.message),
            Service::Ses => Self::new(403, "AccessDeniedException", denied.message),
            Service::SecretsManager | Service::Organizations => denied,
        }
    }

    /// The service's own error for too many requests.
    pub(crate) fn throttled(service: Service) -> Self {
        match service {
            Service::Iam | Service::Sts => Self::new(400, "Throttling", "Rate exceeded"),
            Service::SecretsManager => Self::new(400, "ThrottlingException", "Rate exceeded"),
            Service::Organizations => Self::new(
                400,
                "TooManyRequestsException",
                "You have sent too many requests in too short a period of time.",
            ),
            Service::Ses => Self::new(429, "TooManyRequestsException", "Too many requests."),
            Service::Sns => Self::new(429, "Throttled", "Rate exceeded"),
        }
    }

    /// The error for an operation that the model does not have.
    pub(crate) fn unknown_operation(service: Service, name: &str) -> Self {
        match service {
            Service::Iam | Service::Sts | Service::Sns => {
                Self::new(400, "InvalidAction", format!("Could not find operation {name}"))
            }
            Service::Ses => Self::new(404, "UnknownOperationException", format!("no operation at {name}")),
            Service::SecretsManager | Service::Organizations => {
                Self::new(400, "UnknownOperationException", format!("no operation {name}"))
            }
        }
    }
}

/// An answer as it is sent.
pub(crate) struct WireResponse {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    /// The error code, for the header of REST JSON.
    pub(crate) error: Option<String>,
    pub(crate) body: String,
}

impl WireResponse {
    /// The answer that arrives instead.
    pub(crate) fn replaced(self, instead: &Unreadable) -> Self {
        let answer = Self { status: 200, error: None, ..self };
        match instead {
            Unreadable::Body { status, content_type, text } => {
                Self { status: *status, content_type, body: (*text).to_owned(), ..answer }
            }
            Unreadable::OtherTimes => Self { body: with_other_times(&answer.body), ..answer },
            Unreadable::Half => {
                let half = answer.body.len() / 2;
                let body = answer.body.char_indices().take_while(|(at, _)| *at < half).map(|(_, c)| c).collect();
                Self { body, ..answer }
            }
        }
    }
}

/// The text with the times of RFC 3339 in the form of RFC 2822.
fn with_other_times(text: &str) -> String {
    const LENGTH: usize = "2026-11-30T06:00:00Z".len();
    let mut written = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let time = rest.get(..LENGTH).and_then(|text| text.parse::<DateTime<Utc>>().ok());
        let (shown, length) = match time {
            Some(time) => (time.to_rfc2822(), LENGTH),
            None => (next.to_string(), next.len_utf8()),
        };
        written.push_str(&shown);
        rest = &rest[length..];
    }
    written
}

/// Writes a result in the service's protocol.
pub(crate) fn write(operation: &Operation, outcome: &ServiceResult, request_id: &str) -> WireResponse {
    match outcome {
        Ok(reply) => success(operation, reply, request_id),
        Err(refusal) => error(operation.service, refusal, request_id),
    }
}

fn success(operation: &Operation, reply: &Reply, request_id: &str) -> WireResponse {
    let service = operation.service;
    let body = match (service, reply) {
        (Service::Iam | Service::Sts | Service::Sns, Reply::Xml(inner)) => {
            envelope(operation, &inner.written(), request_id)
        }
        (Service::Iam | Service::Sts | Service::Sns, _) => envelope(operation, "", request_id),
        (_, Reply::Json(value)) => value.to_string(),
        (_, _) => "{}".to_owned(),
    };
    WireResponse { status: 200, content_type: service.content_type(), error: None, body }
}

fn envelope(operation: &Operation, inner: &str, request_id: &str) -> String {
    let (name, xmlns) = (&operation.name, operation.service.namespace());
    format!(
        "<{name}Response xmlns=\"{xmlns}\"><{name}Result>{inner}</{name}Result>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{name}Response>"
    )
}

fn error(service: Service, refusal: &ServiceError, request_id: &str) -> WireResponse {
    let body = match service {
        Service::Iam | Service::Sts | Service::Sns => xml_error(service, refusal, request_id),
        Service::Ses => json!({ "message": refusal.message }).to_string(),
        Service::SecretsManager | Service::Organizations => {
            json!({ "__type": refusal.code, "message": refusal.message }).to_string()
        }
    };
    WireResponse {
        status: refusal.status,
        content_type: service.content_type(),
        error: Some(refusal.code.clone()),
        body,
    }
}

fn xml_error(service: Service, refusal: &ServiceError, request_id: &str) -> String {
    let fault = if refusal.status < 500 { "Sender" } else { "Receiver" };
    let inner = Xml::new().text("Type", fault).text("Code", &refusal.code).text("Message", &refusal.message);
    let body = Xml::new().element("Error", inner).text("RequestId", request_id);
    let (xmlns, body) = (service.namespace(), body.written());
    format!("<ErrorResponse xmlns=\"{xmlns}\">{body}</ErrorResponse>")
}
