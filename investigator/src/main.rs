//! `fieldseal`: parses the command line, runs one command, prints an error once, exits.

use std::process::ExitCode;

use clap::Parser as _;
use investigator::{cli::Cli, commands, exit::Exit};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done when even the error can't be printed.
            let _unprintable = error.print();
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            }
            .into();
        }
    };
    match commands::run(&cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            commands::complain(&error);
            Exit::of(&error).into()
        }
    }
}
