//! The command line: `keywheel rehearse` and `keywheel preview`.
//!
//! `rehearse` prints the timeline of a rehearsal, `closing` the tables at its end, and `mails` writes its mails as
//! files. `serve` listens on a port with the model of AWS, and `chaos` makes random runs. `preview` writes all messages
//! as files. Errors of any kind end here, as one line on standard error.

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

/// Rotates the access keys of IAM users across an AWS organization.
///
/// Without a command, it rehearses the whole life of keys in a small organization, as `keywheel rehearse` does. A
/// rehearsal runs on an embedded model of AWS: it needs no credentials, and makes no call to AWS.
#[derive(Debug, Parser)]
#[command(version, about)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Rehearses the life of keys on an embedded model of AWS, or serves that model.
    Rehearse(Rehearse),
    /// Writes every message that keywheel sends as files, from sample data with your templates and settings.
    Preview(preview::Preview),
}

#[derive(Debug, Args)]
struct Rehearse {
    /// Days to rehearse after day 0.
    #[arg(long, default_value_t = 115, value_parser = clap::value_parser!(i64).range(0..=3650))]
    days: i64,
    /// Seed of all random choices; the same seed repeats the same run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of users in the organization; the first 22 show one case each.
    #[arg(long, default_value_t = 22, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    users: u64,
    /// Number of accounts in the organization, including the account of keywheel's own stack.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    accounts: u64,
    /// Runs keywheel as a dry run: it plans and reports, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Prints one JSON object per line; the last one has the counts.
    #[arg(long)]
    json: bool,
    /// Folder for the mails; they are written to its subfolder `mails`.
    #[arg(long, value_name = "FOLDER", default_value = "rehearsal-out")]
    out: PathBuf,
    /// Makes random runs instead: people interfere, AWS fails, and every rule must hold after every step.
    #[arg(long, conflicts_with_all = ["serve", "dry_run", "accounts", "out"])]
    chaos: bool,
    /// Number of the only shard to run with `--chaos`, as the report of a broken rule names it.
    #[arg(long, value_name = "NUMBER", requires = "chaos")]
    shard: Option<usize>,
    /// Serves the model to the AWS CLI or an SDK instead, on this loopback address, such as `127.0.0.1:4566`.
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

/// Runs the command that the arguments of this process name. Returns failure after an error or a broken rule.
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
            print_error(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

/// Whether the reader has closed our output, as `keywheel | head` does. This is no error.
fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[expect(clippy::print_stderr, reason = "the command line reports errors here")]
fn print_error(error: &dyn std::error::Error) {
    eprintln!("keywheel: {error}");
}
