//! `fieldseal console`: serves the console until it is told to end.

use crate::{
    cli::Console,
    console::server::{self, Options},
    exit::Exit,
    home::Home,
};

/// Runs it.
///
/// # Errors
/// There is no contact with the server, or the port can't be had.
pub fn run(args: &Console, home: Home) -> anyhow::Result<Exit> {
    let evidence = args.evidence.clone();
    let options = Options {
        port: args.port,
        browser: !args.no_browser,
        json: args.json,
        evidence: evidence.unwrap_or_else(|| home.folder().join("evidence")),
    };
    server::run(&options, home)?;
    Ok(Exit::Done)
}
