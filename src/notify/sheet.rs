//! Notices as a table in plain text, and as a sheet that spreadsheets open. Pure.

use chrono::{DateTime, Utc};

use super::context::{Frame, Row};
use super::phrases::{cut, day};
use super::words::{briefly, coming};
use super::{Addressed, Mode};

/// Widest columns of the table, in characters: with the spaces between them 99. A key id is never cut.
const WIDTHS: [usize; 6] = [20, 16, 12, 27, 10, 4];
const HEADINGS: [&str; 6] = ["Access key", "IAM user", "Account", "What", "Date (UTC)", "Days"];

/// A table of at most 99 columns, or an empty text without notices. All of it is ASCII but what is cut, so it is aligned
/// wherever letters have one width.
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
            let (cell, width) = (cut(cell, widths[column]), widths[column]);
            // Numbers stand under each other by their last digit.
            if column == HEADINGS.len() - 1 { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        };
        let rest: Vec<String> = cells.iter().enumerate().skip(1).map(padded).collect();
        let (key, width, rest) = (&cells[0], widths[0], rest.join("  "));
        // AWS gives key ids 20 characters and takes up to 128: a longer one has a line of its own.
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
        coming.map_or_else(|| "-".to_owned(), day),
        coming.map_or_else(|| "-".to_owned(), |at| days_left(now, at).to_string()),
    ]
}

/// Days of the calendar, in UTC; less than none if it is past.
fn days_left(now: DateTime<Utc>, at: DateTime<Utc>) -> i64 {
    (at.date_naive() - now.date_naive()).num_days()
}

const COLUMNS: &str = "account id,account name,user,key,created,what,when,days left,why,command,secret arn";

/// All of the notices as CSV, by RFC 4180, with the mark by which spreadsheets know UTF-8.
/// <https://www.rfc-editor.org/rfc/rfc4180>
pub(super) fn csv(frame: &Frame<'_>, items: &[&Addressed<'_>]) -> String {
    let mut text = format!("\u{feff}{COLUMNS}\r\n");
    for item in items {
        let row = Row::new(frame, item);
        let left = coming(&item.notice.kind).map(|at| days_left(frame.now, at).to_string()).unwrap_or_default();
        let created = item.notice.created.map(day).unwrap_or_default();
        let command = row.steps.iter().map(|step| step.command.as_str()).find(|command| !command.is_empty());
        let theirs = [&row.account_id, &row.account_name, &row.user, &row.key, &created, &row.what, &row.when];
        let mut fields: Vec<String> = theirs.into_iter().map(|text| field(&harmless(text))).collect();
        // A number of ours: the sign of a day that is past begins no formula.
        fields.push(left);
        fields.extend([&row.why, command.unwrap_or_default(), &row.secret_arn].map(|text| field(&harmless(text))));
        text.push_str(&fields.join(","));
        text.push_str("\r\n");
    }
    text
}

/// A cell that no spreadsheet takes for a formula: people choose the names of accounts and users.
/// <https://owasp.org/www-community/attacks/CSV_Injection>
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

fn field(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lifecycle::{Notice, NoticeKind};
    use crate::notify::AccountContact;
    use crate::notify::context::Terms;
    use crate::notify::fixtures::{contact, email, kinds, notice, now, settings, user};
    use crate::state::Notified;

    fn with_items<T>(account: &AccountContact, notices: &[Notice], then: impl Fn(&[&Addressed<'_>]) -> T) -> T {
        let notified = Notified::default();
        let addressed: Vec<Addressed<'_>> =
            notices.iter().map(|notice| Addressed { notice, account, notified: &notified }).collect();
        then(&addressed.iter().collect::<Vec<_>>())
    }

    fn csv_of(account: &AccountContact, notices: &[Notice]) -> String {
        let (terms, recipient) = (Terms::of(&settings(&[])), email("owner@example.com"));
        let frame = Frame { terms: &terms, mode: Mode::Enforced, now: now(), recipient: &recipient };
        with_items(account, notices, |items| csv(&frame, items))
    }

    /// Reads CSV as RFC 4180 has it.
    fn parsed(text: &str) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
        let mut characters = text.trim_start_matches('\u{feff}').chars().peekable();
        while let Some(c) = characters.next() {
            match c {
                '"' if quoted && characters.peek() == Some(&'"') => cell.extend(characters.next()),
                '"' => quoted = !quoted,
                ',' if !quoted => row.push(std::mem::take(&mut cell)),
                '\r' if !quoted => {}
                '\n' if !quoted => {
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
                other => cell.push(other),
            }
        }
        rows
    }

    #[test]
    fn every_notice_is_a_row_of_the_sheet() {
        let notices: Vec<Notice> = kinds().into_iter().map(|(_, kind)| notice(kind)).collect();
        let text = csv_of(&contact("prod", None), &notices);
        insta::assert_snapshot!(text.trim_start_matches('\u{feff}').replace('\r', ""));
        let rows = parsed(&text);
        assert_eq!(rows.len(), notices.len() + 1);
        assert!(rows.iter().all(|row| row.len() == 11), "{rows:?}");
    }

    #[test]
    fn no_cell_that_people_choose_begins_a_formula() {
        for name in ["=1+1", "+1", "-1", "@SUM(A1)", "=HYPERLINK(\"http://x\",\"y\")", "\t=1", "\r=1"] {
            let text = csv_of(&contact(name, None), &[Notice { user: user("=cmd"), ..notice(NoticeKind::Deleted) }]);
            let rows = parsed(&text);
            assert_eq!(rows.len(), 2, "{text}");
            assert!(!rows[1][1].starts_with(['=', '+', '-', '@', '\t', '\r']), "{:?}", rows[1]);
            assert_eq!(rows[1][2], "'=cmd");
        }
        let past = NoticeKind::DeleteAhead { at: now() - chrono::TimeDelta::days(3) };
        assert_eq!(parsed(&csv_of(&contact("", None), &[notice(past)]))[1][7], "-3");
    }

    #[test]
    fn the_table_is_aligned_and_no_wider_than_99_columns() {
        let notices: Vec<Notice> = kinds()
            .into_iter()
            .map(|(name, kind)| Notice { user: user(&format!("{name}-{}", "u".repeat(60))), ..notice(kind) })
            .collect();
        for mode in [Mode::Enforced, Mode::DryRun] {
            let table = with_items(&contact("prod", None), &notices, |items| aligned(mode, now(), items));
            for line in table.lines() {
                assert!(line.chars().count() <= 99, "{line}");
            }
            assert!(notices.iter().all(|notice| table.contains(notice.key.as_str())));
            assert!(kinds().iter().all(|(_, kind)| table.contains(briefly(kind, mode))), "{table}");
        }
        assert_eq!(with_items(&contact("prod", None), &[], |items| aligned(Mode::Enforced, now(), items)), "");
    }

    #[test]
    fn a_key_id_longer_than_any_of_today_is_not_cut() {
        let key = format!("AKIA{}", "A".repeat(124)).parse().unwrap();
        let long = Notice { key, ..notice(NoticeKind::Deleted) };
        let table =
            with_items(&contact("", None), std::slice::from_ref(&long), |items| aligned(Mode::Enforced, now(), items));
        assert!(table.lines().any(|line| line == long.key.as_str()), "{table}");
        assert!(table.lines().last().is_some_and(|line| line.contains("was deleted")), "{table}");
    }

    proptest! {
        #[test]
        fn any_name_of_an_account_is_one_cell(name in any::<String>(), reason in any::<String>()) {
            let rows = parsed(&csv_of(&contact(&name, None), &[notice(NoticeKind::RotationFailed { reason })]));
            prop_assert_eq!(rows.len(), 2);
            prop_assert_eq!(rows[1].len(), 11);
            prop_assert_eq!(&rows[1][0], "111122223333");
        }
    }
}
