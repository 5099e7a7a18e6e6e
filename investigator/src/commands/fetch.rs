//! `fieldseal fetch`: downloads a collection, or all of an order's.

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
};

use anyhow::ensure;
use evidence::ids::{CollectionId, OrderId};
use protocol::{
    messages::{CollectionRow, PartRow},
    policy::Role,
};

use super::{load, watch};
use crate::{
    chain,
    cli::Fetch,
    exit::{Exit, misuse},
    fetch::{self, Arriving, Fetched},
    follow::{Show, View},
    home::Home,
    inert::inert,
    remote::RemoteError,
    session::Session,
};

/// Runs it.
///
/// # Errors
/// There is nothing of this name, or something of it could not be fetched whole.
pub fn run(args: &Fetch, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    session.demand(Role::Investigator)?;
    let rows = match args.which.parse::<OrderId>() {
        Ok(order) => of_order(&session, order, args)?,
        Err(_) if args.follow => {
            return Err(misuse(
                "--follow is for an order (o-...): a collection alone has no news.",
            ));
        }
        Err(_) => vec![one(&session, args)?],
    };
    let (mut exit, mut folders) = (Exit::Done, Vec::new());
    for row in &rows {
        let folder = fetch::folder_of(&args.output, row.collection);
        writeln!(io::stdout(), "{}", folder.display())?;
        folders.push(folder);
        if !is_whole(row)? {
            exit = Exit::Partial;
        }
    }
    if args.load {
        exit = exit.worse(load::fetched(
            &session.home,
            &folders,
            args.identity.as_deref(),
        )?);
    }
    Ok(exit)
}

/// Fetches parts as they arrive, until every host has settled; gives what came.
fn follow<'s>(
    session: &'s Session,
    order: OrderId,
    args: &'s Fetch,
) -> anyhow::Result<Arriving<'s>> {
    let mut following = Following {
        session,
        args,
        arriving: Arriving::new(order, &args.output),
        parts: 0,
        loaded: BTreeSet::new(),
    };
    watch::follow_with(session, order, None, &mut following)?;
    Ok(following.arriving)
}

struct Following<'s> {
    session: &'s Session,
    args: &'s Fetch,
    arriving: Arriving<'s>,
    /// How many parts the server had at the last look.
    parts: u64,
    loaded: BTreeSet<CollectionId>,
}

impl Following<'_> {
    /// Loads what has become whole since.
    fn load(&mut self) -> anyhow::Result<()> {
        let loaded = &self.loaded;
        let whole = |row: &&CollectionRow| row.complete && !loaded.contains(&row.collection);
        let new: Vec<_> = self
            .arriving
            .rows()
            .filter(whole)
            .map(|r| r.collection)
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let folder = |id: &CollectionId| fetch::folder_of(&self.args.output, *id);
        let folders: Vec<_> = new.iter().map(folder).collect();
        // What comes of each is told again at the end, with the exit code.
        load::fetched(&self.session.home, &folders, self.args.identity.as_deref())?;
        self.loaded.extend(new);
        Ok(())
    }
}

impl Show for Following<'_> {
    fn news(&mut self, view: &View) -> anyhow::Result<()> {
        let parts = view.parts();
        if parts == self.parts {
            return Ok(());
        }
        self.parts = parts;
        self.arriving.look(&self.session.remote, &mut say)?;
        match self.args.load {
            true => self.load(),
            false => Ok(()),
        }
    }

    fn trouble(&mut self, error: &RemoteError) -> anyhow::Result<()> {
        let text = inert(&error.to_string());
        Ok(writeln!(io::stderr(), "{text} Asking again.")?)
    }
}

/// All parts of an order and of those that continue it, each order's in one stream.
fn of_order(session: &Session, order: OrderId, args: &Fetch) -> anyhow::Result<Vec<CollectionRow>> {
    let mut rows = Vec::new();
    for one in chain::with_retries(&session.remote.orders()?.orders, order) {
        let mut arriving = match one == order && args.follow {
            true => follow(session, order, args)?,
            false => Arriving::new(one, &args.output),
        };
        arriving.look(&session.remote, &mut say)?;
        rows.extend(arriving.rows().cloned());
    }
    ensure!(
        !rows.is_empty(),
        "Nothing has been collected on {order} yet. See `fieldseal watch {order}`."
    );
    Ok(rows)
}

fn one(session: &Session, args: &Fetch) -> anyhow::Result<CollectionRow> {
    let Fetch { which, output, .. } = args;
    let Ok(wanted) = which.parse::<CollectionId>() else {
        return Err(misuse(format!(
            "{which:?} is no id of a collection (c-...) or an order (o-...). See `fieldseal list`."
        )));
    };
    let rows = session.remote.collections(None)?.collections;
    let row = rows.into_iter().find(|row| row.collection == wanted);
    let row = row.ok_or_else(|| {
        misuse(format!(
            "The server has no collection {wanted} of your agencies. See `fieldseal list`."
        ))
    })?;
    fetch::collection(&session.remote, &row, output, &mut |part, fetched| {
        say(part, row.collection, fetched)
    })?;
    Ok(row)
}

fn say(part: &PartRow, collection: CollectionId, fetched: Fetched) -> anyhow::Result<()> {
    let how = match fetched {
        Fetched::New => "fetched",
        Fetched::Kept => "was there",
        Fetched::Expired => "has expired; what proves it was fetched",
    };
    Ok(writeln!(
        io::stderr(),
        "part {} of {collection}: {how}",
        part.part
    )?)
}

/// Whether everything is there; if not, it is said.
fn is_whole(row: &CollectionRow) -> io::Result<bool> {
    let mut say = io::stderr();
    if !row.complete {
        writeln!(
            say,
            "{}: parts are still missing at the server",
            row.collection
        )?;
    }
    if let Some(expired) = &row.expired {
        writeln!(say, "{}: {}", row.collection, inert(&expired.to_string()))?;
    }
    let apart = row.parts.iter().filter(|p| p.quarantined);
    let apart: Vec<_> = apart.map(|p| p.part.to_string()).collect();
    if !apart.is_empty() {
        let numbers = apart.join(", ");
        writeln!(
            say,
            "{}: set apart as not genuine: part {numbers}",
            row.collection
        )?;
    }
    Ok(row.complete && apart.is_empty() && row.expired.is_none())
}
