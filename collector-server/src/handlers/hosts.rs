//! The hosts that a person may see.

use axum::{Extension, extract::State};
use protocol::{
    messages::{HostRow, Hosts},
    version::VERSION,
};

use super::{Answer, App, json};
use crate::{access::Caller, state::Server, store::agents::AgentRow};

/// `GET /v1/hosts`.
pub(crate) async fn list(State(server): App, Extension(caller): Extension<Caller>) -> Answer {
    let asker = caller.person()?;
    let hosts = server.index.hosts(&asker.scope).await?;
    let hosts = hosts.into_iter().map(|row| shown(&server, row)).collect();
    json(&Hosts { v: VERSION, hosts })
}

fn shown(server: &Server, row: AgentRow) -> HostRow {
    HostRow {
        last_seen: server.last_seen(row.agent).max(row.last_seen),
        agent: row.agent,
        host: row.host,
        hostname: row.hostname,
        os: row.os,
        arch: row.arch,
        system: row.system,
        agent_version: row.agent_version,
        agency: row.agency,
        labels: row.labels.into_iter().collect(),
        enrolled: row.enrolled,
        revoked: row.revoked,
        removed: row.removed,
        removal_reason: row.removed.and(row.removal_reason),
        cloned: row.cloned,
        forked_from: row.forked_from,
        forked_into: row.forked_into,
        health: row.health,
        health_told: row.health_told,
        seal_chain: row.seal_chain,
    }
}
