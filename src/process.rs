//! The edge of a process: environment, files beside the executable, log, deadline. Nothing else reads these.

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

use crate::aws::{Access, Aws, SweeperAws, production_config};
use crate::metrics;
use crate::settings::{Function, InvalidSettings, Settings};

/// Writes the log to standard output, one JSON object a line. Metrics stand there as they are: CloudWatch reads them
/// only without a frame.
pub fn start_log() {
    log(production_levels(), std::io::stdout).init();
}

/// Which lines are written.
///
/// Other crates' lines start at warnings: at lower levels the AWS SDK writes requests and answers down, and in these
/// are secrets. One of its errors repeats an earlier error with all that AWS said in it, and says nothing that our own
/// lines do not say.
pub(crate) fn production_levels() -> Targets {
    Targets::new()
        .with_target("keywheel", Level::INFO)
        .with_target("aws_smithy_runtime_api::client::interceptors::context", LevelFilter::OFF)
        .with_default(Level::WARN)
}

/// The log as [`start_log`] writes it, at other levels or to another place.
pub(crate) fn log<W>(levels: Targets, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Clone + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_writer(writer.clone());
    let bare = tracing_subscriber::fmt::layer().event_format(MessageAlone).with_writer(writer);
    tracing_subscriber::registry()
        .with(lines.with_filter(levels.with_target(metrics::TARGET, LevelFilter::OFF)))
        .with(bare.with_filter(Targets::new().with_target(metrics::TARGET, Level::INFO)))
}

/// Writes an event's message, and nothing else.
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

/// The settings in the environment.
///
/// # Errors
/// [`InvalidSettings`] with every mistake at once.
pub fn settings(function: Function) -> Result<Settings, InvalidSettings> {
    Settings::read(function, environment)
}

/// The settings in the environment, and `samples` for what is not set there.
///
/// # Errors
/// [`InvalidSettings`] with every mistake at once.
pub fn settings_or(function: Function, samples: impl Fn(&str) -> Option<String>) -> Result<Settings, InvalidSettings> {
    Settings::read(function, |variable| environment(variable).or_else(|| samples(variable)))
}

#[expect(clippy::disallowed_methods, reason = "this is the edge of the process")]
fn environment(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// The text of a file in the folder `templates` beside the executable, or in that of the current folder.
pub fn template(name: &str) -> Option<String> {
    let beside = std::env::current_exe().ok().and_then(|executable| Some(executable.parent()?.join("templates")));
    let folders = beside.into_iter().chain(std::env::current_dir().ok().map(|folder| folder.join("templates")));
    folders.map(|folder| folder.join(name)).find_map(|path| fs::read_to_string(path).ok())
}

/// The rotation function's way to AWS.
pub fn rotation_aws(settings: &Settings) -> Aws {
    Aws::new(production_config(environment), access(Function::Rotation, settings))
}

/// The sweeper's way to AWS.
pub fn sweeper_aws(settings: &Settings) -> SweeperAws {
    SweeperAws::new(production_config(environment), access(Function::Sweeper, settings))
}

/// Which roles that function assumes.
pub fn access(function: Function, settings: &Settings) -> Access {
    Access {
        primary_account: settings.primary_account.clone(),
        member_role: match function {
            Function::Rotation => settings.rotation_member_role(),
            Function::Sweeper => settings.member_role.clone(),
        },
        session_name: settings.session_name.clone(),
        org_list_role_arn: settings.org_list_role_arn.clone(),
    }
}

/// When Lambda ends an invocation, from the milliseconds since 1970 in its context.
pub fn deadline(epoch_ms: u64) -> DateTime<Utc> {
    let epoch_ms = i64::try_from(epoch_ms).ok();
    epoch_ms.and_then(DateTime::from_timestamp_millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
