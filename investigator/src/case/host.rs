//! What a host is called in the tables: its name, and more of it where two hosts of a case have the same.
//!
//! A part says itself which host it is from. So a host is who sealed and the host together: no signer has rows under
//! another's.

use evidence::records::CollectionRecord;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::part::Genuine;

/// No label is longer; a host names itself as it likes.
const LABEL_CHARS: usize = 255;

/// The label of the host that a part is from; a new host is noted.
pub(super) fn label(connection: &Connection, part: &Genuine<'_>) -> rusqlite::Result<String> {
    let record = part.record;
    let identity = identity(part);
    let known = "SELECT host FROM hosts WHERE identity = ?1";
    let known: Option<String> = connection
        .query_row(known, [&identity], |row| row.get(0))
        .optional()?;
    if let Some(label) = known {
        return Ok(label);
    }
    let host = &record.host_identity;
    // In front: a long name can't push it out of sight.
    let name = match part.unknown_signer() {
        Some(signer) => format!("unknown signer {signer}: {}", host.hostname),
        None => host.hostname.clone(),
    };
    let label = free(connection, &name, &identity)?;
    connection.execute(
        "INSERT INTO hosts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            label,
            identity,
            host.hostname,
            host.os,
            host.os_version,
            host.kernel,
            host.arch,
            host.machine_id,
            record.agent.map(|a| a.to_string()),
        ],
    )?;
    Ok(label)
}

/// Who sealed, and which host they say it is: the same for every collection of one host by one agent.
fn identity(part: &Genuine<'_>) -> String {
    let host = host(part.record);
    let agent = part.report.signer.as_ref().and_then(|s| s.agent);
    match (part.unknown_signer(), agent) {
        (None, Some(agent)) => format!("{agent} {host}"),
        (None, None) => host,
        (Some(signer), _) => format!("unknown {signer} {host}"),
    }
}

/// The host as the record has it: its id, else the machine's, else the run's own.
fn host(record: &CollectionRecord) -> String {
    let machine = record.host_identity.machine_id.as_ref();
    if let Some(host) = record.host {
        host.to_string()
    } else if let Some(machine) = machine.filter(|m| !m.is_empty()) {
        format!("machine {machine} {}", record.host_identity.hostname)
    } else if let Some(agent) = record.agent {
        agent.to_string()
    } else {
        record.collection.to_string()
    }
}

fn free(connection: &Connection, hostname: &str, identity: &str) -> rusqlite::Result<String> {
    let mut label: String = hostname.chars().take(LABEL_CHARS).collect();
    if label.is_empty() {
        label = identity.chars().take(LABEL_CHARS).collect();
    }
    let mut is_taken = connection.prepare("SELECT 1 FROM hosts WHERE host = ?1")?;
    if !is_taken.exists([&label])? {
        return Ok(label);
    }
    // Ids begin with a letter and a hyphen.
    let id = identity.strip_prefix("unknown ").unwrap_or(identity);
    let short: String = id.chars().skip(2).take(6).collect();
    let mut number = 1;
    loop {
        let further = match number {
            1 => format!("{label} ({short})"),
            _ => format!("{label} ({short} {number})"),
        };
        if !is_taken.exists([&further])? {
            return Ok(further);
        }
        number += 1;
    }
}
