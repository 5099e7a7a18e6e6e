//! The hosts that a person may see.

use axum::{
    Extension,
    extract::{Query, State, rejection::QueryRejection},
};
use evidence::ids::AgentId;
use protocol::{
    messages::{HostRow, Hosts},
    version::VERSION,
};

use serde::Deserialize;

use super::{Answer, App, PAGE, cut, json};
use crate::{access::Caller, refusal::Refusal, state::Server, store::agents::AgentRow};

/// Beyond which.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Beyond {
    after_agent: Option<AgentId>,
}

/// `GET /v1/hosts`.
pub(crate) async fn list(
    State(server): App,
    Extension(caller): Extension<Caller>,
    beyond: Result<Query<Beyond>, QueryRejection>,
) -> Answer {
    let asker = caller.person()?;
    let Query(beyond) = beyond.map_err(|e| Refusal::Malformed(e.body_text()))?;
    let index = &server.index;
    let rows = index
        .hosts_beyond(&asker.scope, beyond.after_agent, PAGE + 1)
        .await?;
    let mut rows = rows.ok_or(Refusal::NotFound)?;
    let more = cut(&mut rows);
    json(&Hosts {
        v: VERSION,
        hosts: rows.into_iter().map(|row| shown(&server, row)).collect(),
        more,
    })
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
        kit: row.kit,
    }
}
