//! The custody log: its checkpoint and proofs for everybody, its leaves for those who audit, events from people.

use axum::{
    Extension,
    extract::{Query, State},
    http::header::CONTENT_TYPE,
    response::IntoResponse as _,
};
use data_encoding::BASE64;
use evidence::{
    custody::{
        event::{Action, Event, Outcome, StoredPart},
        leaf_hash,
    },
    digest::Digest,
    instant::Instant,
};
use protocol::{
    messages::{Consistency, Leaves, Logged, MAX_LEAVES, SubmitEvent, WITHHELD},
    policy::Role,
    version::VERSION,
};
use serde::Deserialize;

use super::{Answer, App, Message, json};
use crate::{
    access::{Caller, CallingPerson},
    refusal::Refusal,
    state::Server,
    store::{
        agents::{AgentRow, Change as AgentChange},
        index::Change,
        sight::{About, Sight},
    },
};

/// The most bytes of leaves in one answer, the message's ceiling in mind.
const LEAVES_BYTES: usize = 3 << 20;

/// The longest reason of a removal.
const MAX_REASON_BYTES: usize = 4_096;

/// `GET /v1/custody/checkpoint`.
pub(crate) async fn checkpoint(State(server): App) -> Answer {
    let kind = "text/plain; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], server.custody.note()).into_response())
}

/// From which size to which.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Span {
    from: u64,
    to: u64,
}

/// `GET /v1/custody/consistency`.
pub(crate) async fn consistency(
    State(server): App,
    span: Result<Query<Span>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(span) = span.map_err(|e| Refusal::Malformed(e.body_text()))?;
    let proof = server.custody.consistency(span.from, span.to);
    json(&Consistency {
        v: VERSION,
        proof: proof.ok_or_else(|| {
            Refusal::unacceptable(
                "the log never had those sizes in that order. Ask for its checkpoint.",
            )
        })?,
    })
}

/// Which leaves.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    from: u64,
    count: u64,
}

/// `GET /v1/custody/leaves`.
pub(crate) async fn leaves(
    State(server): App,
    Extension(caller): Extension<Caller>,
    which: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(which) = which.map_err(|e| Refusal::Malformed(e.body_text()))?;
    let asker = caller.person()?;
    let count = which.count.min(MAX_LEAVES);
    let mut leaves = server
        .custody
        .leaves(which.from, count, LEAVES_BYTES)
        .await?;
    let mut sight = Sight::of(&server.index, &asker.scope, &asker.person.id);
    for leaf in &mut leaves {
        let bytes = BASE64.decode(leaf.as_bytes()).map_err(Refusal::failed)?;
        // What no program reads as an event is about nobody.
        let about = Event::read(&bytes).map_or(About::All, |(_, event)| About::of(&event.action));
        if !sight.holds(about).await? {
            *leaf = format!("{WITHHELD}{}", leaf_hash(&bytes));
        }
    }
    json(&Leaves {
        v: VERSION,
        from: which.from,
        leaves,
    })
}

/// `POST /v1/custody/events`.
pub(crate) async fn submit(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Message(sent): Message<SubmitEvent>,
) -> Answer {
    let asker = caller.person()?;
    let leaf = sent.event.as_bytes();
    let (envelope, event) = Event::read(leaf).map_err(|e| Refusal::Malformed(e.to_string()))?;
    let by_asker = envelope.verify(&[asker.person.signing_key]);
    if by_asker.is_empty() || envelope.signatures().len() != 1 {
        let why =
            "the event is not signed by you, or not by you alone. Sign it with your signing key.";
        return Err(Refusal::unacceptable(why));
    }
    let receipt = match &event.action {
        Action::Verified { part, outcome } => {
            verified(&server, &asker, leaf, &event.action, *part, *outcome).await?
        }
        Action::Revoked { .. } | Action::Removed { .. } => {
            revoked(&server, &asker, leaf, &event, sent.reason).await?
        }
        _ => {
            let why = "people send `verified`, `revoked` and `removed` only. The server logs the rest itself.";
            return Err(Refusal::unacceptable(why));
        }
    };
    json(&Logged {
        v: VERSION,
        receipt,
    })
}

async fn verified(
    server: &Server,
    asker: &CallingPerson,
    leaf: &[u8],
    action: &Action,
    part: StoredPart,
    outcome: Outcome,
) -> Result<String, Refusal> {
    let found = server.index.part(part).await?;
    let found = found.filter(|p| asker.person.may(Role::Investigator, &p.agency));
    found.ok_or(Refusal::NotFound)?;
    let receipt = server.custody.log_signed(action, leaf).await?;
    if outcome == Outcome::NotGenuine {
        tracing::warn!(collection = %part.collection, part = part.part, "a part is not genuine and was set apart");
        server.quarantine(part).await?;
    }
    Ok(receipt)
}

/// A revocation, or a removal, which is one with a reason.
async fn revoked(
    server: &Server,
    asker: &CallingPerson,
    leaf: &[u8],
    event: &Event,
    reason: Option<String>,
) -> Result<String, Refusal> {
    let (agent, from) = event.action.revokes().ok_or(Refusal::NotFound)?;
    let row = server.index.agent(agent).await?;
    let row = row.filter(|row| asker.person.may(Role::Admin, &row.agency));
    let row = row.ok_or(Refusal::NotFound)?;
    let removed = match event.action {
        Action::Removed { reason_sha256, .. } => {
            may_remove(&row)?;
            let reason = reason_of(reason, reason_sha256)?;
            let change = AgentChange::Reason { agent, reason };
            server.change(Change::Agent(change)).await?;
            Some(event.time)
        }
        _ => {
            may_revoke(&row, from)?;
            None
        }
    };
    let receipt = server.custody.log_signed(&event.action, leaf).await?;
    let change = AgentChange::Revoke {
        agent,
        from,
        receipt: receipt.clone(),
        removed,
    };
    server.change(Change::Agent(change)).await?;
    match removed {
        Some(_) => tracing::warn!(%agent, "a host was removed"),
        None => tracing::warn!(%agent, "an agent was revoked"),
    }
    Ok(receipt)
}

fn may_revoke(row: &AgentRow, from: Instant) -> Result<(), Refusal> {
    match row.revoked {
        Some(held) if held <= from => Err(Refusal::Conflict(
            "The agent is revoked already, from that time or an earlier one. Nothing is left to do.",
        )),
        _ => Ok(()),
    }
}

fn may_remove(row: &AgentRow) -> Result<(), Refusal> {
    match row.removed {
        Some(_) => Err(Refusal::Conflict(
            "The host is removed already. Nothing is left to do.",
        )),
        None => Ok(()),
    }
}

/// The text of which the leaf has the digest.
fn reason_of(reason: Option<String>, sha256: Digest) -> Result<String, Refusal> {
    let is_fit = |text: &String| (1..=MAX_REASON_BYTES).contains(&text.len());
    let reason = reason.filter(is_fit).ok_or_else(|| {
        Refusal::unacceptable("a removal needs a reason of at most 4,096 bytes. Give one.")
    })?;
    match Digest::of(reason.as_bytes()) == sha256 {
        true => Ok(reason),
        false => Err(Refusal::unacceptable(
            "the reason is not the one whose digest the leaf has. Sign the leaf again.",
        )),
    }
}
