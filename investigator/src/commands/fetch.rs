//! `fieldseal fetch`: downloads a collection, or all of an order's.

use std::io::{self, Write as _};

use anyhow::ensure;
use evidence::ids::{CollectionId, OrderId};
use protocol::{messages::CollectionRow, policy::Role};

use super::load;
use crate::{
    cli::Fetch,
    exit::{Exit, misuse},
    fetch::{self, Fetched},
    home::Home,
    session::Session,
};

/// Runs it.
///
/// # Errors
/// There is nothing of this name, or something of it could not be fetched whole.
pub fn run(args: &Fetch, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    session.demand(Role::Investigator)?;
    let rows = rows(&session, &args.which)?;
    let (mut exit, mut folders) = (Exit::Done, Vec::new());
    for row in &rows {
        let folder =
            fetch::collection(&session.remote, row, &args.output, &mut |part, fetched| {
                let how = match fetched {
                    Fetched::New => "fetched",
                    Fetched::Kept => "was there",
                };
                let mut say = io::stderr();
                Ok(writeln!(
                    say,
                    "part {} of {}: {how}",
                    part.part, row.collection
                )?)
            })?;
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

fn rows(session: &Session, which: &str) -> anyhow::Result<Vec<CollectionRow>> {
    if let Ok(order) = which.parse::<OrderId>() {
        let rows = session.remote.collections(Some(order))?.collections;
        ensure!(
            !rows.is_empty(),
            "Nothing has been collected on {order} yet. See `fieldseal watch {order}`."
        );
        return Ok(rows);
    }
    let Ok(wanted) = which.parse::<CollectionId>() else {
        return Err(misuse(format!(
            "{which:?} is no id of a collection (c-...) or an order (o-...). See `fieldseal list`."
        )));
    };
    let mut rows = session.remote.collections(None)?.collections;
    rows.retain(|row| row.collection == wanted);
    if rows.is_empty() {
        return Err(misuse(format!(
            "The server has no collection {wanted} of your agencies. See `fieldseal list`."
        )));
    }
    Ok(rows)
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
    Ok(row.complete && apart.is_empty())
}
