//! The mails of a rehearsal as files.

use std::fs;
use std::path::{Path, PathBuf};

use super::Result;
use crate::rehearsal::Mail;

/// Where the mails are.
pub(super) struct Written {
    pub(super) folder: PathBuf,
    pub(super) mails: usize,
}

/// Writes each mail as HTML and text. The files of an earlier rehearsal go first, so that the folder shows this one.
pub(super) fn write(folder: &Path, mails: &[Mail]) -> Result<Written> {
    let explain = |error: std::io::Error| format!("cannot write the mails to {}: {error}", folder.display());
    let folder = folder.join("mails");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(explain)?;
    }
    fs::create_dir_all(&folder).map_err(explain)?;
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

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "@+.-_".contains(c)
}
