//! `fieldseal list`: orders, and what was collected on them.

use std::io::{self, Write as _};

use protocol::messages::{CollectionRow, OrderRow};
use serde_json::json;

use super::table;
use crate::{cli::List, exit::Exit, home::Home, session::Session};

/// Runs it.
///
/// # Errors
/// The server can't be reached or refuses.
pub fn run(args: &List, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    let mut orders = session.remote.orders()?.orders;
    let mut collections = match session.remote.collections(None) {
        Ok(answer) => answer.collections,
        // Approvers and admins see orders alone.
        Err(error) if error.status() == Some(403) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    if let Some(case) = &args.case {
        orders.retain(|o| o.case == *case);
        collections.retain(|c| c.case.as_ref() == Some(case));
    }
    let mut out = io::stdout().lock();
    if args.json {
        let both = json!({ "orders": orders, "collections": collections });
        serde_json::to_writer_pretty(&mut out, &both)?;
        writeln!(out)?;
        return Ok(Exit::Done);
    }
    table::write(&mut out, &order_rows(&orders))?;
    writeln!(out)?;
    table::write(&mut out, &collection_rows(&collections))?;
    Ok(Exit::Done)
}

fn order_rows(orders: &[OrderRow]) -> Vec<Vec<String>> {
    let mut rows = vec![table::row([
        "ORDER",
        "CASE",
        "BY",
        "SUBMITTED",
        "EXPIRES",
        "SETTLED",
        "STATE",
    ])];
    rows.extend(orders.iter().map(|order| {
        vec![
            order.order.to_string(),
            order.case.clone(),
            order.requester.to_string(),
            table::time(order.submitted),
            table::time(order.expires),
            format!("{} of {}", order.settled, order.hosts),
            state(order),
        ]
    }));
    rows
}

/// What is to be said of an order beyond its hosts.
fn state(order: &OrderRow) -> String {
    match (order.cancelled, &order.halted, order.lacking) {
        (true, _, _) => "cancelled".to_owned(),
        (false, Some(_), _) => "stopped by itself".to_owned(),
        (false, None, 0) => String::new(),
        (false, None, lacking) => format!("waits for {lacking} to approve"),
    }
}

fn collection_rows(collections: &[CollectionRow]) -> Vec<Vec<String>> {
    let mut rows = vec![table::row([
        "COLLECTION",
        "CASE",
        "HOST",
        "RECEIVED",
        "PARTS",
        "BYTES",
        "STATE",
    ])];
    rows.extend(collections.iter().map(|row| {
        let bytes: u64 = row.parts.iter().map(|p| p.size_bytes).sum();
        vec![
            row.collection.to_string(),
            row.case.clone().unwrap_or_default(),
            row.hostname.clone(),
            table::time_or_never(row.parts.iter().map(|p| p.received).max()),
            row.parts.len().to_string(),
            bytes.to_string(),
            standing(row),
        ]
    }));
    rows
}

/// How a collection stands, and what keeps it or has ended it.
fn standing(row: &CollectionRow) -> String {
    let state = if row.parts.iter().any(|p| p.quarantined) {
        "NOT GENUINE"
    } else if row.complete {
        "complete"
    } else {
        "parts missing"
    };
    match (&row.expired, row.held) {
        (Some(expired), _) => format!("{state}, {expired}"),
        (None, true) => format!("{state}, held"),
        (None, false) => state.to_owned(),
    }
}
