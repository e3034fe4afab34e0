//! Finds secrets of the model in places that people read: the log, panics, mails, answers, errors and `Debug`.
//!
//! Every secret access key, session token and rotation token that the model makes begins and ends with the same mark.
//! A test calls [`Leaks::watch`] first, [`Leaks::scan_cloud`] and [`Leaks::found`] last:
//!
//! ```text
//! let leaks = Leaks::watch();
//! let answer = deployment.sweep(json!({})).await;
//! leaks.scan_cloud(deployment.cloud());
//! assert_eq!(leaks.found(), []);
//! ```
//!
//! Every answer and error of a [`super::Deployment`] is scanned without a call. Other texts need [`Leaks::scan`].

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::io;
use std::sync::{Arc, LazyLock, Mutex, Once, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tracing::Level;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;

use crate::error::Error;
use crate::model::Cloud;
use crate::model::ids::MARK;
use crate::process;

/// The most leaks that are kept, because further leaks say nothing new.
const MOST_LEAKS: usize = 100;
/// How many characters before a leak are shown.
const SHOWN: usize = 80;

/// A secret in a place where it must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The place: `log`, `panic`, or the caller's name for it.
    pub place: String,
    /// The encoding: text, bytes, hexadecimal or base64.
    pub form: &'static str,
    /// The text before the secret. The secret itself is not repeated.
    pub after: String,
}

/// Scans the log and the panics of this thread until it is dropped.
///
/// The log is production's own, formatter included ([`process::start_log`]); keywheel's lines come down to `TRACE`,
/// those of other crates at production's levels.
#[must_use = "it watches until it is dropped"]
pub struct Leaks {
    seen: Arc<Seen>,
    _log: DefaultGuard,
}

#[derive(Default)]
struct Seen(Mutex<ScanResult>);

#[derive(Default)]
struct ScanResult {
    lines: usize,
    texts: usize,
    leaks: Vec<Leak>,
}

thread_local! {
    /// The active scans of this thread, the latest last.
    static WATCHING: RefCell<Vec<Arc<Seen>>> = const { RefCell::new(Vec::new()) };
}

impl Leaks {
    /// Starts the scan.
    pub fn watch() -> Self {
        Self::at(process::production_levels().with_target("keywheel", Level::TRACE))
    }

    /// Starts the scan with the lines of all crates at all levels, which production leaves out.
    pub fn watch_all_levels() -> Self {
        Self::at(Targets::new().with_default(LevelFilter::TRACE))
    }

    fn at(levels: Targets) -> Self {
        let seen = Arc::<Seen>::default();
        watch_panics();
        WATCHING.with_borrow_mut(|watching| watching.push(Arc::clone(&seen)));
        let log = tracing::subscriber::set_default(process::log(levels, Log(Arc::clone(&seen))));
        Self { seen, _log: log }
    }

    /// Searches a text from that place.
    pub fn scan(&self, place: &str, text: &str) {
        self.seen.text(place, text);
    }

    /// Searches the `Debug` output of a value, in both layouts.
    pub fn scan_debug(&self, place: &str, value: &dyn fmt::Debug) {
        self.scan(place, &format!("{value:?}"));
        self.scan(place, &format!("{value:#?}"));
    }

    /// Searches everything in the model that others can read: mails, events, calls, users, tags, policies, rotation
    /// errors. The values of secrets are not searched.
    pub fn scan_cloud(&self, cloud: &Cloud) {
        for (place, text) in texts_of(cloud) {
            self.scan(place, &text);
        }
    }

    /// Searches the model for every scan of this thread, where the [`Leaks`] is out of reach.
    pub fn show_cloud(cloud: &Cloud) {
        for seen in watching() {
            for (place, text) in texts_of(cloud) {
                seen.text(place, &text);
            }
        }
    }

    /// The leaks so far, at most 100.
    pub fn found(&self) -> Vec<Leak> {
        self.seen.found().leaks.clone()
    }

    /// Searched lines of the log. A test should require some: without lines it proves nothing.
    pub fn lines(&self) -> usize {
        self.seen.found().lines
    }

    /// Searched texts and panic messages.
    pub fn texts(&self) -> usize {
        self.seen.found().texts
    }
}

impl Drop for Leaks {
    fn drop(&mut self) {
        WATCHING.with_borrow_mut(|watching| watching.retain(|it| !Arc::ptr_eq(it, &self.seen)));
    }
}

/// Searches a result for every scan of this thread: as text, as `Debug`, and as Lambda returns an error.
pub(crate) fn show<T: fmt::Debug>(place: &str, result: &Result<T, Error>) {
    for seen in watching() {
        seen.text(place, &format!("{result:?}"));
        if let Err(error) = result {
            seen.text(place, &format!("{error:#?}"));
            seen.text(place, &error.to_string());
        }
    }
}

fn watching() -> Vec<Arc<Seen>> {
    WATCHING.with(|it| it.try_borrow().map(|it| it.clone()).unwrap_or_default())
}

fn texts_of(cloud: &Cloud) -> Vec<(&'static str, String)> {
    let mut texts: Vec<_> = cloud.mails().iter().map(|mail| ("mail", mail.shown())).collect();
    let topics: Vec<_> = cloud.world().topics.values().map(|topic| ("topic", format!("{topic:?}"))).collect();
    texts.extend(topics);
    texts.extend(cloud.events().iter().map(|event| ("event", event.to_string())));
    texts.extend(cloud.calls().iter().map(|call| ("call", format!("{call:?}"))));
    texts.extend(cloud.account_ids().iter().map(|account| ("users", format!("{:?}", cloud.users(account)))));
    texts.push(("secrets", format!("{:?}", cloud.secrets())));
    texts.push(("keys", format!("{:?}", cloud.key_history(0))));
    texts
}

impl Seen {
    fn found(&self) -> std::sync::MutexGuard<'_, ScanResult> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self, place: &str, text: &str) {
        self.found().texts += 1;
        self.look(place, text);
    }

    fn look(&self, place: &str, text: &str) {
        for (form, mark) in FORMS.iter() {
            let Some(at) = text.find(mark) else { continue };
            let mut found = self.found();
            if found.leaks.len() < MOST_LEAKS {
                found.leaks.push(Leak { place: place.to_owned(), form, after: before(&text[..at]) });
            }
        }
    }
}

/// The end of the text before a mark, without characters that may belong to the secret.
fn before(text: &str) -> String {
    let is_secret = |c: char| c.is_ascii_alphanumeric() || "+/=-_".contains(c);
    let kept: Vec<char> = text.trim_end_matches(is_secret).chars().rev().take(SHOWN).collect();
    kept.into_iter().rev().collect()
}

/// The mark in every encoding. In base64 the mark has three forms, by its offset modulo three bytes.
static FORMS: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
    let bytes: Vec<String> = MARK.bytes().map(|byte| byte.to_string()).collect();
    let mut hex = String::new();
    for byte in MARK.bytes() {
        let _ = write!(hex, "{byte:02x}");
    }
    let mut forms = vec![
        ("text", MARK.to_owned()),
        ("bytes", bytes.join(", ")),
        ("bytes", bytes.join(",")),
        ("bytes", bytes.join(",\n    ")),
        ("hexadecimal", hex.to_uppercase()),
        ("hexadecimal", hex),
    ];
    forms.extend((0..3).map(|shift| ("base64", base64_core(shift))));
    forms
});

/// The base64 characters that depend on the mark alone, with `shift` bytes before it.
fn base64_core(shift: usize) -> String {
    let encoded = STANDARD.encode([&vec![0; shift], MARK.as_bytes()].concat());
    let (start, end) = ((shift * 8).div_ceil(6), (shift + MARK.len()) * 8 / 6);
    encoded[start..end].to_owned()
}

#[derive(Clone)]
struct Log(Arc<Seen>);

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

impl io::Write for Log {
    /// The formatter writes each event in one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.found().lines += 1;
        self.0.look("log", &String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Searches the messages of panics: they go to standard error, and Lambda's runtime returns them.
fn watch_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let message = panic.payload_as_str().unwrap_or_default();
            for seen in watching() {
                seen.text("panic", message);
            }
            earlier(panic);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids;

    fn secrets() -> [String; 3] {
        let mut rng = fastrand::Rng::with_seed(5);
        [ids::secret_access_key(&mut rng), ids::session_token(&mut rng), ids::rotation_token(&mut rng)]
    }

    fn scanned(text: &str) -> Vec<Leak> {
        let leaks = Leaks::watch();
        leaks.scan("test", text);
        leaks.found()
    }

    #[test]
    fn secrets_of_the_model_have_the_form_of_aws_secrets() {
        let [key, session, rotation] = secrets();
        assert_eq!((key.len(), session.len(), rotation.len()), (40, 160, 64));
        for text in [&key, &session] {
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte)), "{text}");
        }
        assert!(rotation.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{rotation}");
    }

    #[test]
    fn a_leak_is_found_in_every_encoding() {
        for secret in secrets() {
            let bytes = secret.as_bytes();
            for text in [
                format!("the key is {secret}."),
                serde_json::json!({ "SecretAccessKey": secret }).to_string(),
                form_urlencoded::byte_serialize(bytes).collect(),
                format!("{bytes:?}"),
                format!("{bytes:#?}"),
                bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02X}")),
                STANDARD.encode(format!("a{secret}")),
                STANDARD.encode(format!("ab{secret}")),
                STANDARD.encode(format!("abc{secret}")),
                secret[..12].to_owned(),
                secret[secret.len() - 6..].to_owned(),
            ] {
                assert!(!scanned(&text).is_empty(), "{text}");
            }
        }
        assert_eq!(scanned("no secret, SecretAccessKey, SECRET"), []);
    }

    #[test]
    fn a_leak_in_the_log_is_found_at_every_level() {
        let (leaks, [key, ..]) = (Leaks::watch(), secrets());
        tracing::trace!(target: "keywheel::rotation", key, "made");
        let found = leaks.found();
        assert_eq!((found.len(), leaks.lines()), (1, 1));
        assert!(found[0].place == "log" && found[0].after.contains("made"), "{found:?}");
        assert!(!format!("{found:?}").contains(&key[6..30]), "the report of a leak is none");
        tracing::info!(target: crate::metrics::TARGET, "{key}");
        tracing::warn!(target: "another::crate", key);
        assert_eq!((leaks.found().len(), leaks.lines()), (3, 3));
    }

    #[test]
    fn the_texts_of_a_model_and_of_a_result_are_searched() {
        use crate::model::Clock;
        let (leaks, [key, ..]) = (Leaks::watch(), secrets());
        let cloud = Cloud::new(Clock::starting_at(chrono::DateTime::UNIX_EPOCH), 1);
        cloud.add_account("111122223333", "prod", None);
        cloud.add_user("111122223333", "bot", "/");
        cloud.add_access_key("111122223333", "bot", chrono::DateTime::UNIX_EPOCH);
        cloud.put_secret("111122223333", "any", &key, chrono::DateTime::UNIX_EPOCH);
        Leaks::show_cloud(&cloud);
        show("answer", &Ok(serde_json::json!({"key": "none"})));
        assert_eq!(leaks.found(), [], "the value of a secret is its own place");
        cloud.tag_user("111122223333", "bot", "note", &key);
        Leaks::show_cloud(&cloud);
        show::<()>("answer", &Err(Error::SecretGone(key)));
        let places: Vec<String> = leaks.found().into_iter().map(|leak| leak.place).collect();
        assert_eq!(places, ["users", "answer", "answer", "answer"]);
    }

    #[test]
    fn lines_that_production_does_not_write_are_not_searched() {
        let (leaks, [key, ..]) = (Leaks::watch(), secrets());
        tracing::info!(target: "aws_smithy_runtime::client::orchestrator", key);
        tracing::error!(target: "aws_smithy_runtime_api::client::interceptors::context", key);
        assert_eq!((leaks.found(), leaks.lines()), (vec![], 0));
    }

    #[test]
    fn a_leak_in_a_panic_is_found_on_the_thread_that_is_watched() {
        let (leaks, [key, ..]) = (Leaks::watch(), secrets());
        std::thread::spawn(|| panic!("{}", secrets()[0])).join().expect_err("it panicked");
        assert_eq!(leaks.found(), []);
        std::panic::catch_unwind(|| panic!("no key but {key}")).expect_err("it panicked");
        let found = leaks.found();
        assert!(found.len() == 1 && found[0].place == "panic", "{found:?}");
    }
}
