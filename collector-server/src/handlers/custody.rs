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
    ids::AgentId,
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
        agents::Change as AgentChange,
        index::Change,
        sight::{About, Sight},
    },
};

/// The most bytes of leaves in one answer, the message's ceiling in mind.
const LEAVES_BYTES: usize = 3 << 20;

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
        Action::Revoked {
            agent,
            invalid_from,
        } => revoked(&server, &asker, leaf, &event.action, *agent, *invalid_from).await?,
        _ => {
            let why = "people send `verified` and `revoked` only. The server logs the rest itself.";
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

async fn revoked(
    server: &Server,
    asker: &CallingPerson,
    leaf: &[u8],
    action: &Action,
    agent: AgentId,
    from: Instant,
) -> Result<String, Refusal> {
    let row = server.index.agent(agent).await?;
    let row = row.filter(|row| asker.person.may(Role::Admin, &row.agency));
    let row = row.ok_or(Refusal::NotFound)?;
    if row.revoked.is_some_and(|held| held <= from) {
        return Err(Refusal::Conflict(
            "The agent is revoked already, from that time or an earlier one. Nothing is left to do.",
        ));
    }
    let receipt = server.custody.log_signed(action, leaf).await?;
    let change = AgentChange::Revoke {
        agent,
        from,
        receipt: receipt.clone(),
    };
    server.change(Change::Agent(change)).await?;
    tracing::warn!(%agent, "an agent was revoked");
    Ok(receipt)
}
