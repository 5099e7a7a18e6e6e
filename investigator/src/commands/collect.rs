//! `fieldseal collect`: makes an order, shows what is signed, signs it, and hands it in.

use std::io::{self, Write as _};

use evidence::instant::Instant;
use protocol::policy::Role;

use super::watch;
use crate::{
    cli::Collect, draft, exit::Exit, hits::FromHunt, home::Home, ordering, recurring,
    session::Session,
};

/// Runs it.
///
/// # Errors
/// The hosts can't be found, the order makes no sense, or the server does not take it.
pub fn run(args: &Collect, home: Home) -> anyhow::Result<Exit> {
    let from = FromHunt::read(&args.ordering, &home)?;
    let session = Session::open(home)?;
    session.demand(Role::Investigator)?;
    let (hosts, now) = (session.remote.hosts()?.hosts, Instant::now());
    let profile = draft::profile_text(&args.profile)?;
    let paths = paths(args, from.as_ref())?;
    let common = &args.ordering;
    let mut wish = ordering::wish(common, (profile, paths), &hosts, from.as_ref(), now)?;
    wish.recurrence = recurring::recurrence(&args.recurring, common.expires)?;
    watch::placed(&session, &wish, &common.after, now)
}

/// The paths that were given; else those of the hunt's hits.
fn paths(args: &Collect, from: Option<&FromHunt>) -> anyhow::Result<Vec<String>> {
    let Some(hunt) = from.filter(|_| args.paths.is_empty()) else {
        return Ok(args.paths.clone());
    };
    if let Some(text) = hunt.left_out() {
        writeln!(io::stderr(), "{text}")?;
    }
    hunt.paths()
}
