//! The edge of a process: environment, files beside the executable, log and deadline. No other module reads these.

use std::{fmt, fs};

use chrono::{DateTime, Utc};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::aws::{Access, Aws, EndpointOverride, Lookup, SweeperAws, endpoint_overrides, production_config};
use crate::error::Error;
use crate::metrics;
use crate::settings::{Function, InvalidSettings, Settings};

/// Writes the log to standard output, one JSON object a line. A metric is a line of its own without a frame, because
/// CloudWatch reads it only in that form.
pub fn start_log() {
    log(production_levels(), std::io::stdout).init();
}

/// Returns the levels that production logs.
///
/// Other crates log warnings and errors only: at lower levels the AWS SDK logs requests and responses with their
/// secrets. One target of the SDK is off, because it repeats an earlier error with the whole response of AWS, and
/// keywheel logs the same error itself.
pub(crate) fn production_levels() -> Targets {
    Targets::new()
        .with_target("keywheel", Level::INFO)
        .with_target("aws_smithy_runtime_api::client::interceptors::context", LevelFilter::OFF)
        .with_default(Level::WARN)
}

/// Returns the log of [`start_log`] with these levels and this writer.
pub(crate) fn log<W>(levels: Targets, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Clone + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(writer.clone());
    let bare = tracing_subscriber::fmt::layer().event_format(MessageAlone).with_writer(writer);
    tracing_subscriber::registry()
        .with(lines.with_filter(levels.with_target(metrics::TARGET, LevelFilter::OFF)))
        .with(bare.with_filter(Targets::new().with_target(metrics::TARGET, Level::INFO)))
}

/// Writes the message of an event without a frame.
struct MessageAlone;

impl<S, N> FormatEvent<S, N> for MessageAlone
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Logs why an invocation fails: the error's name, and its message with identifiers and remedy. The runtime logs the
/// `Debug` form, which has neither the words nor the remedy.
pub fn log_failure(error: &Error) {
    tracing::error!(name = error.name(), %error, "the invocation fails");
}

/// Reads the settings of a function from its environment, and logs each endpoint that stands there in place of AWS's
/// own: calls and secrets go to it.
///
/// # Errors
/// [`InvalidSettings`] with every mistake at once. An endpoint without TLS is one.
pub fn settings(function: Function) -> Result<Settings, InvalidSettings> {
    settings_of(function, environment)
}

fn settings_of(function: Function, lookup: Lookup) -> Result<Settings, InvalidSettings> {
    const ALLOWED: &str = "an https:// URL without a user, or an http:// URL of this machine (127.0.0.1, localhost)";
    let overrides = endpoint_overrides(lookup);
    let wrong = overrides.iter().filter(|it| !it.is_protected()).map(|it| (it.variable, it.url.clone()));
    let settings = InvalidSettings::add_to(Settings::read(function, lookup), wrong, ALLOWED)?;
    for EndpointOverride { variable, url } in &overrides {
        tracing::warn!(variable, url, "calls to AWS go to the endpoint of this variable, not to AWS's own");
    }
    Ok(settings)
}

/// Reads the settings from the environment. `samples` supplies the variables that are not set there.
///
/// # Errors
/// [`InvalidSettings`] with every mistake at once.
pub fn settings_or(function: Function, samples: impl Fn(&str) -> Option<String>) -> Result<Settings, InvalidSettings> {
    Settings::read(function, |variable| environment(variable).or_else(|| samples(variable)))
}

#[expect(clippy::disallowed_methods, reason = "this is the edge of the process")]
fn environment(variable: &str) -> Option<String> {
    // A value that is not Unicode is set all the same: its replacement characters are refused with its name.
    std::env::var_os(variable).map(|value| value.to_string_lossy().into_owned())
}

/// Returns the text of a file in `templates/` beside the executable or, if it is not there, in the current folder.
/// Bytes that are not UTF-8 become replacement characters: the file is there, and the built-in template must not
/// replace it.
pub fn template(name: &str) -> Option<String> {
    let beside = std::env::current_exe().ok().and_then(|executable| Some(executable.parent()?.join("templates")));
    let folders = beside.into_iter().chain(std::env::current_dir().ok().map(|folder| folder.join("templates")));
    folders
        .map(|folder| folder.join(name))
        .find_map(|path| fs::read(path).ok())
        .map(|text| String::from_utf8_lossy(&text).into_owned())
}

/// Returns the rotation function's clients. They connect at the first call.
pub fn rotation_aws(settings: &Settings) -> Aws {
    Aws::new(production_config(environment), access(Function::Rotation, settings))
}

/// Returns the sweeper's clients. They connect at the first call.
pub fn sweeper_aws(settings: &Settings) -> SweeperAws {
    SweeperAws::new(production_config(environment), access(Function::Sweeper, settings))
}

/// Returns the roles that a function assumes.
pub fn access(function: Function, settings: &Settings) -> Access {
    Access {
        primary_account: settings.primary_account.clone(),
        member_role: match function {
            Function::Rotation => settings.rotation_member_role(),
            Function::Sweeper => settings.member_role.clone(),
        },
        session_name: settings.session_name.clone(),
        org_list_role_arn: settings.org_list_role_arn.clone(),
        mail_region: settings.notices.ses_region.clone(),
    }
}

/// Returns the time at which Lambda ends an invocation, from the milliseconds since 1970 in its context.
pub fn deadline(epoch_ms: u64) -> DateTime<Utc> {
    let epoch_ms = i64::try_from(epoch_ms).ok();
    epoch_ms.and_then(DateTime::from_timestamp_millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_inside_a_span_has_the_fields_of_the_span() {
        let lines = Lines::default();
        let writer = lines.clone();
        tracing::subscriber::with_default(log(production_levels(), move || writer.clone()), || {
            let span = tracing::info_span!("rotation", step = "createSecret", user = "ci-bot");
            span.in_scope(|| tracing::warn!("created an access key"));
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["span"]["step"], &line["span"]["user"]), (&"createSecret".into(), &"ci-bot".into()));
    }

    /// Reads the settings with this endpoint. Returns the log, or the refusal.
    fn with_endpoint(lookup: Lookup) -> Result<String, String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let read = tracing::subscriber::with_default(log(production_levels(), move || writer.clone()), || {
            settings_of(Function::Rotation, lookup)
        });
        read.map_err(|error| error.to_string())?;
        Ok(String::from_utf8(lines.0.lock().unwrap().clone()).unwrap())
    }

    #[test]
    fn nobody_gains_10_an_endpoint_is_logged_and_needs_tls() {
        let logged = with_endpoint(|variable| match variable {
            "PRIMARY_ACCOUNT_ID" => Some("999988887777".to_owned()),
            "AWS_ENDPOINT_URL_STS" => Some("https://sts.example.com".to_owned()),
            _ => None,
        });
        let line: serde_json::Value = serde_json::from_str(&logged.unwrap()).unwrap();
        assert_eq!((&line["level"], &line["variable"]), (&"WARN".into(), &"AWS_ENDPOINT_URL_STS".into()));
        assert_eq!(line["url"], "https://sts.example.com");
        let refused = with_endpoint(|variable| match variable {
            "AWS_ENDPOINT_URL" => Some("http://10.0.0.1".to_owned()),
            _ => None,
        });
        let refused = refused.unwrap_err();
        assert!(refused.contains("PRIMARY_ACCOUNT_ID is not set"), "{refused}");
        assert!(refused.contains("AWS_ENDPOINT_URL is `http://10.0.0.1`; allowed: an https:// URL"), "{refused}");
        let none = with_endpoint(|variable| (variable == "PRIMARY_ACCOUNT_ID").then(|| "999988887777".to_owned()));
        assert_eq!(none.as_deref(), Ok(""));
    }

    #[test]
    fn the_log_has_the_name_of_an_error_and_its_remedy() {
        let lines = Lines::default();
        let writer = lines.clone();
        tracing::subscriber::with_default(log(production_levels(), move || writer.clone()), || {
            log_failure(&Error::AnnouncementTooSlow("the-secret".to_owned()));
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["level"], &line["name"]), (&"ERROR".into(), &"AnnouncementTooSlow".into()));
        let error = line["error"].as_str().unwrap();
        assert!(error.contains("the-secret") && error.contains("Secrets Manager tries the rotation again"), "{error}");
    }
}
