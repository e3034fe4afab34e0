//! Endpoints of AWS that the environment sets in place of AWS's own.

use std::fmt;
use std::net::IpAddr;

use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

/// Returns the value of an environment variable; `None` if it is not set.
pub type Lookup = fn(&str) -> Option<String>;

/// The variables that can set an endpoint: of all services, and of each service that the functions call.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
const VARIABLES: [&str; 7] = [
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_IAM",
    "AWS_ENDPOINT_URL_ORGANIZATIONS",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "AWS_ENDPOINT_URL_SESV2",
    "AWS_ENDPOINT_URL_SNS",
    "AWS_ENDPOINT_URL_STS",
];

/// An endpoint that the environment sets in place of AWS's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointOverride {
    /// The environment variable that sets it.
    pub variable: &'static str,
    /// The endpoint as it stands there; maybe no URL at all.
    pub url: String,
}

impl EndpointOverride {
    /// Whether nobody between the function and that endpoint can read the calls: it has TLS, or is on this machine.
    ///
    /// On this machine are the emulators of the tests. In Lambda, a program that listens there (an extension) runs with
    /// the function's credentials anyway.
    pub fn is_protected(&self) -> bool {
        let url = self.url.to_ascii_lowercase();
        let Some((scheme, rest)) = url.split_once("://") else { return false };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() || authority.contains('@') {
            return false;
        }
        scheme == "https" || (scheme == "http" && is_this_machine(host(authority)))
    }
}

/// Returns the host of `host:port`, without the brackets of an IPv6 address.
fn host(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(address) => address.split_once(']').map_or(address, |(address, _)| address),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Returns the endpoints that the environment sets, and that the clients therefore use.
pub fn endpoint_overrides(lookup: Lookup) -> Vec<EndpointOverride> {
    let set = |variable: &'static str| Some(EndpointOverride { variable, url: value(lookup, variable)? });
    VARIABLES.into_iter().filter_map(set).collect()
}

fn value(lookup: Lookup, variable: &str) -> Option<String> {
    if !VARIABLES.contains(&variable) || flag(lookup, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") == Some(true) {
        return None;
    }
    lookup(variable).filter(|url| !url.is_empty())
}

pub(super) fn flag(lookup: Lookup, variable: &str) -> Option<bool> {
    let value = lookup(variable)?;
    match value.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => {
            // The SDK ignores such a value, too.
            tracing::warn!(variable, value, "environment variable is neither true nor false, so it is ignored");
            None
        }
    }
}

/// Reads `AWS_ENDPOINT_URL_<SERVICE>` and `AWS_ENDPOINT_URL` for the clients.
pub(super) struct Endpoints(pub(super) Lookup);

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoints")
    }
}

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let Self(lookup) = self;
        let service = key.service_id().to_ascii_uppercase().replace(' ', "_");
        value(*lookup, &format!("{}_{service}", key.env())).or_else(|| value(*lookup, key.env()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(lookup: Lookup, service: &str) -> Option<String> {
        let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url");
        Endpoints(lookup).load_config(key.build().expect("complete"))
    }

    #[test]
    fn the_endpoint_of_a_service_precedes_the_general_one() {
        let lookup: Lookup = |variable| match variable {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER" => Some("http://secrets".to_owned()),
            "AWS_ENDPOINT_URL_STS" => Some(String::new()),
            "AWS_ENDPOINT_URL" => Some("http://all".to_owned()),
            _ => None,
        };
        assert_eq!(endpoint(lookup, "Secrets Manager").as_deref(), Some("http://secrets"));
        assert_eq!(endpoint(lookup, "STS").as_deref(), Some("http://all"));
        assert_eq!(endpoint(|_| None, "STS"), None);
    }

    #[test]
    fn configured_endpoints_can_be_ignored() {
        let lookup: Lookup = |variable| match variable {
            "AWS_ENDPOINT_URL" | "AWS_ENDPOINT_URL_STS" => Some("http://all".to_owned()),
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS" => Some("true".to_owned()),
            _ => None,
        };
        assert_eq!(endpoint(lookup, "STS"), None);
        assert_eq!(endpoint_overrides(lookup), []);
    }

    #[test]
    fn nobody_gains_10_every_endpoint_that_is_used_is_listed() {
        let lookup: Lookup = |variable| variable.starts_with("AWS_ENDPOINT_URL").then(|| variable.to_owned());
        let listed = endpoint_overrides(lookup);
        assert_eq!(listed.len(), VARIABLES.len());
        for service in ["IAM", "Organizations", "Secrets Manager", "SESv2", "SNS", "STS"] {
            let own = endpoint(lookup, service).expect("set");
            assert!(own != "AWS_ENDPOINT_URL" && listed.iter().any(|it| it.variable == own), "{service}: {own}");
        }
        assert_eq!(endpoint(lookup, "S3").as_deref(), Some("AWS_ENDPOINT_URL"), "no other service is called");
    }

    #[test]
    fn nobody_gains_10_an_endpoint_needs_tls_or_is_on_this_machine() {
        for (url, is_protected) in [
            ("https://vpce-1.secretsmanager.eu-west-1.vpce.amazonaws.com", true),
            ("HTTPS://proxy.example.com:8443/aws", true),
            ("http://127.0.0.1:5000", true),
            ("http://localhost:4566/", true),
            ("HTTP://LocalHost", true),
            ("http://[::1]:4566", true),
            ("http://proxy.example.com", false),
            ("http://10.0.0.1:80", false),
            ("http://169.254.169.254", false),
            ("http://localhost.example.com", false),
            ("http://localhost@example.com", false),
            ("http://127.0.0.1:1@example.com", false),
            ("https://user:word@example.com", false),
            ("http://example.com#127.0.0.1", false),
            ("http://example.com\\@127.0.0.1", false),
            ("http://[::2]:80", false),
            ("http://", false),
            ("https:///", false),
            ("ftp://127.0.0.1", false),
            ("proxy.example.com", false),
            (" https://example.com", false),
        ] {
            let set = EndpointOverride { variable: "AWS_ENDPOINT_URL", url: url.to_owned() };
            assert_eq!(set.is_protected(), is_protected, "{url}");
        }
    }
}
