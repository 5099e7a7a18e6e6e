//! `fieldseal retry`: an order once more, for the hosts on which it came to no good end.

use evidence::instant::Instant;
use protocol::policy::Role;

use super::watch;
use crate::{cli::Retry, exit::Exit, home::Home, retry::Before, session::Session};

/// Runs it.
///
/// # Errors
/// No host is left to be asked again, the order is not what it should be, or the server does not take the new one.
pub fn run(args: &Retry, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    session.demand(Role::Investigator)?;
    let (all, now) = (session.remote.hosts()?.hosts, Instant::now());
    let before = Before::get(&session, args.order)?;
    let wish = before.wish(before.failed(&all)?, &args.reason, args.expires);
    watch::placed(&session, &wish, &args.after, now)
}
