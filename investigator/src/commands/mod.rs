//! One file a verb. Commands print what they found; errors go up and are printed once.

pub mod files;
pub mod open;
pub mod verify;

use std::io::Write as _;

use crate::{cli::Command, exit::Exit, inert::inert};

/// Runs the command as typed.
///
/// # Errors
/// It could not be carried out; the chain says why.
pub fn run(command: &Command) -> anyhow::Result<Exit> {
    match command {
        Command::Verify(args) => verify::run(args),
        Command::Open(args) => open::run(args),
    }
}

/// Prints an error with its causes, inert, to standard error.
pub fn complain(error: &anyhow::Error) {
    let mut stderr = std::io::stderr().lock();
    for (at, cause) in error.chain().enumerate() {
        let head = if at == 0 { "error" } else { "because" };
        // Nothing can be done where even standard error is closed.
        let _unprintable = writeln!(stderr, "{head}: {}", inert(&cause.to_string()));
    }
}
