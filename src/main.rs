//! The command line. See [`keywheel::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    keywheel::cli::run()
}
