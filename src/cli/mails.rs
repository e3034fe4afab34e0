//! Writes the mails of a rehearsal as files.

use std::fs;
use std::path::{Path, PathBuf};

use super::Result;
use crate::model::Mail;

/// The mails that were written.
pub(super) struct Written {
    pub(super) folder: PathBuf,
    pub(super) mails: usize,
}

/// Writes each mail as HTML and as text into the subfolder `mails`. Deletes the mails of an earlier rehearsal first,
/// and no other file. Safe to repeat.
pub(super) fn write(folder: &Path, mails: &[Mail]) -> Result<Written> {
    let explain = |error: std::io::Error| format!("cannot write the mails to {}: {error}", folder.display());
    let folder = folder.join("mails");
    fs::create_dir_all(&folder).map_err(explain)?;
    for entry in fs::read_dir(&folder).map_err(explain)? {
        let path = entry.map_err(explain)?.path();
        if is_ours(&path) {
            fs::remove_file(path).map_err(explain)?;
        }
    }
    for (number, mail) in mails.iter().enumerate() {
        let recipient: String = mail.to.join("+").chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        let name = format!("{:04}-{}-{recipient}", number + 1, mail.at.date_naive());
        let text = mail.text.as_deref().unwrap_or_default();
        let head = format!("To: {}\nFrom: {}\nSubject: {}\n\n", mail.to.join(", "), mail.from, mail.subject);
        fs::write(folder.join(format!("{name}.txt")), head + text).map_err(explain)?;
        fs::write(folder.join(format!("{name}.html")), mail.html.as_deref().unwrap_or_default()).map_err(explain)?;
    }
    Ok(Written { folder, mails: mails.len() })
}

/// Whether a file is a mail of a rehearsal, such as `0001-2026-01-05-….html` or `.txt`.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let number = name.split('-').next().unwrap_or_default();
    let is_mail = path.extension().is_some_and(|ending| ending == "html" || ending == "txt");
    is_mail && number.len() >= 4 && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "@+.-_".contains(c)
}
