//! Enrolment's other half: a seal key is made that never leaves, and what the server answers is judged.
//!
//! What is believed is what came with the installation (`brought`): the root document is pinned by its digest, the root
//! certificate is where others must lead. The courier and the server in between are not. Before anything is asked for,
//! the policy must show that admins made what was brought: so that a false file uses up no token. The seal key is kept
//! before it is asked for, so that whoever asks again asks for the same agent.

use std::path::{Path, PathBuf};

use evidence::{
    custody::{
        event::{Action, Event, EventError},
        receipt::{Receipt, ReceiptError},
    },
    envelope::{Envelope, EnvelopeError},
    ids::{AgentId, HostId},
    instant::Instant,
    keys::{KeyError, SigningKey},
    seal::{SealError, Trust as Anchors},
};
use protocol::{
    enrolment::EnrolResponse, error::DocumentError, name::NotAName, policy::Policy, version,
};

use super::{
    conversation::read_handed,
    renewal::{self, RenewalError},
    state::{Candidate, Change, Enrolment, Given, State, StateError},
    trust::{self, First, TrustError},
};
use crate::brought::{Brought, Source, SourceError};
use crate::host;
use crate::link::{FromReader, FromSpool, Link, LinkError, VERSION};
use crate::platform::handle::OwnedFd;

/// Why the host is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// It is already.
    #[error(
        "this host is enrolled already, as {0}. Stop the agent and empty its folders `reader` and `courier` first if it shall become another; what waits there undelivered is lost with them."
    )]
    AlreadyEnrolled(AgentId),
    /// The state can't be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// What was brought can't be used.
    #[error(transparent)]
    Brought(#[from] SourceError),
    /// The server's roots and policy do not follow from the pinned root.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A document does not hold.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The root certificate is none.
    #[error(transparent)]
    Certificate(#[from] SealError),
    /// The seal certificate is not ours.
    #[error(transparent)]
    Seal(#[from] RenewalError),
    /// The custody log does not tell of this enrolment.
    #[error("the custody receipt does not prove this enrolment: {0}. Do not use this server.")]
    Receipt(String),
    /// The key can't be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The other half failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The system calls itself by no name of ours.
    #[error(transparent)]
    Name(#[from] NotAName),
}

impl From<EnvelopeError> for EnrolError {
    fn from(error: EnvelopeError) -> Self {
        Self::Document(error.into())
    }
}

impl From<ReceiptError> for EnrolError {
    fn from(error: ReceiptError) -> Self {
        Self::Receipt(error.to_string())
    }
}

impl From<EventError> for EnrolError {
    fn from(error: EventError) -> Self {
        Self::Receipt(error.to_string())
    }
}

/// What enrolment by hand was told.
#[derive(Debug, Clone)]
pub struct Args {
    /// The reader's own state folder.
    pub folder: PathBuf,
    /// What was brought.
    pub from: Source,
    /// Where the host's tree begins.
    pub root: PathBuf,
}

/// Enrols this host with the courier at the other end of `socket`, who ends the conversation at the first failure.
///
/// # Errors
/// Nothing but the new key is kept then, and the courier was told why.
pub fn run(args: &Args, socket: OwnedFd, clock: fn() -> Instant) -> Result<AgentId, EnrolError> {
    let mut link = Link::new(socket);
    let opened = args.from.read().map_err(EnrolError::from);
    let opened = opened.and_then(|brought| Ok((brought, open(&args.folder)?)));
    match opened {
        Ok((brought, mut state)) => {
            let asking = Asking {
                state: &mut state,
                brought: &brought,
                root: &args.root,
                clock,
            };
            asking.run(&mut link, |_| ())
        }
        Err(error) => {
            let text = error.to_string();
            // It may be gone already; then there is nobody to tell.
            let _ = link.send(&FromReader::Failed { text }, None);
            Err(error)
        }
    }
}

fn open(folder: &Path) -> Result<State, EnrolError> {
    let state = State::open(folder)?;
    match &state.known().enrolment {
        Some(enrolment) => Err(EnrolError::AlreadyEnrolled(enrolment.agent)),
        None => Ok(state),
    }
}

/// A host that nobody has enrolled, and what it has for that.
#[derive(Debug)]
pub struct Asking<'a> {
    /// The reader's state, open and without an enrolment.
    pub state: &'a mut State,
    /// What was brought.
    pub brought: &'a Brought,
    /// Where the host's tree begins.
    pub root: &'a Path,
    /// The host's clock.
    pub clock: fn() -> Instant,
}

impl Asking<'_> {
    /// Answers the courier until an enrolment is kept; whatever does not hold is told to it and to `refused`, and the
    /// courier may come with something better.
    ///
    /// # Errors
    /// The courier ended the conversation, or the state can't be kept.
    pub fn run(
        mut self,
        link: &mut Link,
        mut refused: impl FnMut(&EnrolError),
    ) -> Result<AgentId, EnrolError> {
        greet(link)?;
        let (mut trusted, mut last) = (None, None);
        loop {
            let heard = match hear(link) {
                Ok(heard) => heard,
                Err(error) => return Err(last.unwrap_or_else(|| error.into())),
            };
            let outcome = match (heard, &trusted) {
                ((FromSpool::Trust {}, Some(handed)), _) => {
                    let message = read_handed(handed)?;
                    let judged = judge_trust(&message, self.brought, (self.clock)());
                    judged.and_then(|first| {
                        trusted = Some(first);
                        self.ask(link)
                    })
                }
                ((FromSpool::Enrolled {}, Some(handed)), Some(first)) => {
                    match self.keep(&read_handed(handed)?, first) {
                        Ok(agent) => return self.kept(link, agent),
                        Err(error) => Err(error),
                    }
                }
                ((FromSpool::Cloned {}, None), _) => new_candidate(self.state),
                ((other, _), _) => return Err(out_of_turn(&other).into()),
            };
            match outcome {
                Ok(()) => {}
                Err(error @ (EnrolError::Link(_) | EnrolError::State(_))) => return Err(error),
                Err(error) => {
                    refused(&error);
                    let text = error.to_string();
                    link.send(&FromReader::Failed { text }, None)?;
                    last = Some(error);
                }
            }
        }
    }

    fn ask(&mut self, link: &mut Link) -> Result<(), EnrolError> {
        let key = candidate(self.state)?;
        let host_id = self.state.known().host;
        let request = FromReader::SealRequest {
            csr_pem: renewal::csr(&key)?,
            host: host::facts(&host::identity(self.root), host_id)?,
        };
        Ok(link.send(&request, None)?)
    }

    fn keep(&mut self, message: &[u8], first: &First) -> Result<AgentId, EnrolError> {
        let answer: EnrolResponse = version::read_message(message, "answer to the enrolment")?;
        let agent = answer.agent;
        let key = candidate(self.state)?;
        let host = self.state.known().host;
        let change = judge(answer, (self.brought, first), &key, host, (self.clock)())?;
        self.state.keep(change)?;
        Ok(agent)
    }

    fn kept(&self, link: &mut Link, agent: AgentId) -> Result<AgentId, EnrolError> {
        let root_sha256 = self.brought.root_sha256;
        link.send(&FromReader::EnrolmentKept { agent, root_sha256 }, None)?;
        Ok(agent)
    }
}

/// Judges a server's `Trust` message by the pinned root, and what was brought by the policy in it.
///
/// # Errors
/// The server's documents do not follow from the root, or no admin of the policy made what was brought, or it has ended.
pub fn judge_trust(message: &[u8], brought: &Brought, now: Instant) -> Result<First, EnrolError> {
    let first = trust::first(message, &brought.root)?;
    brought.check(&first.policy, now)?;
    Ok(first)
}

/// The seal key to ask with: the one that was made before, or one that is in the state from here on.
///
/// # Errors
/// It can't be made or kept.
pub fn candidate(state: &mut State) -> Result<SigningKey, EnrolError> {
    if let Some(candidate) = &state.known().candidate {
        return Ok(candidate.key()?);
    }
    let (candidate, host) = (Candidate::new()?, state.known().host);
    let key = candidate.key()?;
    state.keep(Change::EnrolmentBegun { candidate, host })?;
    Ok(key)
}

/// Another key and another host id: those before were copied to another machine before they were certified.
fn new_candidate(state: &mut State) -> Result<(), EnrolError> {
    let candidate = Candidate::new()?;
    let host = HostId::random().map_err(KeyError::Random)?;
    Ok(state.keep(Change::EnrolmentBegun { candidate, host })?)
}

fn greet(link: &mut Link) -> Result<(), LinkError> {
    let hello = FromReader::Hello {
        v: VERSION,
        policy_version: 0,
        agent: None,
    };
    link.send(&hello, None)?;
    match hear(link)? {
        (FromSpool::Welcome { v: VERSION }, None) => Ok(()),
        (other, _) => Err(out_of_turn(&other)),
    }
}

fn hear(link: &mut Link) -> Result<(FromSpool, Option<OwnedFd>), LinkError> {
    match link.receive::<FromSpool>()? {
        Some((FromSpool::Failed { text }, _)) => Err(LinkError::Failed(text)),
        Some(heard) => Ok(heard),
        None => Err(LinkError::Closed),
    }
}

fn out_of_turn(said: &FromSpool) -> LinkError {
    LinkError::OutOfTurn(format!("{said:?}").chars().take(80).collect())
}

/// The enrolment, where everything in the answer follows from what is pinned.
fn judge(
    answer: EnrolResponse,
    (brought, first): (&Brought, &First),
    key: &SigningKey,
    host: HostId,
    now: Instant,
) -> Result<Change, EnrolError> {
    let policy = Policy::open(&Envelope::parse(answer.policy.as_bytes())?, &first.root)?;
    brought.check(&policy, now)?;
    let anchors = Anchors::from_pem(&brought.root_certificate)?;
    let (chain, window) =
        renewal::judge_chain(&answer.seal_chain, &anchors, answer.agent, key, now)?;
    judge_receipt(&answer, &policy, key, host)?;
    let given = Given {
        agent: answer.agent,
        chain,
        window: (window.from, window.until),
        root_certificate: brought.root_certificate.clone(),
        root_sha256: brought.root_sha256,
        token: brought.token.clone(),
        limits: brought.limits(),
        receipt: answer.receipt,
        enrolled: now,
    };
    Ok(Change::Enrolled {
        enrolment: Enrolment::new(key, given)?,
        root: brought.root_text.clone(),
        more_roots: first.more_roots.clone(),
        policy: answer.policy,
    })
}

/// The log must name this very key: else another could be made for the agent's name in silence.
fn judge_receipt(
    answer: &EnrolResponse,
    policy: &Policy,
    key: &SigningKey,
    host: HostId,
) -> Result<(), EnrolError> {
    match logged(answer, policy)? {
        Action::Enrolled {
            agent,
            host: named,
            seal_key,
            forked_from: None,
            ..
        } if agent == answer.agent && named == host && seal_key == key.public().key_id() => Ok(()),
        _ => Err(elsewhere()),
    }
}

/// What the log says, by the server's word and the log's proof, of what was answered.
///
/// # Errors
/// The receipt does not prove it.
pub(super) fn logged(answer: &EnrolResponse, policy: &Policy) -> Result<Action, EnrolError> {
    let proven = Receipt::parse(answer.receipt.as_bytes())?.verify(&policy.log_key()?)?;
    let (envelope, event) = Event::read(&proven.leaf)?;
    if envelope.verify(&policy.time_keys).is_empty() {
        let what = "the leaf is not signed by the server";
        return Err(EnrolError::Receipt(what.to_owned()));
    }
    Ok(event.action)
}

/// The log tells of another enrolment.
pub(super) fn elsewhere() -> EnrolError {
    EnrolError::Receipt("the leaf tells of something else".to_owned())
}

#[cfg(test)]
mod tests;
