//! `fieldseal revoke`: an admin's signed word that an agent's certificates count no more.

use std::io::{self, Write as _};

use evidence::{custody::event::Action, instant::Instant};
use protocol::policy::Role;

use super::table;
use crate::{cli::Revoke, custody, exit::Exit, home::Home, session::Session};

/// Runs it.
///
/// # Errors
/// The person is no admin of the host's agency, or the server does not take it.
pub fn run(args: &Revoke, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    session.demand(Role::Admin)?;
    let from = table::time(args.from);
    let mut say = io::stderr();
    writeln!(
        say,
        "To be signed by {}: seals of {} made from {from} on count no more, and its agent is let in no more.",
        session.me.id, args.agent
    )?;
    let action = Action::Revoked {
        agent: args.agent,
        invalid_from: args.from,
    };
    let index = custody::hand_in(&session, &session.unlock()?, (action, None), Instant::now())?;
    writeln!(
        io::stdout(),
        "the revocation of {} is leaf {index} of the custody log",
        args.agent
    )?;
    Ok(Exit::Done)
}
