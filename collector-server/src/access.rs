//! Who may ask for what: decided here, once, before any handler runs.
//!
//! A route says who may use it; this says whether the peer is such a one now. Revocation and
//! the policy are looked at with each request, so both hold on connections that are open.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use evidence::{digest::Digest, ids::AgentId};
use protocol::policy::{Person, Policy, Role};

use serde_json::json;
use tokio::time::Instant;

use crate::{
    rates::Source,
    refusal::Refusal,
    router::Route,
    serve::{Origin, Peer, Role as PeerRole},
    siem::Severity,
    state::Server,
    store::Scope,
};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Anybody at all.
    Anybody,
    /// An enrolled agent that is not revoked.
    Agent,
    /// The same, even with a certificate that has ended.
    AgentToRenew,
    /// A person with one of these roles.
    People(&'static [Role]),
    /// An agent, or a person with one of these roles.
    AgentOrPeople(&'static [Role]),
}

/// Who asks, as far as the route needs to know.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Nobody in particular.
    Anybody,
    /// An agent.
    Agent(CallingAgent),
    /// A person.
    Person(CallingPerson),
}

/// An agent that asks.
#[derive(Debug, Clone, Copy)]
pub struct CallingAgent {
    /// Who.
    pub id: AgentId,
    /// The TLS key of this connection.
    pub key: Digest,
    /// Whether its certificate has ended.
    pub ended: bool,
}

/// A person who asks.
#[derive(Debug, Clone)]
pub struct CallingPerson {
    /// Who.
    pub person: Arc<Person>,
    /// Where the person may see anything.
    pub scope: Scope,
}

impl CallingPerson {
    /// Checks that the policy, which may be a newer one by now, says of the person what it said.
    ///
    /// # Errors
    /// It says something else.
    pub fn check_still(&self, policy: &Policy) -> Result<(), Refusal> {
        match policy.person(&self.person.id) {
            Some(person) if *person == *self.person => Ok(()),
            _ => Err(Refusal::Denied(
                "A new policy says something else of you. Ask again.",
            )),
        }
    }
}

impl Caller {
    /// The agent.
    ///
    /// # Errors
    /// Somebody else asks.
    pub fn agent(self) -> Result<CallingAgent, Refusal> {
        match self {
            Self::Agent(agent) => Ok(agent),
            _ => Err(NOT_AN_AGENT),
        }
    }

    /// The person.
    ///
    /// # Errors
    /// Somebody else asks.
    pub fn person(self) -> Result<CallingPerson, Refusal> {
        match self {
            Self::Person(person) => Ok(person),
            _ => Err(NOT_A_PERSON),
        }
    }
}

const NOT_AN_AGENT: Refusal =
    Refusal::Denied("Only an enrolled agent may do this. Enrol this host first.");
const NOT_A_PERSON: Refusal = Refusal::Denied(
    "The policy gives this key no role that may do this. Connect with your own TLS key, or ask an admin for the role.",
);

/// The route's rule and the server, for the middleware.
pub(crate) type Rule = (Arc<Server>, &'static Route);

/// Lets the request through with a [`Caller`] among its extensions, or refuses it.
pub(crate) async fn authorise(
    State((server, route)): State<Rule>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let peer = peer.unwrap_or(Peer::ANONYMOUS);
    let from = request.extensions().get::<Origin>().copied();
    let asked = match in_time(&server, peer, from) {
        Ok(()) => caller(&server, route.who, peer).await,
        Err(refusal) => Err(refusal),
    };
    let response = match asked {
        Ok(caller) => {
            let extensions = request.extensions_mut();
            extensions.insert(caller);
            extensions.insert(route);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    };
    tell(&server, route, peer, response.status());
    response
}

/// Tells whoever watches of refusals that mean something, and of failures.
fn tell(server: &Server, route: &Route, peer: Peer, status: StatusCode) {
    let (kind, severity) = match status.as_u16() {
        403 | 422 | 429 => ("request.refused", Severity::Warning),
        500 => ("alarm.server_failed", Severity::Alert),
        507 => ("alarm.store_full", Severity::Alert),
        _ => return,
    };
    let mut data = json!({"method": route.method, "route": route.path, "status": status.as_u16()});
    match peer.role {
        PeerRole::Agent(id) | PeerRole::EndedAgent(id) => data["agent"] = json!(id),
        PeerRole::Key | PeerRole::Anonymous => {}
    }
    if let Some(key) = peer.key {
        data["tls_key"] = json!(key);
    }
    server.bulletin.tell(kind, severity, data);
}

/// Counts the request to whoever sent it, before anything is done for it.
fn in_time(server: &Server, peer: Peer, from: Option<Origin>) -> Result<(), Refusal> {
    let Some(Origin(from)) = from else {
        return Ok(()); // No connection: the router is asked from within.
    };
    let source = Source::of(peer, from, &server.documents().policy);
    let wait = server.rates.take(source, Instant::now());
    wait.map_err(|wait| Refusal::Often(u32::try_from(wait.as_secs()).map_or(u32::MAX, |s| s + 1)))
}

async fn caller(server: &Server, who: Who, peer: Peer) -> Result<Caller, Refusal> {
    match who {
        Who::Anybody => Ok(Caller::Anybody),
        Who::Agent => Ok(Caller::Agent(agent(server, peer, false).await?)),
        Who::AgentToRenew => Ok(Caller::Agent(agent(server, peer, true).await?)),
        Who::People(roles) => Ok(Caller::Person(person(server, peer, roles)?)),
        Who::AgentOrPeople(roles) => match peer.role {
            PeerRole::Agent(_) => Ok(Caller::Agent(agent(server, peer, false).await?)),
            _ => Ok(Caller::Person(person(server, peer, roles)?)),
        },
    }
}

async fn agent(server: &Server, peer: Peer, may_be_ended: bool) -> Result<CallingAgent, Refusal> {
    let (id, ended) = match peer.role {
        PeerRole::Agent(id) => (id, false),
        PeerRole::EndedAgent(id) if may_be_ended => (id, true),
        _ => return Err(NOT_AN_AGENT),
    };
    match peer.key {
        Some(key) if server.index.agent_is_active(id).await? => Ok(CallingAgent { id, key, ended }),
        _ => Err(shut_out(server, id).await?),
    }
}

/// Why an agent that is not active may do nothing.
///
/// # Errors
/// The index failed.
pub(crate) async fn shut_out(server: &Server, agent: AgentId) -> Result<Refusal, Refusal> {
    Ok(match server.index.agent(agent).await? {
        Some(row) if row.removed.is_some() => Refusal::Removed,
        Some(row) if row.revoked.is_some() => Refusal::Revoked,
        _ => NOT_AN_AGENT,
    })
}

fn person(server: &Server, peer: Peer, roles: &[Role]) -> Result<CallingPerson, Refusal> {
    let documents = server.documents();
    let known = peer
        .key
        .and_then(|key| documents.policy.person_by_tls_key(&key));
    let person = known.filter(|p| roles.iter().any(|role| p.roles.contains(role)));
    let person = person.ok_or(NOT_A_PERSON)?;
    Ok(CallingPerson {
        scope: Scope::of(person.agencies.iter().cloned()),
        person: Arc::new(person.clone()),
    })
}
