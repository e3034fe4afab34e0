//! `keywheel rehearse`: the timeline, on a terminal with a progress bar, in a pipe as plain lines or JSON.

use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Rehearse, Result, closing, mails};
use crate::model::paused_runtime;
use crate::rehearsal::scenario::{self, TimelineEntry, TimelineSource};

pub(super) fn run(arguments: &Rehearse) -> Result<ExitCode> {
    let script = arguments.script()?;
    let mut out = std::io::stdout();
    let mut show = Show::new(arguments, &mut out);
    let result = paused_runtime()?.block_on(scenario::run(&script, &mut |entry| show.entry(&entry)));
    let (cloud, outcome) = result?;
    show.finish()?;
    let written = mails::write(&arguments.out, &cloud.mails())?;
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&outcome)?)?;
    } else {
        closing::print(&mut out, &outcome, &written)?;
    }
    Ok(if outcome.broken_invariants == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints entries as they come.
struct Show<'a> {
    out: &'a mut dyn Write,
    json: bool,
    bar: ProgressBar,
    day: Option<i64>,
    /// The first error of writing; the rehearsal goes on without an audience.
    failed: Option<std::io::Error>,
}

impl<'a> Show<'a> {
    fn new(arguments: &Rehearse, out: &'a mut dyn Write) -> Self {
        let on_terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal() && !arguments.json;
        let bar = if on_terminal {
            let style = ProgressStyle::with_template("{bar:40} day {pos} of {len}").expect("a template that is right");
            ProgressBar::new(arguments.days.unsigned_abs()).with_style(style)
        } else {
            ProgressBar::hidden()
        };
        Self { out, json: arguments.json, bar, day: None, failed: None }
    }

    fn entry(&mut self, entry: &TimelineEntry) {
        self.bar.set_position(entry.day.unsigned_abs());
        let line = if self.json { serde_json::to_string(entry).unwrap_or_default() } else { self.line(entry) };
        let out = &mut self.out;
        let printed = self.bar.suspend(|| writeln!(out, "{line}"));
        if let Err(error) = printed {
            self.failed.get_or_insert(error);
        }
    }

    /// The day stands before its first entry only.
    fn line(&mut self, entry: &TimelineEntry) -> String {
        let day = match self.day.replace(entry.day) {
            Some(day) if day == entry.day => " ".repeat(20),
            _ => format!("day {:>3}  {}  ", entry.day, entry.at.date_naive()),
        };
        let mark = match entry.source {
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
