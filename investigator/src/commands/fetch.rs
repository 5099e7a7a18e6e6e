//! `fieldseal fetch`: downloads a collection, or all of an order's.

use std::io::{self, Write as _};

use anyhow::ensure;
use evidence::ids::{CollectionId, OrderId};
use protocol::{
    messages::{CollectionRow, PartRow},
    policy::Role,
};

use super::load;
use crate::{
    chain,
    cli::Fetch,
    exit::{Exit, misuse},
    fetch::{self, Fetched},
    home::Home,
    inert::inert,
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

/// All parts of an order and of those that continue it, each order's in one stream.
fn of_order(session: &Session, order: OrderId, args: &Fetch) -> anyhow::Result<Vec<CollectionRow>> {
    let mut rows = Vec::new();
    for one in chain::with_retries(&session.remote.orders()?.orders, order) {
        rows.extend(fetch::order(&session.remote, one, &args.output, &mut say)?);
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
