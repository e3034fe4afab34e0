//! A simulated SES behind the SDK's HTTP client: it keeps the messages that it accepted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use serde_json::json;

/// Returns the error for a message, by its recipient and the number of the attempt; `None` for success.
pub(super) type MessageErrors = fn(&str, usize) -> Option<(&'static str, &'static str)>;

/// The status and the body of a response about the account or an identity.
pub(super) type SesResponse = (u16, serde_json::Value);

/// The simulated SES. Clones share what it received.
#[derive(Clone)]
pub(super) struct FakeSes {
    pub(super) errors: MessageErrors,
    pub(super) account: SesResponse,
    /// Responses by address or domain. Other identities do not exist.
    pub(super) identities: Vec<(&'static str, SesResponse)>,
    /// The response for the suppression list.
    pub(super) suppression: SesResponse,
    /// The paths of the requests about the account and identities.
    pub(super) asked: Arc<Mutex<Vec<String>>>,
    pub(super) accepted: Arc<Mutex<Vec<serde_json::Value>>>,
    pub(super) attempts: Arc<AtomicUsize>,
}

impl std::fmt::Debug for FakeSes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeSes")
    }
}

impl HttpConnector for FakeSes {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let path = request.uri().split_once("/v2/email/").unwrap().1.to_owned();
        if path != "outbound-emails" {
            return HttpConnectorFuture::ready(Ok(self.response(path)));
        }
        let sent: serde_json::Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let attempt = self.attempts.fetch_add(1, Ordering::SeqCst);
        let to = sent["Destination"]["ToAddresses"][0].as_str().unwrap().to_owned();
        let (status, error, body) = match (self.errors)(&to, attempt) {
            None => {
                self.accepted.lock().unwrap().push(sent);
                (200, None, r#"{"MessageId":"1"}"#.to_owned())
            }
            Some((code, message)) => (400, Some(code), serde_json::json!({ "message": message }).to_string()),
        };
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        if let Some(code) = error {
            response.headers_mut().insert("x-amzn-errortype", code);
        }
        HttpConnectorFuture::ready(Ok(response))
    }
}

impl FakeSes {
    fn response(&self, path: String) -> HttpResponse {
        let (status, body) = match path.strip_prefix("identities/") {
            None if path.starts_with("suppression/") => self.suppression.clone(),
            None => self.account.clone(),
            Some(identity) => {
                let identity = identity.replace("%40", "@");
                let known = self.identities.iter().find(|(name, _)| *name == identity);
                known.map_or((404, json!({"message": "no such identity"})), |(_, response)| response.clone())
            }
        };
        self.asked.lock().unwrap().push(path);
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body.to_string()));
        let code = match status {
            403 => Some("AccessDeniedException"),
            404 => Some("NotFoundException"),
            500 => Some("InternalFailure"),
            _ => None,
        };
        if let Some(code) = code {
            response.headers_mut().insert("x-amzn-errortype", code);
        }
        response
    }
}

/// The response for an account in production without a daily quota, at a thousand messages a second.
pub(super) fn unlimited() -> serde_json::Value {
    json!({
        "ProductionAccessEnabled": true,
        "SendingEnabled": true,
        "EnforcementStatus": "HEALTHY",
        "SendQuota": { "Max24HourSend": -1.0, "MaxSendRate": 1000.0, "SentLast24Hours": 12.0 },
    })
}

pub(super) fn nothing_suppressed() -> SesResponse {
    (200, json!({"SuppressedDestinationSummaries": []}))
}

pub(super) fn verified() -> SesResponse {
    (200, json!({"IdentityType": "DOMAIN", "VerifiedForSendingStatus": true}))
}

pub(super) fn denied(resource: &str) -> SesResponse {
    (403, json!({"message": format!("User: arn:x is not authorized to perform: ses:Get on resource: {resource}")}))
}
