//! `fieldseal hits`: what a hunt found, out of parts that were fetched, or straight from the server.

use protocol::policy::Role;

use crate::{
    cli::Hits,
    exit::Exit,
    hits::{Keys, fetched, show::Style, watched::Watched},
    home::Home,
    session::Session,
};

/// Runs it.
///
/// # Errors
/// There is nothing of the order, or it can't be read.
pub fn run(args: &Hits, home: Home) -> anyhow::Result<Exit> {
    let style = match (args.json, args.csv) {
        (true, _) => Style::Json,
        (_, true) => Style::Csv,
        _ => Style::Lines,
    };
    let keys = Keys::of(&home, args.identity.as_deref())?;
    if let Some(folder) = &args.fetched {
        return fetched::show(folder, args.order, &keys, style);
    }
    let session = Session::open(home)?;
    session.demand(Role::Investigator)?;
    Watched::new(&session.remote, args.order, keys, style).end()
}
