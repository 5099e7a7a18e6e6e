//! `fieldseal revoke`: an admin's signed word that an agent's certificates count no more.

use std::io::{self, Write as _};

use protocol::policy::Role;

use crate::{cli::Revoke, exit::Exit, home::Home, revoke, session::Session};

/// Runs it.
///
/// # Errors
/// The person is no admin of the host's agency, or the server does not take it.
pub fn run(args: &Revoke, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    session.demand(Role::Admin)?;
    let said = revoke::in_words(&session, args.agent, args.from);
    writeln!(io::stderr(), "{said}")?;
    let index = revoke::hand_in(&session, &session.unlock()?, args.agent, args.from)?;
    writeln!(
        io::stdout(),
        "the revocation of {} is leaf {index} of the custody log",
        args.agent
    )?;
    Ok(Exit::Done)
}
