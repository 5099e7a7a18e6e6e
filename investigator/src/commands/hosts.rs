//! `fieldseal hosts`: the hosts of the person's agencies.

use std::io::{self, Write as _};

use evidence::instant::Instant;
use indicatif::HumanBytes;
use protocol::messages::HostRow;

use super::table;
use crate::{cli::Hosts, exit::Exit, home::Home, session::Session, targets};

/// Runs it.
///
/// # Errors
/// The server can't be reached or refuses.
pub fn run(args: &Hosts, home: Home) -> anyhow::Result<Exit> {
    let all = Session::open(home)?.remote.hosts()?.hosts;
    let hosts: Vec<&HostRow> = match &args.filter {
        Some(filter) => targets::by_expression(&all, filter, Instant::now())?.hosts,
        None => all.iter().collect(),
    };
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &hosts)?;
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
        "VERSION",
        "FREE",
        "CLOCK",
        "HEALTH",
    ])];
    for host in hosts {
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
            host.agent_version.clone(),
            free(host),
            clock(host),
            health(host),
        ]);
    }
    table::write(&mut out, &rows)?;
    Ok(Exit::Done)
}

fn free(host: &HostRow) -> String {
    let free = host.health.as_ref().and_then(|health| health.free_bytes);
    free.map_or_else(String::new, |bytes| HumanBytes(bytes).to_string())
}

/// How far the host's clock is off, in seconds.
fn clock(host: &HostRow) -> String {
    let ahead = host
        .health
        .as_ref()
        .and_then(|health| health.clock_ahead_ms);
    ahead.map_or_else(String::new, |ms| format!("{:+.1} s", ms as f64 / 1000.0))
}

/// What its agent says is wrong.
fn health(host: &HostRow) -> String {
    let Some(health) = &host.health else {
        return "not told yet".to_owned();
    };
    match (&health.problem, health.parts_waiting) {
        (Some(problem), _) => problem.clone(),
        (None, 0) => "well".to_owned(),
        (None, parts) => format!("{parts} parts wait"),
    }
}
