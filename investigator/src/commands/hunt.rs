//! `fieldseal hunt`: a question to many hosts, signed like every order; its hits are shown as they arrive.

use std::io;

use evidence::instant::Instant;
use protocol::policy::Role;

use super::watch;
use crate::{
    cli::Hunt,
    exit::Exit,
    follow::{Show, View, json::Json, plain::Plain},
    hits::{FromHunt, Keys, show::Style, watched::Watched},
    home::Home,
    ordering,
    question::{self, List},
    remote::RemoteError,
    session::Session,
};

/// Runs it.
///
/// # Errors
/// Nothing sensible is looked for, or as for `collect`.
pub fn run(args: &Hunt, home: Home) -> anyhow::Result<Exit> {
    let list = args.hashes.as_deref().map(List::read).transpose()?;
    let profile = question::profile(&args.criteria, list.as_ref())?;
    let common = &args.ordering;
    let after = &common.after;
    let from = FromHunt::read(common, &home)?;
    let keys = Keys::of(&home, None)?;
    let session = Session::open(home)?;
    session.demand(Role::Investigator)?;
    let (hosts, now) = (session.remote.hosts()?.hosts, Instant::now());
    // The profile has its paths.
    let wish = ordering::wish(common, (profile, Vec::new()), &hosts, from.as_ref(), now)?;
    let order = ordering::place(&session, &wish, after.json, now)?;
    if !after.watch {
        return Ok(Exit::Done);
    }
    let (progress, style): (Box<dyn Show>, _) = match after.json {
        true => (Box::new(Json::new(io::stdout())), Style::Json),
        false => (Box::new(Plain::new(io::stderr())), Style::Lines),
    };
    let mut show = Both {
        progress,
        watched: Watched::new(&session.remote, order, keys, style),
    };
    let exit = watch::follow_with(&session, order, after.at_most, &mut show)?;
    Ok(exit.worse(show.watched.end()?))
}

/// Where the hosts stand, and what they have found.
struct Both<'s> {
    progress: Box<dyn Show>,
    watched: Watched<'s>,
}

impl Show for Both<'_> {
    fn news(&mut self, view: &View) -> anyhow::Result<()> {
        self.progress.news(view)?;
        self.watched.news(view)
    }

    fn trouble(&mut self, error: &RemoteError) -> anyhow::Result<()> {
        self.progress.trouble(error)
    }
}
