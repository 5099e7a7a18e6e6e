//! Enrolment's other half: a seal key is made that never leaves, and what the server answers is judged.
//!
//! What is believed is the trust folder that came with the installation: `root.json` is pinned by its
//! digest, `root.crt` is where certificates must lead. The courier and the server in between are not.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use evidence::{
    custody::{
        event::{Action, Event, EventError},
        receipt::{Receipt, ReceiptError},
    },
    digest::Digest,
    envelope::{Envelope, EnvelopeError},
    ids::{AgentId, HostId},
    instant::Instant,
    keys::{KeyError, SigningKey},
    seal::{SealError, Trust as Anchors},
};
use protocol::{
    enrolment::{EnrolResponse, Token},
    error::DocumentError,
    name::NotAName,
    policy::Policy,
    root::Root,
    version,
};

use super::{
    conversation::read_handed,
    renewal::{self, RenewalError},
    state::{Change, Enrolment, Given, State, StateError},
};
use crate::host;
use crate::link::{FromReader, FromSpool, Link, LinkError, VERSION};
use crate::platform::handle::OwnedFd;

/// No file of a trust folder and no token is longer.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why the host is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// It is already.
    #[error(
        "this host is enrolled already, as {0}. Stop the agent and remove its state folder first if it shall become another."
    )]
    AlreadyEnrolled(AgentId),
    /// The state can't be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file can't be read.
    #[error(
        "{path} can't be read: {source}. Give the files that came from the server's administrator."
    )]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
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

/// What enrolment was told.
#[derive(Debug, Clone)]
pub struct Args {
    /// The reader's own state folder.
    pub folder: PathBuf,
    /// The deployment's trust folder, with `root.crt` and `root.json`.
    pub trust_dir: PathBuf,
    /// The deployment token's file.
    pub token: PathBuf,
    /// Where the host's tree begins.
    pub root: PathBuf,
}

/// Enrols this host with the courier at the other end of `socket`.
///
/// # Errors
/// Nothing is kept then, and the courier was told why.
pub fn run(args: &Args, socket: OwnedFd, clock: fn() -> Instant) -> Result<AgentId, EnrolError> {
    let mut link = Link::new(socket);
    let outcome = enrol(args, &mut link, clock);
    match &outcome {
        // Its own failures the other half knows.
        Ok(_) | Err(EnrolError::Link(_)) => {}
        Err(error) => {
            let text = error.to_string();
            // It may be gone already; then there is nobody to tell.
            let _ = link.send(&FromReader::Failed { text }, None);
        }
    }
    outcome
}

fn enrol(args: &Args, link: &mut Link, clock: fn() -> Instant) -> Result<AgentId, EnrolError> {
    let pinned = Pinned::read(args)?;
    let mut state = State::open(&args.folder)?;
    if let Some(enrolment) = &state.known().enrolment {
        return Err(EnrolError::AlreadyEnrolled(enrolment.agent));
    }
    greet(link)?;
    let key = SigningKey::generate()?;
    let host_id = state.known().host;
    let request = FromReader::SealRequest {
        csr_pem: renewal::csr(&key)?,
        host: host::facts(&host::identity(&args.root), host_id)?,
    };
    link.send(&request, None)?;
    let answer = answer(link)?;
    let agent = answer.agent;
    let root_sha256 = pinned.root_sha256;
    let change = judge(answer, pinned, &key, host_id, clock())?;
    state.keep(change)?;
    link.send(&FromReader::EnrolmentKept { agent, root_sha256 }, None)?;
    Ok(agent)
}

/// What came with the installation.
struct Pinned {
    root_text: String,
    root: Root,
    root_sha256: Digest,
    certificate_pem: String,
    token: String,
}

impl Pinned {
    fn read(args: &Args) -> Result<Self, EnrolError> {
        let root_text = read_text(&args.trust_dir.join("root.json"))?;
        let envelope = Envelope::parse(root_text.trim().as_bytes())?;
        Ok(Self {
            root: Root::open(&envelope)?,
            root_sha256: envelope.digest(),
            root_text: root_text.trim().to_owned(),
            certificate_pem: read_text(&args.trust_dir.join("root.crt"))?,
            token: read_text(&args.token)?.trim().to_owned(),
        })
    }
}

fn read_text(path: &Path) -> Result<String, EnrolError> {
    let failed = |source| EnrolError::File {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
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

fn answer(link: &mut Link) -> Result<EnrolResponse, EnrolError> {
    match hear(link)? {
        (FromSpool::Enrolled {}, Some(handed)) => {
            let bytes = read_handed(handed)?;
            Ok(version::read_message(&bytes, "answer to the enrolment")?)
        }
        (other, _) => Err(out_of_turn(&other).into()),
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
    pinned: Pinned,
    key: &SigningKey,
    host: HostId,
    now: Instant,
) -> Result<Change, EnrolError> {
    let policy = Policy::open(&Envelope::parse(answer.policy.as_bytes())?, &pinned.root)?;
    Token::open(&Envelope::parse(pinned.token.as_bytes())?, &policy, now)?;
    let anchors = Anchors::from_pem(&pinned.certificate_pem)?;
    let (chain, window) =
        renewal::judge_chain(&answer.seal_chain, &anchors, answer.agent, key, now)?;
    judge_receipt(&answer, &policy, key, host)?;
    let given = Given {
        agent: answer.agent,
        chain,
        window: (window.from, window.until),
        root_certificate: pinned.certificate_pem,
        root_sha256: pinned.root_sha256,
        token: pinned.token,
        receipt: answer.receipt,
        enrolled: now,
    };
    Ok(Change::Enrolled {
        enrolment: Enrolment::new(key, given)?,
        root: pinned.root_text,
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
