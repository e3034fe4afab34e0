//! The end of a rehearsal: a table of users with their keys and secrets, a table of invariants, and the counts.

use std::io::Write;

use chrono::{DateTime, Utc};
use tabled::Table;
use tabled::builder::Builder;
use tabled::settings::Style;
use tabled::settings::style::HorizontalLine;

use super::Result;
use super::mails::Written;
use crate::rehearsal::invariants::INVARIANTS;
use crate::rehearsal::scenario::ScenarioOutcome;

pub(super) fn print(out: &mut dyn Write, outcome: &ScenarioOutcome, written: &Written) -> Result<()> {
    writeln!(out, "\n{}\n", summaries(outcome))?;
    writeln!(out, "{}\n", invariants(outcome))?;
    for violation in &outcome.violations {
        writeln!(out, "BROKEN ({}): {}", violation.invariant, violation.what)?;
    }
    let ScenarioOutcome { users, rotations, disables, deletes, mails, api_calls, .. } = outcome;
    writeln!(
        out,
        "{users} users, {rotations} rotations, {disables} keys disabled, {deletes} deleted, {mails} mails, \
         {api_calls} API calls"
    )?;
    writeln!(out, "{} mails as HTML and text in {}", written.mails, written.folder.display())?;
    let end = match outcome.broken_invariants {
        0 => "all invariants hold".to_owned(),
        broken => format!("{broken} invariant check(s) BROKEN"),
    };
    Ok(writeln!(out, "{end}")?)
}

fn summaries(outcome: &ScenarioOutcome) -> Table {
    let mut rows = header(["account", "user", "shows", "keys", "secret"]);
    for standing in &outcome.summaries {
        let age = |created: DateTime<Utc>| (outcome.at - created).num_days();
        let keys: Vec<String> = standing.keys.iter().map(|key| format!("{key} {}d", age(key.created))).collect();
        let keys = match (standing.deleted, keys.is_empty()) {
            (true, _) => "(user deleted)".to_owned(),
            (false, true) => "none".to_owned(),
            (false, false) => keys.join("\n"),
        };
        rows.push_record([&standing.account, &standing.user, &standing.shows, &keys, &standing.secret]);
    }
    drawn(rows)
}

fn invariants(outcome: &ScenarioOutcome) -> Table {
    let mut rows = header(["", "invariant", "checks", "holds"]);
    for (letter, words) in INVARIANTS {
        let checks = outcome.checks.get(&letter).copied().unwrap_or_default();
        let broken = outcome.violations.iter().filter(|violation| violation.invariant == letter).count();
        let holds = if broken == 0 { "yes".to_owned() } else { format!("BROKEN {broken} times") };
        rows.push_record([letter.to_string(), words.to_owned(), checks.to_string(), holds]);
    }
    drawn(rows)
}

fn header<const COLUMNS: usize>(names: [&str; COLUMNS]) -> Builder {
    let mut rows = Builder::new();
    rows.push_record(names);
    rows
}

/// Draws lines above, below and under the header. Without lines between rows, a user's two keys read as one row.
fn drawn(rows: Builder) -> Table {
    let mut table = rows.build();
    table.with(
        Style::empty()
            .vertical(' ')
            .top('─')
            .bottom('─')
            .horizontals([(1, HorizontalLine::new('─').intersection('─'))]),
    );
    table
}
