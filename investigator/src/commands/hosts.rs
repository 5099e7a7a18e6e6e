//! `fieldseal hosts`: the hosts of the person's agencies.

use std::io::{self, Write as _};

use super::table;
use crate::{cli::Hosts, exit::Exit, home::Home, session::Session};

/// Runs it.
///
/// # Errors
/// The server can't be reached or refuses.
pub fn run(args: &Hosts, home: Home) -> anyhow::Result<Exit> {
    let hosts = Session::open(home)?.remote.hosts()?;
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &hosts.hosts)?;
        writeln!(out)?;
        return Ok(Exit::Done);
    }
    let mut rows = vec![table::row([
        "HOST",
        "AGENT",
        "AGENCY",
        "LABELS",
        "SYSTEM",
        "LAST SEEN",
    ])];
    for host in &hosts.hosts {
        let labels: Vec<_> = host.labels.iter().map(ToString::to_string).collect();
        let seen = match host.revoked {
            Some(from) => format!("revoked from {}", table::time(from)),
            None => table::time_or_never(host.last_seen),
        };
        rows.push(vec![
            host.hostname.clone(),
            host.agent.to_string(),
            host.agency.to_string(),
            labels.join(","),
            format!("{} {}", host.system, host.arch),
            seen,
        ]);
    }
    table::write(&mut out, &rows)?;
    Ok(Exit::Done)
}
