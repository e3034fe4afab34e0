//! `keywheel rehearse`: the timeline as lines or as JSON, with a progress bar on a terminal.

use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{Rehearse, Result, closing, mails};
use crate::model::paused_runtime;
use crate::rehearsal::scenario::{self, ScenarioOutcome, TimelineEntry, TimelineSource};

pub(super) fn run(arguments: &Rehearse) -> Result<ExitCode> {
    let script = arguments.script()?;
    let mut out = std::io::stdout();
    let mut timeline = Timeline::new(arguments, &mut out);
    let result = paused_runtime()?.block_on(scenario::run(&script, &mut |entry| timeline.print(&entry)));
    let (cloud, outcome) = result?;
    timeline.finish()?;
    let written = mails::write(&arguments.out, &cloud.mails())?;
    if arguments.json {
        print_end(&mut out, &outcome)?;
    } else {
        closing::print(&mut out, &outcome, &written)?;
    }
    Ok(if outcome.broken_invariants == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints the final table as lines, and the counts as the last line.
fn print_end(out: &mut dyn Write, outcome: &ScenarioOutcome) -> Result<()> {
    let dry_run = outcome.dry_run;
    for summary in &outcome.summaries {
        let line = EndLine { dry_run, source: "user", rest: summary };
        writeln!(out, "{}", serde_json::to_string(&line)?)?;
    }
    let line = EndLine { dry_run, source: "counts", rest: outcome };
    Ok(writeln!(out, "{}", serde_json::to_string(&line)?)?)
}

/// A line after the timeline: a user at the end, or the counts.
#[derive(Serialize)]
struct EndLine<'a, T> {
    dry_run: bool,
    source: &'static str,
    #[serde(flatten)]
    rest: &'a T,
}

/// Prints the entries of a timeline as they happen.
struct Timeline<'a> {
    out: &'a mut dyn Write,
    json: bool,
    bar: ProgressBar,
    day: Option<i64>,
    /// First error of writing; the rehearsal continues, and reports it at the end.
    failed: Option<std::io::Error>,
}

impl<'a> Timeline<'a> {
    fn new(arguments: &Rehearse, out: &'a mut dyn Write) -> Self {
        let on_terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal() && !arguments.json;
        let bar = if on_terminal {
            let style = ProgressStyle::with_template("{bar:40} day {pos} of {len}").expect("a valid template");
            ProgressBar::new(arguments.days.unsigned_abs()).with_style(style)
        } else {
            ProgressBar::hidden()
        };
        Self { out, json: arguments.json, bar, day: None, failed: None }
    }

    fn print(&mut self, entry: &TimelineEntry) {
        self.bar.set_position(entry.day.unsigned_abs());
        // The table at the end has the keys.
        if entry.source == TimelineSource::Key && !self.json {
            return;
        }
        let line = if self.json { serde_json::to_string(entry).unwrap_or_default() } else { self.line(entry) };
        let out = &mut self.out;
        let printed = self.bar.suspend(|| writeln!(out, "{line}"));
        if let Err(error) = printed {
            self.failed.get_or_insert(error);
        }
    }

    /// Returns the line of an entry; only the first entry of a day has the day and the date.
    fn line(&mut self, entry: &TimelineEntry) -> String {
        let day = match self.day.replace(entry.day) {
            Some(day) if day == entry.day => " ".repeat(20),
            _ => format!("day {:>3}  {}  ", entry.day, entry.at.date_naive()),
        };
        let mark = match entry.source {
            TimelineSource::Key => " ",
            TimelineSource::Person => "·",
            TimelineSource::Keywheel => "→",
            TimelineSource::Problem => "!",
            TimelineSource::Mail => "✉",
        };
        format!("{day} {mark} {:<24} {}", entry.who, entry.what)
    }

    fn finish(self) -> Result<()> {
        self.bar.finish_and_clear();
        self.failed.map_or(Ok(()), |error| Err(error.into()))
    }
}
