//! `fieldseal completions`: what a shell needs to complete this tool's command lines.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{
    cli::{Cli, Completions},
    exit::Exit,
};

/// Runs it.
///
/// # Errors
/// Standard output is closed.
pub fn run(args: &Completions) -> anyhow::Result<Exit> {
    let mut out = io::stdout().lock();
    out.write_all(&script(args.shell))?;
    out.flush()?;
    Ok(Exit::Done)
}

/// What `shell` reads to complete the tool's command lines.
pub fn script(shell: Shell) -> Vec<u8> {
    // The generator panics where it can't write: it writes into memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "fieldseal", &mut script);
    script
}
