//! Notices as a table in plain text. Pure.

use chrono::{DateTime, Utc};

use super::addressed::Addressed;
use super::mode::Mode;
use super::phrases::{cut, days_left};
use super::unlinked::{seen, unlinked};
use super::words::{briefly, coming, when};

/// The widths of the table's columns, in characters: 104 with the spaces between. Longer cells are cut, but never a key
/// id.
const WIDTHS: [usize; 6] = [20, 16, 12, 27, 15, 4];
const HEADINGS: [&str; 6] = ["Access key", "IAM user", "Account", "What happens", "Date (UTC)", "Days"];

/// Returns a table of at most 104 characters a line, or an empty text without notices. It is ASCII except for the
/// ellipsis of a cut cell and the invisible characters in a name, so any fixed-width font aligns it.
pub(super) fn aligned(mode: Mode, now: DateTime<Utc>, items: &[&Addressed<'_>]) -> String {
    let cells: Vec<[String; 6]> = items.iter().map(|item| cells(mode, now, item)).collect();
    if cells.is_empty() {
        return String::new();
    }
    let width = |column: usize| {
        let widest = cells.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
        widest.max(HEADINGS[column].len()).min(WIDTHS[column])
    };
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let line = |cells: &[String; 6]| {
        let padded = |(column, cell): (usize, &String)| {
            let cell = unlinked(&cut(cell, widths[column]));
            let fill = " ".repeat(widths[column].saturating_sub(seen(&cell)));
            // Numbers are aligned to the right.
            if column == HEADINGS.len() - 1 { format!("{fill}{cell}") } else { format!("{cell}{fill}") }
        };
        let rest: Vec<String> = cells.iter().enumerate().skip(1).map(padded).collect();
        let (key, width, rest) = (&cells[0], widths[0], rest.join("  "));
        // AWS makes key ids of 20 characters and allows 128. A longer id gets its own line.
        let text =
            if key.len() > width { format!("{key}\n{:<width$}  {rest}", "") } else { format!("{key:<width$}  {rest}") };
        text.trim_end().to_owned()
    };
    let rule = widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("  ");
    let mut lines = vec![line(&HEADINGS.map(str::to_owned)), rule];
    lines.extend(cells.iter().map(line));
    lines.join("\n")
}

fn cells(mode: Mode, now: DateTime<Utc>, item: &Addressed<'_>) -> [String; 6] {
    let coming = coming(&item.notice.kind);
    [
        item.notice.key.to_string(),
        item.notice.user.name.to_string(),
        item.account.id.to_string(),
        briefly(&item.notice.kind, mode).to_owned(),
        when(&item.notice.kind).unwrap_or_else(|| "-".to_owned()),
        coming.map_or_else(|| "-".to_owned(), |at| days_left(now, at).to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::{Notice, NoticeKind};
    use crate::notify::fixtures::{contact, kinds, notice, now, user, with_items};

    #[test]
    fn the_table_is_aligned_and_no_wider_than_104_columns() {
        let notices: Vec<Notice> = kinds()
            .into_iter()
            .map(|(name, kind)| Notice { user: user(&format!("{name}-{}", "u".repeat(60))), ..notice(kind) })
            .collect();
        for mode in [Mode::Enforced, Mode::DryRun] {
            let table = with_items(&contact("prod", None), &notices, |items| aligned(mode, now(), items));
            for line in table.lines() {
                assert!(line.chars().count() <= 104, "{line}");
            }
            assert!(notices.iter().all(|notice| table.contains(notice.key.as_str())));
            assert!(kinds().iter().all(|(_, kind)| table.contains(briefly(kind, mode))), "{table}");
        }
        assert_eq!(with_items(&contact("prod", None), &[], |items| aligned(Mode::Enforced, now(), items)), "");
    }

    #[test]
    fn a_key_id_of_any_length_is_not_cut() {
        let key = format!("AKIA{}", "A".repeat(124)).parse().unwrap();
        let long = Notice { key, ..notice(NoticeKind::Deleted) };
        let table =
            with_items(&contact("", None), std::slice::from_ref(&long), |items| aligned(Mode::Enforced, now(), items));
        assert!(table.lines().any(|line| line == long.key.as_str()), "{table}");
        assert!(table.lines().last().is_some_and(|line| line.contains("was deleted")), "{table}");
    }
}
