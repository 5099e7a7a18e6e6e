//! `fieldseal collect`: makes an order, shows what is signed, signs it, and hands it in.

use std::io::{self, Write as _};

use evidence::instant::Instant;
use protocol::policy::Role;

use super::watch;
use crate::{
    cli::Collect,
    draft,
    exit::{Exit, misuse},
    hits::FromHunt,
    home::Home,
    ordering, recurring,
    session::Session,
};

/// The most paths that an order names.
const MOST_PATHS: usize = 4_096;

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
    if hunt.unnamed > 0 {
        writeln!(
            io::stderr(),
            "{} paths of hits are not text, and an order can't name them. Name a folder above them with --path.",
            hunt.unnamed
        )?;
    }
    if hunt.paths.is_empty() {
        return Err(misuse(
            "No hit of this hunt is a file. Name what to gather with --path.",
        ));
    }
    if hunt.paths.len() > MOST_PATHS {
        return Err(misuse(format!(
            "The hits have {} paths, and an order names at most 4,096. Name folders above them with --path.",
            hunt.paths.len()
        )));
    }
    Ok(hunt.paths.iter().cloned().collect())
}
