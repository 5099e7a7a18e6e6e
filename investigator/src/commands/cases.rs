//! `fieldseal cases`: which databases there are.

use std::io::{self, Write as _};

use super::table;
use crate::{
    case::{self, Listed},
    cli::Cases,
    exit::Exit,
    home::Home,
};

/// Runs it.
///
/// # Errors
/// The folder can't be listed.
pub fn run(args: &Cases, home: &Home) -> anyhow::Result<Exit> {
    let found = case::list(home)?;
    let mut out = io::stdout().lock();
    if args.json {
        for one in &found {
            serde_json::to_writer(&mut out, one)?;
            writeln!(out)?;
        }
    } else {
        let heading = table::row([
            "CASE",
            "HOSTS",
            "COLLECTIONS",
            "PARTS",
            "RECORDS",
            "BYTES",
            "FILE",
        ]);
        let mut rows = vec![heading];
        rows.extend(found.iter().map(row));
        table::write(&mut out, &rows)?;
    }
    let is_whole = found.iter().all(|one| one.fault.is_none());
    Ok(if is_whole { Exit::Done } else { Exit::Partial })
}

fn row(one: &Listed) -> Vec<String> {
    let path = one.path.display().to_string();
    vec![
        one.case.clone().unwrap_or_else(|| "?".to_owned()),
        one.hosts.to_string(),
        one.collections.to_string(),
        one.parts.to_string(),
        one.records.to_string(),
        one.size_bytes.to_string(),
        match &one.fault {
            Some(fault) => format!("{path}: {fault}"),
            None => path,
        },
    ]
}
