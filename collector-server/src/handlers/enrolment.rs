//! Hosts become known, and get new certificates before the old ones end.
//!
//! The token alone lets a host in, and an admin's word beside it where the token holds hosts. A host is whole only when its
//! leaf is in the custody log (`entering`); a request with the same seal key goes on from where the one before was cut off.

use std::collections::BTreeSet;

use axum::{
    Extension,
    extract::State,
    http::{StatusCode, header::RETRY_AFTER},
    response::IntoResponse as _,
};
use evidence::{
    custody::event::Action, digest::Digest, envelope::Envelope, ids::AgentId, instant::Instant,
    keys::PublicKey, seal,
};
use protocol::{
    admission::EnrolmentHeld,
    enrolment::{
        EnrolRequest, EnrolResponse, HostFacts, RenewRequest, RenewResponse, SealRequest, Token,
    },
    name::Name,
    version::VERSION,
};

use super::{Answer, App, Message, json};
use crate::{
    access::{self, Caller},
    admitting::Held,
    ca,
    refusal::Refusal,
    serve::Origin,
    state::Server,
    store::{
        agents::{Change as AgentChange, NewAgent, SealKey, USED_UP},
        index::Change,
    },
};

/// The longest text that a host may say of itself.
const MAX_FACT_BYTES: usize = 255;

/// An agent renews for the key that it has; one that asks for ever new ones is stopped.
const MAX_SEAL_KEYS: usize = 64;

/// What is asked for, found good.
struct Wanted {
    asked: EnrolRequest,
    token: Token,
    token_sha256: Digest,
    seal_key: Digest,
    tls_key: Digest,
}

impl Wanted {
    /// Those for the TLS certificate and for the seal's.
    fn requests(&self) -> (&str, &str) {
        (&self.asked.tls_csr, &self.asked.seal_csr)
    }
}

/// `POST /v1/enrol`.
pub(crate) async fn enrol(
    State(server): App,
    Extension(origin): Extension<Origin>,
    Message(asked): Message<EnrolRequest>,
) -> Answer {
    let now = Instant::now();
    check_facts(&asked.host)?;
    let (token, token_sha256) = admitted(&server, &asked.token, origin, now)?;
    if asked.is_question() {
        return would_take(&server, &token).await;
    }
    let (seal_key, tls_key) = requested_keys(&asked.seal_csr, &asked.tls_csr)?;
    let wanted = Wanted {
        asked,
        token,
        token_sha256,
        seal_key,
        tls_key,
    };
    let look = || server.index.enrolled_by(&wanted.token.id, wanted.seal_key);
    let response = match server.known(look).await? {
        Some((agent, Some(receipt))) => again(&server, &wanted, agent, receipt, now).await?,
        Some((_, None)) => return Err(Refusal::Busy), // Its first request is at work.
        None => match held(&server, &wanted, origin, now).await? {
            Held::LetIn => first(&server, wanted, now).await?,
            Held::Waits(held, ask_again_s) => return waits(&held, ask_again_s),
        },
    };
    tracing::info!(agent = %response.agent, "a host was enrolled");
    json(&response)
}

/// The token, good now and from there, and its digest.
fn admitted(
    server: &Server,
    token: &str,
    Origin(from): Origin,
    now: Instant,
) -> Result<(Token, Digest), Refusal> {
    let envelope = Envelope::parse(token.as_bytes())
        .map_err(|e| Refusal::Malformed(format!("the token: {e}")))?;
    let token = Token::open(&envelope, &server.documents().policy, now)?;
    match token.admits(from) {
        true => Ok((token, envelope.digest())),
        false => Err(Refusal::Unacceptable(format!(
            "The token may not be used from {}, where the server sees this host. Ask an admin for one that may, or enrol from its networks.",
            from.to_canonical()
        ))),
    }
}

/// Whether one more host could enrol by it.
async fn would_take(server: &Server, token: &Token) -> Answer {
    match server.index.token_is_used_up(token).await? {
        true => Err(Refusal::Conflict(USED_UP)),
        false => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

async fn held(
    server: &Server,
    wanted: &Wanted,
    origin: Origin,
    now: Instant,
) -> Result<Held, Refusal> {
    if !wanted.token.held {
        return Ok(Held::LetIn);
    }
    let who = (&wanted.asked.host, wanted.seal_key);
    server.held(&wanted.token, who, origin, now).await
}

fn waits(held: &EnrolmentHeld, ask_again_s: i64) -> Answer {
    let mut response = json(held)?;
    *response.status_mut() = StatusCode::ACCEPTED;
    response
        .headers_mut()
        .insert(RETRY_AFTER, ask_again_s.into());
    Ok(response)
}

/// The same seal key once more: its answer was lost. It stays the agent that it is, and no use of the token is counted.
async fn again(
    server: &Server,
    wanted: &Wanted,
    agent: AgentId,
    receipt: String,
    now: Instant,
) -> Result<EnrolResponse, Refusal> {
    if !server.index.agent_is_active(agent).await? {
        return Err(access::shut_out(server, agent).await?);
    }
    if server.index.is_cloned(agent).await? {
        return Err(Refusal::Cloned);
    }
    let response = certified(server, agent, wanted.requests(), now)?;
    log_again(server, agent, wanted.seal_key, wanted.tls_key).await?;
    Ok(EnrolResponse {
        receipt,
        ..response
    })
}

/// That an agent which is known had its keys certified once more.
pub(super) async fn log_again(
    server: &Server,
    agent: AgentId,
    seal_key: Digest,
    tls_key: Digest,
) -> Result<(), Refusal> {
    let action = Action::Renewed {
        agent,
        seal_key: Some(seal_key),
        tls_key: Some(tls_key),
    };
    server.custody.log(action).await?;
    Ok(())
}

async fn first(server: &Server, wanted: Wanted, now: Instant) -> Result<EnrolResponse, Refusal> {
    let newcomer = Newcomer {
        host: wanted.asked.host,
        agency: wanted.token.agency,
        labels: wanted.token.labels,
        token: (wanted.token.id, wanted.token_sha256),
        uses: wanted.token.uses,
        forked_from: None,
        keys: (wanted.seal_key, wanted.tls_key),
    };
    let requests = (wanted.asked.tls_csr, wanted.asked.seal_csr);
    newcomer
        .enter(server, (&requests.0, &requests.1), now)
        .await
}

/// Who becomes an agent that was none, by what.
pub(super) struct Newcomer {
    /// What it says of itself.
    pub(super) host: HostFacts,
    /// Its agency.
    pub(super) agency: Name,
    /// Its labels.
    pub(super) labels: BTreeSet<Name>,
    /// The token's id, and its digest.
    pub(super) token: (String, Digest),
    /// How often that may be used.
    pub(super) uses: u64,
    /// The cloned identity that it comes from.
    pub(super) forked_from: Option<AgentId>,
    /// Its seal key and its TLS key.
    pub(super) keys: (Digest, Digest),
}

impl Newcomer {
    /// Certifies it under a new id, and keeps it once its leaf is in the log.
    ///
    /// # Errors
    /// It can't be certified, its token is used up, or the index or the log failed.
    pub(super) async fn enter(
        self,
        server: &Server,
        requests: (&str, &str),
        now: Instant,
    ) -> Result<EnrolResponse, Refusal> {
        let agent = AgentId::random().map_err(|e| Refusal::failed(e.to_string()))?;
        let response = certified(server, agent, requests, now)?;
        let ((token, token_sha256), (seal_key, tls_key)) = (self.token, self.keys);
        let action = Action::Enrolled {
            agent,
            host: self.host.id,
            token_sha256,
            seal_key,
            tls_key,
            forked_from: self.forked_from,
        };
        let new = NewAgent {
            agent,
            host: self.host,
            agency: self.agency,
            labels: self.labels,
            enrolled: now,
            token,
            uses: self.uses,
            forked_from: self.forked_from,
            kit: None,
            seal: SealKey {
                key_sha256: seal_key,
                chain: response.seal_chain.clone(),
            },
        };
        let receipt = server.enter(new, action).await?;
        Ok(EnrolResponse {
            receipt,
            ..response
        })
    }
}

/// The certificates, before anything is kept: a request that can't be certified leaves no trace.
pub(super) fn certified(
    server: &Server,
    agent: AgentId,
    (tls_csr, seal_csr): (&str, &str),
    now: Instant,
) -> Result<EnrolResponse, Refusal> {
    Ok(EnrolResponse {
        v: VERSION,
        agent,
        tls_chain: tls_chain(server, agent, tls_csr, now)?,
        seal_chain: seal_chain(server, agent, seal_csr, now)?,
        policy: server.documents().shown.policy.clone(),
        receipt: String::new(),
    })
}

/// The seal key and the TLS key, which are two: each half of an agent holds its own.
pub(super) fn requested_keys(seal_csr: &str, tls_csr: &str) -> Result<(Digest, Digest), Refusal> {
    let seal_key = ca::requested_key(seal_csr)?;
    let tls_key = ca::requested_key(tls_csr)?;
    if seal_key == tls_key {
        let why = "The seal key is the TLS key. Make one in each half of the agent.";
        return Err(Refusal::Unacceptable(why.into()));
    }
    Ok((seal_key, tls_key))
}

pub(crate) fn check_facts(host: &HostFacts) -> Result<(), Refusal> {
    let texts = [&host.hostname, &host.system, &host.agent_version];
    match texts.iter().all(|text| text.len() <= MAX_FACT_BYTES) {
        true => Ok(()),
        false => Err(Refusal::Malformed(
            "the host says too much of itself".into(),
        )),
    }
}

pub(super) fn tls_chain(
    server: &Server,
    agent: AgentId,
    csr: &str,
    now: Instant,
) -> Result<String, Refusal> {
    let leaf = server.issuing.sign_agent_tls(agent, csr, now.seconds)?;
    Ok(leaf + server.issuing.certificate_pem())
}

pub(super) fn seal_chain(
    server: &Server,
    agent: AgentId,
    csr: &str,
    now: Instant,
) -> Result<String, Refusal> {
    let leaf = server.issuing.sign_agent_seal(agent, csr, now.seconds)?;
    Ok(leaf + server.issuing.certificate_pem())
}

/// `POST /v1/agent/renew`.
pub(crate) async fn renew(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Message(asked): Message<RenewRequest>,
) -> Answer {
    let (agent, now) = (caller.agent()?, Instant::now());
    let mut response = RenewResponse {
        v: VERSION,
        tls_chain: None,
        seal_chain: None,
    };
    if server.index.is_cloned(agent.id).await? && !is_for_its_own_key(&asked, agent.key)? {
        return Err(Refusal::Cloned);
    }
    let (mut tls_key, mut seal) = (None, None);
    if let Some(csr) = &asked.tls_csr {
        let key = ca::requested_key(csr)?;
        if agent.ended && key != agent.key {
            let why = "The certificate has ended, so only its own key is certified again. Send a request for that key.";
            return Err(Refusal::Unacceptable(why.into()));
        }
        tls_key = Some(key);
        response.tls_chain = Some(tls_chain(&server, agent.id, csr, now)?);
    }
    if let Some(envelope) = &asked.seal_csr {
        let new = renewed_seal(&server, agent.id, envelope, now).await?;
        response.seal_chain = Some(new.chain.clone());
        seal = Some(new);
    }
    if tls_key.is_none() && seal.is_none() {
        return Err(Refusal::Malformed("nothing is asked for".into()));
    }
    let action = Action::Renewed {
        agent: agent.id,
        seal_key: seal.as_ref().map(|s| s.key_sha256),
        tls_key,
    };
    server.custody.log(action).await?;
    if let Some(seal) = seal {
        let agent = agent.id;
        let change = AgentChange::Seal { agent, seal };
        server.change(Change::Agent(change)).await?;
    }
    json(&response)
}

/// Whether nothing but the connection's own TLS key is to be certified: what a cloned identity needs to deliver.
fn is_for_its_own_key(asked: &RenewRequest, own: Digest) -> Result<bool, Refusal> {
    match (&asked.tls_csr, &asked.seal_csr) {
        (Some(csr), None) => Ok(ca::requested_key(csr)? == own),
        _ => Ok(false),
    }
}

/// A certificate for the key that the present seal key asks for.
async fn renewed_seal(
    server: &Server,
    agent: AgentId,
    envelope: &str,
    now: Instant,
) -> Result<SealKey, Refusal> {
    let envelope = Envelope::parse(envelope.as_bytes())
        .map_err(|e| Refusal::Malformed(format!("the seal's request: {e}")))?;
    // Not the newest alone: an agent that never got its answer still holds the one before.
    let held = seal_keys(server, agent).await?;
    let asked = SealRequest::open(&envelope, agent, &held)?;
    let key_sha256 = ca::requested_key(&asked.csr)?;
    if held.len() >= MAX_SEAL_KEYS && held.iter().all(|key| key.key_id() != key_sha256) {
        let why = "This agent has had too many seal keys. Renew the certificate of the one that it has, or enrol the host anew.";
        return Err(Refusal::Conflict(why));
    }
    Ok(SealKey {
        key_sha256,
        chain: seal_chain(server, agent, &asked.csr, now)?,
    })
}

/// The seal keys that the agent had, the one in use first.
///
/// # Errors
/// The index failed or a row is damaged.
pub(super) async fn seal_keys(server: &Server, agent: AgentId) -> Result<Vec<PublicKey>, Refusal> {
    let chains = server.index.seal_chains(agent).await?;
    let key = |chain: &String| -> Result<PublicKey, Refusal> {
        let der = seal::certificates_from_pem(chain).map_err(Refusal::failed)?;
        let der =
            rustls::pki_types::CertificateDer::from(der.into_iter().next().unwrap_or_default());
        let leaf = webpki::EndEntityCert::try_from(&der).map_err(Refusal::failed)?;
        PublicKey::from_spki_der(&leaf.subject_public_key_info()).map_err(Refusal::failed)
    };
    chains.iter().map(key).collect()
}
