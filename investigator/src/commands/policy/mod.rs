//! `fieldseal policy`: who may do what, shown, drafted, signed by the root keys, and brought into force.

mod draft;
mod publish;
mod root;
mod show;
mod sign;

use crate::{cli::Policy, exit::Exit, home::Home};

/// Runs it; `home` is asked for only where the server is.
///
/// # Errors
/// What was asked for can't be done; nothing is changed then unless the error says so.
pub fn run(args: &Policy, home: impl FnOnce() -> anyhow::Result<Home>) -> anyhow::Result<Exit> {
    match args {
        Policy::Show(args) => show::run(args, home()?),
        Policy::Draft(args) => draft::run(args, home),
        Policy::Sign(args) => sign::run(args),
        Policy::Publish(args) => publish::run(args, home()?),
        Policy::RootKey(args) => root::key(args),
        Policy::RootDraft(args) => root::draft(args, home),
    }
}
