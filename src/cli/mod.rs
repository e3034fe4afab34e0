//! The command line: rehearses keywheel on the embedded model of AWS, and serves that model.
//!
//! `preview` shows all messages. `chaos` runs at random. `rehearse` shows the timeline, `closing` the tables at its end, `mails` writes the mails as files, `serve` opens a
//! port. Boxed errors end here, in words on standard error.

mod chaos;
mod closing;
mod mails;
mod preview;
mod rehearse;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::rehearsal::scenario::ScenarioOptions;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Rotates IAM users' access keys across an AWS organization.
///
/// Without a command, rehearses the whole life of keys in a small organization on an embedded model of AWS: nothing
/// leaves this machine.
#[derive(Debug, Parser)]
#[command(version, about)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Rehearses the life of keys, or serves the model.
    Rehearse(Rehearse),
    /// Writes every message that keywheel sends as files, from sample data and with your templates and settings.
    Preview(preview::Preview),
}

#[derive(Debug, Args)]
struct Rehearse {
    /// Days that pass after day 0.
    #[arg(long, default_value_t = 115, value_parser = clap::value_parser!(i64).range(0..=3650))]
    days: i64,
    /// Everything random comes from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Users of the organization; the first 22 are the cast that shows every case.
    #[arg(long, default_value_t = 22, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    users: u64,
    /// Accounts of the organization, the stack's own included.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    accounts: u64,
    /// Plans and reports, changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Prints one JSON object a line; the last one has the counts.
    #[arg(long)]
    json: bool,
    /// Folder for the mails.
    #[arg(long, value_name = "FOLDER", default_value = "rehearsal-out")]
    out: PathBuf,
    /// Randomized runs instead: people interfere, AWS fails, and all rules must hold after every step.
    #[arg(long, conflicts_with_all = ["serve", "dry_run", "accounts", "out"])]
    chaos: bool,
    /// Of the randomized runs, this shard alone.
    #[arg(long, value_name = "NUMBER", requires = "chaos")]
    shard: Option<usize>,
    /// Serves the model on this loopback address instead, for the AWS CLI or an SDK.
    #[arg(long, value_name = "ADDRESS")]
    serve: Option<SocketAddr>,
}

impl Default for Rehearse {
    fn default() -> Self {
        let ScenarioOptions { days, seed, users, accounts, dry_run } = ScenarioOptions::default();
        let out = PathBuf::from("rehearsal-out");
        Self {
            days,
            seed,
            users: users as u64,
            accounts: accounts as u64,
            dry_run,
            json: false,
            out,
            chaos: false,
            shard: None,
            serve: None,
        }
    }
}

impl Rehearse {
    fn script(&self) -> Result<ScenarioOptions> {
        let (users, accounts) = (self.users.try_into()?, self.accounts.try_into()?);
        Ok(ScenarioOptions { days: self.days, seed: self.seed, users, accounts, dry_run: self.dry_run })
    }

    fn run(&self) -> Result<ExitCode> {
        match self.serve {
            None if self.chaos => chaos::run(self),
            Some(address) => serve::run(address, &self.script()?).map(|()| ExitCode::SUCCESS),
            None => rehearse::run(self),
        }
    }
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let result = match CommandLine::parse().command {
        None => Rehearse::default().run(),
        Some(Command::Rehearse(rehearse)) => rehearse.run(),
        Some(Command::Preview(preview)) => preview.run(),
    };
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

/// The reader of our output has seen enough, as in `keywheel | head`.
fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[expect(clippy::print_stderr, reason = "this is where the command line speaks")]
fn complain(error: &dyn std::error::Error) {
    eprintln!("keywheel: {error}");
}
