//! The configuration that a Lambda function runs with.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{HttpClient as _, SharedHttpClient, http_client_fn};

/// Endpoints, Region and credentials from the standard AWS configuration, retries and timeouts set on purpose.
///
/// A single attempt that takes 10 s will not succeed any more; five attempts with the SDK's exponential backoff ride
/// out throttling; 30 s in all leave time to act on the failure within a function's limit.
pub async fn production_config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(30))
        .build();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .retry_config(RetryConfig::standard().with_max_attempts(5))
        .timeout_config(timeouts)
        .http_client(http_client())
        .load()
        .await
}

/// The SDK's default, but one for all clients. Each would make its own, with another pool of connections and another TLS
/// configuration; and it would read all certificates of the system as soon as it is made, and again make a TLS
/// configuration of them, which nobody uses. This one does that for the first call.
pub(super) fn http_client() -> SharedHttpClient {
    let connectors = Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = Connector::builder();
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build()
    });
    // Not the client itself: the SDK would have it checked for each client that is made.
    http_client_fn(move |settings, components| connectors.http_connector(settings, components))
}
