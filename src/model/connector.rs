//! The entrance for the SDK: an HTTP client that passes requests to the model instead of a socket.

use std::fmt;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use chrono::{DateTime, Utc};
use http_body_util::BodyExt as _;

use super::answer::WireResponse;
use super::cloud::{AccessKeyPair, Cloud};
use super::ids;
use super::request::WireRequest;
use super::state::Session;

/// An HTTP client whose only server is the model.
#[derive(Clone)]
pub(crate) struct Connector {
    cloud: Cloud,
    read_timeout: Option<Duration>,
}

impl Connector {
    pub(crate) fn new(cloud: Cloud) -> Self {
        Self { cloud, read_timeout: None }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Self { cloud: self.cloud.clone(), read_timeout: settings.read_timeout() })
    }
}

impl HttpConnector for Connector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let (cloud, limit) = (self.cloud.clone(), self.read_timeout);
        HttpConnectorFuture::new(async move {
            let wire = read(&mut request).await?;
            let answer = match limit {
                None => cloud.handle(wire).await,
                Some(limit) => tokio::time::timeout(limit, cloud.handle(wire))
                    .await
                    .map_err(|elapsed| ConnectorError::timeout(elapsed.into()))?,
            };
            let answer = answer.map_err(|lost| ConnectorError::io(lost.into()))?;
            written(answer, cloud.clock().now())
        })
    }
}

async fn read(request: &mut HttpRequest) -> Result<WireRequest, ConnectorError> {
    let uri: http::Uri =
        request.uri().parse().map_err(|error: http::uri::InvalidUri| ConnectorError::user(error.into()))?;
    // Read as a stream, because the SDK watches the progress and the end of its upload.
    let body = request.take_body().collect().await.map_err(ConnectorError::user)?.to_bytes();
    let headers = request.headers().iter();
    Ok(WireRequest {
        method: request.method().to_owned(),
        path: uri.path_and_query().map_or("/", |it| it.as_str()).to_owned(),
        host: uri.authority().map(ToString::to_string).unwrap_or_default(),
        headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
        body: body.to_vec(),
    })
}

fn written(answer: WireResponse, now: DateTime<Utc>) -> Result<HttpResponse, ConnectorError> {
    let response = head(&answer, now)
        .body(SdkBody::from(answer.body))
        .map_err(|error| ConnectorError::other(error.into(), None))?;
    HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
}

/// The status and headers of an answer. The date is the model's, so that the SDK detects no clock skew.
pub(crate) fn head(answer: &WireResponse, now: DateTime<Utc>) -> http::response::Builder {
    let mut head = http::Response::builder()
        .status(answer.status)
        .header("content-type", answer.content_type)
        .header("date", now.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
    if let Some(code) = &answer.error {
        head = head.header("x-amzn-errortype", code);
    }
    head
}

impl Cloud {
    /// A configuration whose clients act as a session of that role. The session never expires, as in a Lambda function.
    /// A missing role is made, with an empty trust policy.
    pub fn sdk_config(&self, account: &str, role_name: &str) -> SdkConfig {
        self.config(self.role_session(account, role_name))
    }

    /// The credentials of a session of that role, which never expires.
    pub fn role_session(&self, account: &str, role_name: &str) -> Credentials {
        let known = self.world().expect_account(account).roles.contains_key(role_name);
        if !known {
            self.add_role(account, role_name, &[]);
        }
        let mut world = self.world();
        let id = ids::unique_id(&mut world.rng, "ASIA");
        let session = Session {
            secret: ids::secret_access_key(&mut world.rng),
            token: ids::session_token(&mut world.rng),
            account: account.to_owned(),
            role: role_name.to_owned(),
            name: role_name.chars().take(64).collect(),
            expires: None,
        };
        let credentials = Credentials::new(&id, &session.secret, Some(session.token.clone()), None, "rehearsal");
        world.sessions.insert(id, session);
        credentials
    }

    /// A configuration whose clients use a user's key.
    pub fn user_config(&self, key: &AccessKeyPair) -> SdkConfig {
        self.config(Credentials::new(&key.access_key_id, &key.secret, None, None, "rehearsal"))
    }

    fn config(&self, credentials: Credentials) -> SdkConfig {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .read_timeout(Duration::from_secs(10))
            .build();
        let (region, attempts) = {
            let world = self.world();
            (world.region.clone(), world.switches.sdk_attempts)
        };
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(Connector::new(self.clone()))
            .time_source(self.clock().time_source())
            .sleep_impl(self.clock().sleep())
            .retry_config(RetryConfig::standard().with_max_attempts(attempts))
            .timeout_config(timeouts)
            .build()
    }
}
