//! One file a verb. Commands print what they found; errors go up and are printed once.

pub mod approve;
pub mod aside;
pub mod audit;
pub mod cancel;
pub mod cases;
pub mod collect;
pub mod completions;
pub mod console;
mod expired;
pub mod fetch;
pub mod files;
pub mod form;
pub mod hits;
pub mod hold;
pub mod hosts;
pub mod hunt;
pub mod keys;
pub mod kit;
pub mod list;
pub mod load;
pub mod log;
pub mod open;
mod output;
mod pending;
pub mod policy;
pub mod query;
pub mod remove;
pub mod retention;
pub mod retry;
pub mod revoke;
pub mod setup;
pub mod table;
pub mod validate;
pub mod verify;
pub mod watch;

use std::{io::Write as _, path::Path};

use crate::{
    cli::{Cli, Command},
    exit::Exit,
    home::Home,
    inert::inert,
};

/// Runs the command as typed.
///
/// # Errors
/// It could not be carried out; the chain says why.
pub fn run(cli: &Cli) -> anyhow::Result<Exit> {
    let home = || home(cli.home.as_deref());
    match &cli.command {
        Command::Verify(args) => verify::run(args, home),
        Command::Open(args) => open::run(args),
        Command::Form(args) => form::run(args),
        Command::Keys(args) => keys::run(args),
        Command::Setup(args) => setup::run(args, &home()?),
        Command::Hosts(args) => hosts::run(args, home()?),
        Command::Collect(args) => collect::run(args, home()?),
        Command::Hunt(args) => hunt::run(args, home()?),
        Command::Hits(args) => hits::run(args, home()?),
        Command::Kit(args) => kit::run(args, home()?),
        Command::Approve(args) => approve::run(args, home()?),
        Command::Cancel(args) => cancel::run(args, home()?),
        Command::Retry(args) => retry::run(args, home()?),
        Command::Watch(args) => watch::run(args, home()?),
        Command::Log(args) => log::run(args, home()?),
        Command::List(args) => list::run(args, home()?),
        Command::Fetch(args) => fetch::run(args, home()?),
        Command::Console(args) => console::run(args, home()?),
        Command::Load(args) => load::run(args, home),
        Command::Query(args) => query::run(args, home),
        Command::Cases(args) => cases::run(args, &home()?),
        Command::Revoke(args) => revoke::run(args, home()?),
        Command::Retention(args) => retention::run(args, home()?),
        Command::Hold(args) => hold::run(args, home()?),
        Command::Audit(args) => audit::run(args, home()?),
        Command::Policy(args) => policy::run(args, home),
        Command::Validate(args) => validate::run(args),
        Command::Completions(args) => completions::run(args),
    }
}

/// The tool's folder, as told or as usual.
///
/// # Errors
/// There is neither.
pub fn home(told: Option<&Path>) -> anyhow::Result<Home> {
    Home::locate(told, std::env::var_os("HOME"))
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
