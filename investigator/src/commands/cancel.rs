//! `fieldseal cancel`: stops an order: nobody begins it any more, and who is at it seals what there is.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use serde_json::json;

use crate::{cancel, cli::Cancel, exit::Exit, home::Home, session::Session, shown};

/// Runs it.
///
/// # Errors
/// The person may not, or the server does not take it.
pub fn run(args: &Cancel, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    cancel::demand(&session)?;
    let status = session.remote.order(args.order, 0, Duration::ZERO)?;
    let policy = &session.believed.policy;
    let (envelope, order) = shown::order(&status.order, args.order, policy)?;
    writeln!(io::stderr(), "{}", cancel::in_words(&session, &order))?;
    let draft = cancel::draft(&session, &envelope, &order, &args.reason);
    let proven = cancel::hand_in(&session, &draft, &session.unlock()?)?;
    let mut out = io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", json!({"order": order.id, "leaf": proven.index}))?,
        false => writeln!(
            out,
            "order {} is cancelled: leaf {} of the custody log",
            order.id, proven.index
        )?,
    }
    Ok(Exit::Done)
}
