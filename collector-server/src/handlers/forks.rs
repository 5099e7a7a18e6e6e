//! A cloned identity's copies get identities of their own, of the same agency and labels by the same token.
//!
//! The seal key of the cloned identity asks, as it asks for renewals: a courier in wrong hands can have none. What is
//! certified is what the token certified before; nothing of it is the host's word.

use axum::{Extension, extract::State};
use evidence::{
    custody::event::{Action, Event},
    digest::Digest,
    envelope::Envelope,
    ids::AgentId,
    instant::Instant,
};
use protocol::enrolment::{EnrolResponse, Fork, ForkRequest};

use super::{
    Answer, App, Message,
    enrolment::{Newcomer, certified, check_facts, log_again, requested_keys, seal_keys},
    json,
};
use crate::{
    access::{Caller, CallingAgent},
    refusal::Refusal,
    state::Server,
    store::{agents::AgentRow, index::IndexError},
};

/// What is asked for, found good.
struct Wanted {
    origin: AgentRow,
    fork: Fork,
    asked: ForkRequest,
    seal_key: Digest,
    tls_key: Digest,
}

impl Wanted {
    /// Those for the TLS certificate and for the seal's.
    fn requests(&self) -> (&str, &str) {
        (&self.asked.tls_csr, &self.fork.csr)
    }
}

/// `POST /v1/agent/fork`.
pub(crate) async fn fork(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Message(asked): Message<ForkRequest>,
) -> Answer {
    let wanted = wanted(&server, caller.agent()?, asked).await?;
    let (origin, now) = (wanted.origin.agent, Instant::now());
    let look = || server.index.fork_of(wanted.origin.agent, wanted.seal_key);
    let response = match server.known(look).await? {
        Some((agent, Some(receipt))) => again(&server, &wanted, agent, receipt, now).await?,
        Some((_, None)) => return Err(Refusal::Busy), // Its first request is at work.
        None => first(&server, wanted, now).await?,
    };
    tracing::info!(agent = %response.agent, %origin, "a cloned identity was forked");
    json(&response)
}

async fn wanted(
    server: &Server,
    caller: CallingAgent,
    asked: ForkRequest,
) -> Result<Wanted, Refusal> {
    check_facts(&asked.host)?;
    let origin = server.index.agent(caller.id).await?;
    let origin = origin.ok_or(Refusal::NotFound)?;
    if origin.cloned.is_none() {
        let why = "This identity is one machine's. There is nothing to fork.";
        return Err(Refusal::Conflict(why));
    }
    let envelope = Envelope::parse(asked.fork.as_bytes())
        .map_err(|e| Refusal::Malformed(format!("the fork: {e}")))?;
    let held = seal_keys(server, caller.id).await?;
    let fork = Fork::open(&envelope, caller.id, &held)?;
    let (seal_key, tls_key) = requested_keys(&fork.csr, &asked.tls_csr)?;
    let is_old = tls_key == caller.key || held.iter().any(|key| key.key_id() == seal_key);
    if is_old || fork.host != asked.host.id || fork.host == origin.host {
        let why = "a key or the host id is the cloned identity's. Make new ones.";
        return Err(Refusal::unacceptable(why));
    }
    Ok(Wanted {
        origin,
        fork,
        asked,
        seal_key,
        tls_key,
    })
}

/// The same seal key once more: its answer was lost. It stays the agent that it is.
async fn again(
    server: &Server,
    wanted: &Wanted,
    agent: AgentId,
    receipt: String,
    now: Instant,
) -> Result<EnrolResponse, Refusal> {
    let response = certified(server, agent, wanted.requests(), now)?;
    log_again(server, agent, wanted.seal_key, wanted.tls_key).await?;
    Ok(EnrolResponse {
        receipt,
        ..response
    })
}

async fn first(server: &Server, wanted: Wanted, now: Instant) -> Result<EnrolResponse, Refusal> {
    let newcomer = Newcomer {
        host: wanted.asked.host,
        agency: wanted.origin.agency,
        labels: wanted.origin.labels,
        token: token_of(server, wanted.origin.agent).await?,
        uses: 0,
        forked_from: Some(wanted.origin.agent),
        keys: (wanted.seal_key, wanted.tls_key),
    };
    let requests = (wanted.asked.tls_csr, wanted.fork.csr);
    newcomer
        .enter(server, (&requests.0, &requests.1), now)
        .await
}

/// The id of the token by which the agent came, and the digest that the log has of it.
async fn token_of(server: &Server, agent: AgentId) -> Result<(String, Digest), Refusal> {
    let damaged = || IndexError::Damaged("enrolment");
    let (token, receipt) = server.index.admission(agent).await?;
    let leaf = receipt.unproven_leaf().ok_or_else(damaged)?;
    match Event::read(&leaf).map_err(Refusal::failed)?.1.action {
        Action::Enrolled { token_sha256, .. } => Ok((token, token_sha256)),
        _ => Err(damaged().into()),
    }
}
