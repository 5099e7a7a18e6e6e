//! `cargo manual`: writes the manual pages and the completions of the three programs into a new folder.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

/// Write the manual pages and the shell completions of Fieldseal's programs, as they lie below /usr/share.
#[derive(Parser)]
struct Cli {
    /// The new folder for them.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

fn main() -> ExitCode {
    match packaging::share::write(&Cli::parse().output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "the one place where errors are shown")]
fn say_error(error: &anyhow::Error) {
    eprintln!("manual: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}
