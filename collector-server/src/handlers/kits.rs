//! Kits become known: a certificate for a seal key, under an identity of its own that no host has.
//!
//! Its certificate outlives its use: the key is good for one order, and that order has an end.

use std::collections::BTreeSet;

use axum::{Extension, extract::State};
use evidence::{
    custody::event::Action,
    digest::Digest,
    ids::{AgentId, HostId},
    instant::Instant,
};
use protocol::{
    enrolment::HostFacts,
    kit::{CertifiedKit, CertifyKit},
    name::Name,
    policy::Role,
    version::VERSION,
};

use super::{Answer, App, Message, enrolment::seal_chain, json};
use crate::{
    access::Caller,
    ca,
    refusal::Refusal,
    state::Server,
    store::{
        agents::{Change as AgentChange, NewAgent, SealKey},
        index::Change,
        kits::KitIdentity,
    },
};

const OTHER_KEY: &str =
    "The kit has another key, or is of another agency. Make a kit with an id of its own.";

/// `POST /v1/kits`: the same question again has the same answer.
pub(crate) async fn certify(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Message(asked): Message<CertifyKit>,
) -> Answer {
    let asker = caller.person()?;
    if !asker.person.may(Role::Investigator, &asked.agency) {
        return Err(Refusal::Denied(
            "You are no investigator of that agency. Name one of yours.",
        ));
    }
    let seal_key = ca::requested_key(&asked.seal_csr)?;
    let identity = match server.index.kit(asked.kit).await? {
        Some(known) if known.seal_key == seal_key && known.agency == asked.agency => known,
        Some(_) => return Err(Refusal::Conflict(OTHER_KEY)),
        None => admit(&server, &asked, seal_key).await?,
    };
    let receipt = match identity.certified {
        Some(receipt) => receipt,
        None => {
            let by_key = asker.person.signing_key.key_id();
            finish(&server, &asked, &identity, by_key).await?
        }
    };
    json(&CertifiedKit {
        v: VERSION,
        agent: identity.agent,
        seal_chain: identity.chain,
        receipt,
        intake: server.intake.recipient(),
    })
}

/// The row, which counts for nothing until its leaf is in the log.
async fn admit(
    server: &Server,
    asked: &CertifyKit,
    seal_key: Digest,
) -> Result<KitIdentity, Refusal> {
    let (agent, now) = (AgentId::random().map_err(no_random)?, Instant::now());
    let chain = seal_chain(server, agent, &asked.seal_csr, now)?;
    let new = NewAgent {
        agent,
        host: facts(asked)?,
        agency: asked.agency.clone(),
        labels: BTreeSet::new(),
        enrolled: now,
        token: String::new(),
        uses: 0,
        forked_from: None,
        kit: Some(asked.kit),
        seal: SealKey {
            key_sha256: seal_key,
            chain: chain.clone(),
        },
    };
    let change = AgentChange::Enrol(Box::new(new));
    server.change(Change::Agent(change)).await?;
    Ok(KitIdentity {
        agent,
        agency: asked.agency.clone(),
        seal_key,
        chain,
        certified: None,
    })
}

/// The leaf, and its receipt. What was cut off before is gone on with under the same identity: the leaf may be there.
async fn finish(
    server: &Server,
    asked: &CertifyKit,
    identity: &KitIdentity,
    by_key: Digest,
) -> Result<String, Refusal> {
    let agent = identity.agent;
    let certified = Action::KitCertified {
        agent,
        kit: asked.kit,
        seal_key: identity.seal_key,
        by_key,
    };
    let receipt = server.custody.log(certified).await?;
    let change = AgentChange::Enrolled {
        agent,
        receipt: receipt.clone(),
    };
    server.change(Change::Agent(change)).await?;
    tracing::info!(%agent, kit = %asked.kit, "a kit was certified");
    Ok(receipt)
}

/// What stands where a host would say something of itself.
fn facts(asked: &CertifyKit) -> Result<HostFacts, Refusal> {
    let any: Name = "any".parse().map_err(Refusal::failed)?;
    Ok(HostFacts {
        id: HostId::from_bytes(*asked.kit.as_bytes()),
        hostname: format!("kit {}", asked.kit),
        os: any.clone(),
        arch: any,
        system: "kit".into(),
        agent_version: env!("CARGO_PKG_VERSION").into(),
    })
}

fn no_random(error: getrandom::Error) -> Refusal {
    Refusal::failed(error.to_string())
}
