//! `keywheel preview`: every message that keywheel sends, from sample data, as files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use tinytemplate::TinyTemplate;

use super::Result;
use crate::keys::SecretName;
use crate::lifecycle::Notice;
use crate::notify::{AccountContact, Addressed, Message, Mode, Templates, compose, samples};
use crate::process;
use crate::settings::Function;
use crate::state::Notified;

const INDEX: &str = include_str!("preview.html");
/// Number of notices in the longest digest: more than one message describes.
const LONG_DIGEST: usize = 400;

#[derive(Debug, Args)]
pub(super) struct Preview {
    /// Folder for the messages.
    #[arg(long, value_name = "FOLDER", default_value = "preview")]
    out: PathBuf,
    /// Folder with templates. By default they are read beside the executable or in ./templates; the built-in templates
    /// replace missing ones.
    #[arg(long, value_name = "FOLDER")]
    templates: Option<PathBuf>,
}

/// A message to write, with the name of its files without the extension.
struct Sample {
    name: String,
    message: Message,
}

impl Preview {
    /// Writes all messages and an index. Deletes the files of an earlier preview first, and no other file. Safe to
    /// repeat.
    pub(super) fn run(&self) -> Result<ExitCode> {
        let settings = process::settings_or(Function::Rotation, sample_setting)?;
        let templates = match &self.templates {
            Some(folder) if !folder.is_dir() => return Err(format!("{} is not a folder", folder.display()).into()),
            Some(folder) => Templates::load(&settings, |name| fs::read_to_string(folder.join(name)).ok())?,
            None => Templates::load(&settings, process::template)?,
        };
        let mut shown = Vec::new();
        for (mode, prefix) in [(Mode::Enforced, "enforced"), (Mode::DryRun, "audit")] {
            shown.extend(messages(&templates, mode, prefix)?);
        }
        let explain = |error: std::io::Error| format!("cannot write the preview to {}: {error}", self.out.display());
        write(&self.out, &shown).map_err(explain)?;
        fs::write(self.out.join("index.html"), index(&shown)?).map_err(explain)?;
        say(&format!("{} messages in {}", shown.len(), self.out.join("index.html").display()));
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns sample values for the settings that have no default.
fn sample_setting(variable: &str) -> Option<String> {
    let value = match variable {
        "PRIMARY_ACCOUNT_ID" => "999988887777",
        "SENDER_EMAIL" => "keys@example.com",
        "NOTICE_CONTACT" => "the platform team, #access-keys",
        _ => return None,
    };
    Some(value.to_owned())
}

fn messages(templates: &Templates, mode: Mode, prefix: &str) -> Result<Vec<Sample>> {
    let kinds = samples::kinds().into_iter();
    let sent: Vec<_> = kinds.filter(|(_, kind)| mode == Mode::DryRun || !kind.is_for_dry_run_only()).collect();
    let mut shown = Vec::new();
    for (name, kind) in &sent {
        let notices = [(samples::account(), samples::notice(kind.clone()))];
        shown.push((format!("{prefix}-{}", name.replace('_', "-")), message(templates, mode, &notices)?));
    }
    let notices = sent.iter().cycle().enumerate();
    let notices: Vec<_> =
        notices.map(|(n, (_, kind))| of_organization(n, samples::notice(kind.clone()))).take(LONG_DIGEST).collect();
    shown.push((format!("{prefix}-digest"), message(templates, mode, &notices[..9])?));
    shown.push((format!("{prefix}-digest-of-all"), message(templates, mode, &notices[..sent.len()])?));
    shown.push((format!("{prefix}-digest-cut"), message(templates, mode, &notices)?));
    Ok(shown.into_iter().map(|(name, message)| Sample { name, message }).collect())
}

fn message(templates: &Templates, mode: Mode, notices: &[(AccountContact, Notice)]) -> Result<Message> {
    let notified = Notified::default();
    let addressed: Vec<Addressed<'_>> =
        notices.iter().map(|(account, notice)| Addressed { notice, account, notified: &notified }).collect();
    let items: Vec<&Addressed<'_>> = addressed.iter().collect();
    Ok(compose(templates, mode, samples::now(), &samples::recipient(), &items)?)
}

/// Returns the notice as one for the n-th user of an organization. Some names are long or have special characters, to
/// test the layout.
fn of_organization(n: usize, notice: Notice) -> (AccountContact, Notice) {
    let accounts = [
        ("111122223333", "prod"),
        ("444455556666", "Söhne & Co. <staging>"),
        ("777788889999", "data-platform-sandbox"),
    ];
    let users =
        ["ci-bot", "terraform", "backup-agent", "jo.smith@example.com", "svc_reporting-nightly-export-to-warehouse"];
    let (id, name) = accounts[n % accounts.len()];
    let account = AccountContact {
        id: id.parse().expect("twelve digits"),
        name: name.to_owned(),
        email: None,
        malformed_email: None,
        is_confirmed: true,
    };
    let mut user = notice.user;
    user.account = account.id.clone();
    user.name = match n / users.len() {
        0 => users[n].parse().expect("a user name"),
        round => format!("{}-{round}", users[n % users.len()]).parse().expect("a user name"),
    };
    let secret = format!("arn:aws:secretsmanager:eu-west-1:999988887777:secret:{}-a1B2c3", SecretName::of(&user));
    (account, Notice { user, key: samples::key(n + 1), secret_arn: Some(secret), ..notice })
}

fn write(folder: &Path, shown: &[Sample]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if is_ours(&path) {
            fs::remove_file(path)?;
        }
    }
    for Sample { name, message } in shown {
        fs::write(folder.join(format!("{name}.html")), &message.html)?;
        fs::write(folder.join(format!("{name}.txt")), format!("Subject: {}\n\n{}", message.subject, message.text))?;
        if let Some(attachment) = &message.attachment {
            fs::write(folder.join(format!("{name}.csv")), &attachment.csv)?;
        }
    }
    Ok(())
}

/// Whether a file belongs to a preview, such as `enforced-….html` or `audit-….csv`.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let is_kind = path.extension().is_some_and(|ending| ["html", "txt", "csv"].iter().any(|kind| ending == *kind));
    is_kind && (name.starts_with("enforced-") || name.starts_with("audit-"))
}

#[derive(Serialize)]
struct Link<'a> {
    name: &'a str,
    subject: &'a str,
    has_sheet: bool,
    bytes: usize,
}

fn index(shown: &[Sample]) -> Result<String> {
    let link = |Sample { name, message }: &'_ Sample| {
        serde_json::to_value(Link {
            name,
            subject: &message.subject,
            has_sheet: message.attachment.is_some(),
            bytes: message.html.len(),
        })
    };
    let links = shown.iter().map(link).collect::<std::result::Result<Vec<_>, _>>()?;
    let mut engine = TinyTemplate::new();
    engine.add_template("index", INDEX)?;
    Ok(engine.render("index", &serde_json::json!({ "messages": links }))?)
}

#[expect(clippy::print_stdout, reason = "the command line prints its result here")]
fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::InvalidTemplate;

    fn templates(files: &[(&str, &str)]) -> std::result::Result<Templates, InvalidTemplate> {
        let settings = crate::settings::Settings::read(Function::Rotation, sample_setting).unwrap();
        Templates::load(&settings, |name| {
            files.iter().find(|(file, _)| *file == name).map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn every_notice_is_shown_and_the_long_digest_has_its_sheet() {
        let templates = templates(&[]).unwrap();
        for (mode, prefix) in [(Mode::Enforced, "enforced"), (Mode::DryRun, "audit")] {
            let shown = messages(&templates, mode, prefix).unwrap();
            for (name, kind) in samples::kinds() {
                let file = format!("{prefix}-{}", name.replace('_', "-"));
                let is_sent = mode == Mode::DryRun || !kind.is_for_dry_run_only();
                assert_eq!(shown.iter().any(|shown| shown.name == file), is_sent, "{file}");
            }
            let with_sheet: Vec<&str> = shown
                .iter()
                .filter(|shown| shown.message.attachment.is_some())
                .map(|shown| shown.name.as_str())
                .collect();
            assert!(with_sheet.contains(&format!("{prefix}-digest-cut").as_str()), "{with_sheet:?}");
            assert!(index(&shown).unwrap().contains(&format!("{prefix}-digest-cut.csv")));
        }
    }

    #[test]
    fn subjects_are_escaped_in_the_index() {
        let message =
            Message { subject: "<b>&".to_owned(), html: String::new(), text: String::new(), attachment: None };
        let shown = [Sample { name: "audit-x".to_owned(), message }];
        assert!(index(&shown).unwrap().contains("&lt;b&gt;&amp;"));
    }

    #[test]
    fn only_files_of_a_preview_are_deleted() {
        for (name, ours) in
            [("enforced-a.html", true), ("audit-b.csv", true), ("audit-b.doc", false), ("own.html", false)]
        {
            assert_eq!(is_ours(Path::new(name)), ours, "{name}");
        }
    }
}
