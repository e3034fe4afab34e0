//! The end of a rehearsal: each user's keys and secret, the invariants, the counts.

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};

use super::Result;
use super::mails::Written;
use crate::rehearsal::invariants::INVARIANTS;
use crate::rehearsal::scenario::Outcome;

pub(super) fn print(out: &mut dyn Write, outcome: &Outcome, written: &Written) -> Result<()> {
    writeln!(out, "\n{}\n", standings(outcome))?;
    writeln!(out, "{}\n", invariants(outcome))?;
    for violation in &outcome.violations {
        writeln!(out, "BROKEN ({}): {}", violation.invariant, violation.what)?;
    }
    let Outcome { users, rotations, disables, deletes, mails, api_calls, .. } = outcome;
    writeln!(
        out,
        "{users} users, {rotations} rotations, {disables} keys disabled, {deletes} deleted, {mails} mails, {api_calls} API calls"
    )?;
    writeln!(out, "{} mails as HTML and text in {}", written.mails, written.folder.display())?;
    let end = match outcome.broken_invariants {
        0 => "all invariants hold".to_owned(),
        broken => format!("{broken} invariant check(s) BROKEN"),
    };
    Ok(writeln!(out, "{end}")?)
}

fn standings(outcome: &Outcome) -> Table {
    let mut table = table(&["account", "user", "shows", "keys", "secret"]);
    for standing in &outcome.standings {
        let keys = if standing.keys.is_empty() { "none".to_owned() } else { standing.keys.join("\n") };
        table.add_row([&standing.account, &standing.user, &standing.shows, &keys, &standing.secret]);
    }
    table
}

fn invariants(outcome: &Outcome) -> Table {
    let mut table = table(&["", "invariant", "checks", "holds"]);
    for (letter, words) in INVARIANTS {
        let checks = outcome.checks.get(&letter).copied().unwrap_or_default();
        let broken = outcome.violations.iter().filter(|violation| violation.invariant == letter).count();
        let holds = if broken == 0 { "yes".to_owned() } else { format!("BROKEN {broken} times") };
        table.add_row([letter.to_string(), words.to_owned(), checks.to_string(), holds]);
    }
    table
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    table
}
