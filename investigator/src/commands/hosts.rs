//! `fieldseal hosts`: the hosts of the person's agencies.

use std::io::{self, Write as _};

use evidence::{ids::AgentId, instant::Instant};
use indicatif::HumanBytes;
use protocol::{admission::Verdict, messages::HostRow};

use super::pending;
use super::remove;
use super::table;
use crate::{
    cli::{Hosts, HostsAction},
    exit::Exit,
    health::{ahead as ahead_of, concerns, is_looked_after},
    home::Home,
    session::Session,
    targets,
};

/// Runs it.
///
/// # Errors
/// The server can't be reached or refuses.
pub fn run(args: &Hosts, home: Home) -> anyhow::Result<Exit> {
    match &args.action {
        Some(HostsAction::Remove(args)) => return remove::run(args, home),
        Some(HostsAction::Pending { json }) => return pending::list(*json, home),
        Some(HostsAction::Approve(args)) => return pending::decide(args, Verdict::Approved, home),
        Some(HostsAction::Reject(args)) => return pending::decide(args, Verdict::Rejected, home),
        None => {}
    }
    let all = Session::open(home)?.remote.hosts()?.hosts;
    let now = Instant::now();
    let mut hosts: Vec<&HostRow> = match &args.filter {
        Some(filter) => targets::by_expression(&all, filter, now)?.hosts,
        None => {
            let is_meant = |h: &&HostRow| h.removed.is_some() == args.removed;
            all.iter().filter(is_meant).collect()
        }
    };
    if let Some(concern) = args.only {
        hosts.retain(|host| {
            concerns(host, now)
                .iter()
                .any(|(found, _)| *found == concern)
        });
    }
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
        rows.push(vec![
            host.hostname.clone(),
            host.agent.to_string(),
            host.agency.to_string(),
            labels.join(","),
            format!("{} {}", host.system, host.arch),
            standing(host),
            host.agent_version.clone(),
            free(host),
            clock(host),
            health(host, now),
        ]);
    }
    table::write(&mut out, &rows)?;
    Ok(Exit::Done)
}

/// When it was last seen, or why it is none that orders can be for.
fn standing(host: &HostRow) -> String {
    let list = |ids: &[AgentId]| -> String {
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        ids.join(", ")
    };
    let what = if let Some(at) = host.removed {
        let reason = host
            .removal_reason
            .as_deref()
            .unwrap_or("no reason was kept");
        format!("removed {}: {reason}", table::time(at))
    } else if let Some(from) = host.revoked {
        format!("revoked from {}", table::time(from))
    } else if let Some(at) = host.cloned {
        let into = match host.forked_into.as_slice() {
            [] => "nothing came of it yet".to_owned(),
            ids => format!("became {}", list(ids)),
        };
        format!("cloned {}, {into}", table::time(at))
    } else {
        table::time_or_never(host.last_seen)
    };
    match host.forked_from {
        Some(origin) => format!("{what}, came from {origin}"),
        None => what,
    }
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
    ahead.map_or_else(String::new, ahead_of)
}

/// Every reason to look after it, or that it is well.
fn health(host: &HostRow, now: Instant) -> String {
    let found = concerns(host, now).into_iter();
    let found: Vec<_> = found
        .map(|(what, why)| format!("{}: {why}", what.words()))
        .collect();
    match (
        found.is_empty(),
        host.health
            .as_ref()
            .map_or(0, |health| health.parts_waiting),
    ) {
        (false, _) => found.join("; "),
        (true, _) if !is_looked_after(host) => String::new(),
        (true, 0) => "well".to_owned(),
        (true, parts) => format!("well, {parts} parts wait"),
    }
}
