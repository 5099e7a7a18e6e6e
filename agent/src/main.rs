//! `fieldseal-agent`: parses, dispatches, prints; everything else is in the library.

use std::process::ExitCode;

use agent::{cli::Cli, exit::Exit, platform::pool::Pool, run};
use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: Pool = Pool::new();

fn main() -> ExitCode {
    let exit = match Cli::try_parse() {
        Ok(cli) => run::run(cli.command),
        Err(told) => {
            // Help and version come this way too, on standard output and without an error.
            let exit = if told.use_stderr() {
                Exit::Usage
            } else {
                Exit::Complete
            };
            let _ = told.print();
            exit
        }
    };
    exit.into()
}
