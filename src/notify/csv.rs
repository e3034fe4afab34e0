//! All notices of a message as a CSV file, which is attached to the message. Pure.

use ::csv::{Terminator, WriterBuilder};

use super::addressed::Addressed;
use super::details::NoticeDetails;
use super::frame::Frame;
use super::phrases::{day, days_left};
use super::words::coming;

const COLUMNS: [&str; 11] = [
    "account id",
    "account name",
    "user",
    "key",
    "created",
    "what",
    "when",
    "days left",
    "why",
    "command",
    "secret arn",
];

/// Returns the notices as CSV by RFC 4180, with the byte order mark by which spreadsheets recognize UTF-8.
/// <https://www.rfc-editor.org/rfc/rfc4180>
pub(super) fn csv(frame: &Frame<'_>, items: &[&Addressed<'_>]) -> String {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::from("\u{feff}"));
    writer.write_record(COLUMNS).expect(IN_MEMORY);
    for item in items {
        let row = NoticeDetails::new(frame, item);
        let left = coming(&item.notice.kind).map(|at| days_left(frame.now, at).to_string()).unwrap_or_default();
        let created = item.notice.created.map(day).unwrap_or_default();
        let command = row.steps.iter().map(|step| step.command.as_str()).find(|command| !command.is_empty());
        let before = [&row.account_id, &row.account_name, &row.user, &row.key, &created, &row.what, &row.when];
        let after = [&row.why, command.unwrap_or_default(), &row.secret_arn];
        // keywheel wrote the number of days, so the minus of a past day is not the start of a formula.
        let cells = before.map(|text| harmless(text)).into_iter().chain([left]).chain(after.map(harmless));
        writer.write_record(cells).expect(IN_MEMORY);
    }
    String::from_utf8(writer.into_inner().expect(IN_MEMORY)).expect("texts make text")
}

/// Why writing a record cannot fail: the writer needs no file, and every row has as many cells as there are columns.
const IN_MEMORY: &str = "a record of eleven cells in memory";

/// Returns a cell that no spreadsheet treats as a formula. People choose the names of accounts and users.
/// <https://owasp.org/www-community/attacks/CSV_Injection>
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::KeyUse;
    use crate::lifecycle::{Notice, NoticeDate, NoticeKind};
    use crate::notify::AccountContact;
    use crate::notify::Mode;
    use crate::notify::fixtures::{contact, email, kinds, notice, now, settings, user, with_items};
    use crate::notify::frame::Terms;

    fn csv_of(account: &AccountContact, notices: &[Notice]) -> String {
        let (terms, recipient) = (Terms::of(&settings(&[])), email("owner@example.com"));
        let frame = Frame { terms: &terms, mode: Mode::Enforced, now: now(), recipient: &recipient };
        with_items(account, notices, |items| csv(&frame, items))
    }

    /// Reads CSV by RFC 4180.
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
    fn every_notice_is_a_row() {
        let notices: Vec<Notice> = kinds().into_iter().map(|(_, kind)| notice(kind)).collect();
        let text = csv_of(&contact("prod", None), &notices);
        insta::assert_snapshot!(text.trim_start_matches('\u{feff}').replace('\r', ""));
        let rows = parsed(&text);
        assert_eq!(rows.len(), notices.len() + 1);
        assert!(rows.iter().all(|row| row.len() == 11), "{rows:?}");
    }

    #[test]
    fn no_cell_that_people_choose_is_a_formula() {
        for name in ["=1+1", "+1", "-1", "@SUM(A1)", "=HYPERLINK(\"http://x\",\"y\")", "\t=1", "\r=1"] {
            let text = csv_of(&contact(name, None), &[Notice { user: user("=cmd"), ..notice(NoticeKind::Deleted) }]);
            let rows = parsed(&text);
            assert_eq!(rows.len(), 2, "{text}");
            assert!(!rows[1][1].starts_with(['=', '+', '-', '@', '\t', '\r']), "{:?}", rows[1]);
            assert_eq!(rows[1][2], "'=cmd");
        }
        let past = NoticeKind::DeleteAhead { at: NoticeDate::On(now() - chrono::TimeDelta::days(3)) };
        assert_eq!(parsed(&csv_of(&contact("", None), &[notice(past)]))[1][7], "-3");
    }

    proptest! {
        #[test]
        fn any_name_of_an_account_is_one_cell(name in any::<String>(), service in any::<String>()) {
            let last_use = Some(KeyUse { time: now(), service, region: String::new() });
            let kind = NoticeKind::DisableAhead { at: NoticeDate::On(now()), last_use };
            let rows = parsed(&csv_of(&contact(&name, None), &[notice(kind)]));
            prop_assert_eq!(rows.len(), 2);
            prop_assert_eq!(rows[1].len(), 11);
            prop_assert_eq!(&rows[1][0], "111122223333");
        }
    }
}
