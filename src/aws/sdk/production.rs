//! The SDK configuration of a Lambda function.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::identity::IdentityCache;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{HttpClient as _, SharedHttpClient, http_client_fn};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use super::endpoints::{Endpoints, Lookup, flag};
use super::retry;

/// Returns the SDK configuration of a Lambda function. Endpoints, Region and credentials are read from AWS's
/// environment variables. Retries and timeouts are set here:
///
/// - An attempt ends after 10 s, because it will not succeed later.
/// - A call ends after 30 s with all its retries, so that the function has time left to handle the failure.
///
/// # Design
/// The SDK's own chain also searches files, instance and container metadata, and programs that print credentials. A
/// function has none of these and must act only as its own role, so it reads the environment alone.
pub fn production_config(lookup: Lookup) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(30))
        .build();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(lookup("AWS_REGION").or_else(|| lookup("AWS_DEFAULT_REGION")).map(Region::new))
        .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
        .identity_cache(IdentityCache::lazy().build())
        .service_config(Endpoints(lookup))
        .retry_config(retry::retries())
        .timeout_config(timeouts)
        .time_source(SharedTimeSource::new(SystemTimeSource::new()))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .http_client(http_client());
    config.set_use_fips(flag(lookup, "AWS_USE_FIPS_ENDPOINT"));
    config.set_use_dual_stack(flag(lookup, "AWS_USE_DUALSTACK_ENDPOINT"));
    config.build()
}

/// Returns one HTTP client for all SDK clients, otherwise like the SDK's default. By default each SDK client would have
/// a pool of connections and a TLS configuration of its own. It would also load all certificates of the system when it
/// is made, for a TLS configuration that is never used. This client loads them at the first call.
pub(super) fn http_client() -> SharedHttpClient {
    let connectors = Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = Connector::builder();
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build()
    });
    // A function and not the client itself, because the SDK would validate the client once for each SDK client.
    http_client_fn(move |settings, components| connectors.http_connector(settings, components))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_and_endpoint_flags_are_read_from_the_environment() {
        let config = production_config(|variable| match variable {
            "AWS_REGION" => Some("eu-west-1".to_owned()),
            "AWS_DEFAULT_REGION" => Some("us-east-1".to_owned()),
            "AWS_USE_FIPS_ENDPOINT" => Some("True".to_owned()),
            "AWS_USE_DUALSTACK_ENDPOINT" => Some("maybe".to_owned()),
            _ => None,
        });
        assert_eq!(config.region().map(AsRef::as_ref), Some("eu-west-1"));
        assert_eq!((config.use_fips(), config.use_dual_stack()), (Some(true), None));
        let by_default =
            production_config(|variable| (variable == "AWS_DEFAULT_REGION").then(|| "us-east-1".to_owned()));
        assert_eq!(by_default.region().map(AsRef::as_ref), Some("us-east-1"));
        assert_eq!(production_config(|_| None).region(), None);
    }
}
