//! Enrolment's network half: a TLS key and two requests go to the server with the token, and two certificates come back.
//!
//! The reader judges what the server shows and what it answers. The courier's own half counts only after the reader has
//! said that it keeps the other. By hand it is tried for a while; where nobody is at the host, for ever, with pauses that
//! grow and one line an hour.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use evidence::{digest::Digest, ids::AgentId, instant::Instant as WallTime};
use protocol::{
    admission::EnrolmentHeld,
    enrolment::{EnrolRequest, EnrolResponse, HostFacts},
    messages::MAX_MESSAGE_BYTES,
};
use zeroize::Zeroizing;

use super::{
    disk::{self, DiskError},
    folder::{Folder, FolderError, SPOOL_QUOTA_BYTES, Settings, Version},
    http::{self, Access, AccessError, Client, HttpError},
    pause::{Backoff, Retry},
    tls::{self, Identity, TlsError},
};
use crate::link::{FromReader, FromSpool, Link, LinkError, VERSION};
use crate::platform::handle::{AsFd as _, OwnedFd};
use crate::seldom::Seldom;

/// No pause between two tries to enrol is longer, unless the server asks for it.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// What enrolment was told.
#[derive(Debug, Clone)]
pub struct EnrolArgs {
    /// The server: `https://HOST[:PORT]`.
    pub server: String,
    /// An HTTP proxy: `http://[USER:PASSWORD@]HOST:PORT`.
    pub proxy: Option<String>,
    /// The deployment's root certificate, PEM.
    pub root_pem: String,
    /// The deployment token's envelope, as JSON text.
    pub token: String,
    /// The agent's state folder; the courier's own is made below it.
    pub state_dir: PathBuf,
    /// How long it is tried.
    pub wait: Wait,
}

impl EnrolArgs {
    /// The TCP ports that it is asked through.
    ///
    /// # Errors
    /// An address can't be used.
    pub fn ports(&self) -> Result<Vec<u16>, EnrolError> {
        Ok(http::way(&self.server, self.proxy.as_deref())?.ports())
    }
}

/// How long it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// So long a server that can't be reached, is too busy, or holds the host for approval; somebody looks on.
    For(Duration),
    /// Whatever comes, since nobody is there to try again.
    ForEver,
}

/// Why the host is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// It is already.
    #[error(
        "this host is enrolled already: {0} exists. Stop the agent and empty its folders `courier` and `reader` first if it shall become another; what waits there undelivered is lost with them."
    )]
    AlreadyEnrolled(PathBuf),
    /// The other half has kept an enrolment that was cut off here.
    #[error(
        "the agent's other half is enrolled as {0} already. This half takes that up as it begins anew."
    )]
    TakenUp(AgentId),
    /// The other half is enrolled, and this one was not.
    #[error(
        "the agent's other half is enrolled as {0}, and this one is not. The state folder is put together from two; restore one of them whole, or remove it and enrol the host anew."
    )]
    Halved(AgentId),
    /// The folder can't be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The reader is gone or broke the protocol.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The reader refuses.
    #[error("the agent's other half did not keep the enrolment: {0}")]
    Reader(String),
    /// An address or a certificate can't be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The key or the new certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server holds it.
    #[error(
        "an admin must let this host in first. Ask one to look at `fieldseal hosts pending` for its seal key {seal_key}, and to approve it."
    )]
    Held {
        /// The key by which the admin knows it.
        seal_key: Digest,
        /// When to ask again.
        ask_again: Duration,
    },
    /// The server was not reached, or refuses.
    #[error("the server did not enrol this host.")]
    Server(#[source] HttpError),
}

impl EnrolError {
    /// Whether the next try may end in another way.
    fn may_pass(&self, wait: Wait) -> bool {
        match (self, wait) {
            (Self::Server(error), Wait::For(_)) => {
                matches!(
                    error,
                    HttpError::Network(_) | HttpError::NoTls(_) | HttpError::Cloned { .. }
                ) || matches!(error.status(), Some(429 | 503))
            }
            (Self::Held { .. }, _) => true,
            (Self::Server(_) | Self::Reader(_) | Self::Tls(_), Wait::ForEver) => true,
            _ => false,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Server(error) => error.retry(),
            _ => Retry::Later,
        }
    }

    /// The error and what caused it in one line.
    fn told(&self) -> String {
        match self {
            Self::Server(cause) => format!("{self} {}", cause.chain()),
            other => other.to_string(),
        }
    }
}

/// Enrols this host: `socket` leads to a reader that has begun to enrol as well.
///
/// # Errors
/// Nothing but the new key is kept then, and the reader was told why.
pub fn run(args: EnrolArgs, socket: OwnedFd) -> Result<AgentId, EnrolError> {
    let mut link = Link::new(socket);
    // The greeting first: a reader that finds nobody there would never hear why.
    let outcome = greet(&args.state_dir, &mut link).and_then(|()| enrol(&args, &mut link));
    if let Err(error) = &outcome
        && !matches!(error, EnrolError::Reader(_))
    {
        let text = error.told();
        // The reader may be gone already; then there is nobody to tell.
        let _ = link.send(&FromSpool::Failed { text }, None);
    }
    outcome
}

fn enrol(args: &EnrolArgs, link: &mut Link) -> Result<AgentId, EnrolError> {
    let folder = Folder::below(&args.state_dir);
    if folder.is_enrolled() {
        return Err(EnrolError::AlreadyEnrolled(folder.settings_path()));
    }
    let _held = folder.lock()?;
    folder.make()?;
    let access = Access {
        server: &args.server,
        proxy: args.proxy.as_deref(),
        root_pem: &args.root_pem,
        identity: None,
    };
    let client = Client::new(access)?;
    let mut tries = Tries::new(args.wait);
    loop {
        let key_pem = key(&folder)?;
        let error = match attempt(args, &folder, (&client, &key_pem), link) {
            Err(error) => error,
            Ok(agent) => return Ok(agent),
        };
        if matches!(error, EnrolError::Server(HttpError::Cloned { .. })) {
            // The keys were copied to another machine before they were certified: both halves make others.
            disk::remove(&folder.enrol_key())?;
            link.send(&FromSpool::Cloned {}, None)?;
        }
        let Some(pause) = tries.pause(&error) else {
            return Err(error);
        };
        rest(link, pause)?;
    }
}

/// The tries so far, and what is said of them.
struct Tries {
    wait: Wait,
    began: Instant,
    count: u32,
    backoff: Backoff,
    seldom: Seldom,
}

impl Tries {
    fn new(wait: Wait) -> Self {
        Self {
            wait,
            began: Instant::now(),
            count: 0,
            backoff: Backoff::up_to(PAUSE_MAX),
            seldom: Seldom::default(),
        }
    }

    /// How long to rest after this failure; none where it is the end.
    fn pause(&mut self, error: &EnrolError) -> Option<Duration> {
        self.count += 1;
        let pause = match error {
            // How long is the server's to say: it knows for how long it holds how many.
            EnrolError::Held { ask_again, .. } => {
                Backoff::default().next(Retry::NotBefore(*ask_again))
            }
            error => self.backoff.next(error.retry()),
        };
        let is_late = match self.wait {
            Wait::For(wait) => self.began.elapsed() + pause >= wait,
            Wait::ForEver => false,
        };
        if is_late || !error.may_pass(self.wait) {
            return None;
        }
        let is_due = match (self.wait, error) {
            (Wait::For(_), _) => true,
            // The reader says by itself what it refuses.
            (Wait::ForEver, EnrolError::Reader(_)) => false,
            (Wait::ForEver, _) => self.seldom.is_due(Instant::now()),
        };
        if is_due {
            tracing::warn!(
                error = error.told(),
                tries = self.count,
                "this host is not enrolled yet. It is tried again; `fieldseal-agent doctor` looks for what is wrong"
            );
        }
        Some(pause)
    }
}

/// Rests; a reader that goes meanwhile ends it.
fn rest(link: &mut Link, pause: Duration) -> Result<(), EnrolError> {
    match link.has_something_within(pause)? {
        true => Err(out_of_turn(&hear(link)?)),
        false => Ok(()),
    }
}

/// One try: the server shows whom it obeys, the reader asks, the server answers, the reader keeps.
fn attempt(
    args: &EnrolArgs,
    folder: &Folder,
    (client, key_pem): (&Client, &Zeroizing<String>),
    link: &mut Link,
) -> Result<AgentId, EnrolError> {
    let shown = client.get("/v1/trust", MAX_MESSAGE_BYTES);
    let shown = shown.map_err(EnrolError::Server)?;
    let handed = disk::nameless(&folder.spool(), &shown.body)?;
    link.send(&FromSpool::Trust {}, Some(handed.as_fd()))?;
    let (seal_csr, host) = asked(link)?;
    let request = EnrolRequest {
        v: 1,
        token: args.token.clone(),
        tls_csr: tls::request(key_pem)?,
        seal_csr,
        host,
    };
    let (body, answer) = ask(client, &request)?;
    let identity = Identity {
        key_pem: key_pem.clone(),
        chain_pem: answer.tls_chain,
    };
    tls::check(&identity, answer.agent, &args.root_pem, WallTime::now())?;
    folder.prepare(
        &settings(args, answer.agent),
        &args.root_pem,
        &identity.key_pem,
        &identity.chain_pem,
    )?;
    let handed = disk::nameless(&folder.spool(), &body)?;
    link.send(&FromSpool::Enrolled {}, Some(handed.as_fd()))?;
    if let Err(error) = kept(link, answer.agent) {
        if matches!(error, EnrolError::Reader(_)) {
            folder.withdraw()?;
        }
        return Err(error);
    }
    folder.confirm()?;
    disk::remove(&folder.enrol_key())?;
    Ok(answer.agent)
}

/// The TLS key to ask with: the one that was made before, or one that is on the disk from here on.
fn key(folder: &Folder) -> Result<Zeroizing<String>, EnrolError> {
    let path = folder.enrol_key();
    if path.exists() {
        return Ok(folder.secret(&path)?);
    }
    let key_pem = tls::new_key()?;
    disk::write_durable(&path, key_pem.as_bytes())?;
    Ok(key_pem)
}

fn settings(args: &EnrolArgs, agent: AgentId) -> Settings {
    Settings {
        v: Version,
        agent,
        server: args.server.clone(),
        proxy: args.proxy.clone(),
        spool_quota_bytes: SPOOL_QUOTA_BYTES,
        min_free_bytes: None,
    }
}

fn greet(state_dir: &Path, link: &mut Link) -> Result<(), EnrolError> {
    match hear(link)? {
        FromReader::Hello {
            v: VERSION,
            agent: None,
            ..
        } => {}
        FromReader::Hello {
            v: VERSION,
            agent: Some(agent),
            ..
        } => {
            return Err(match Folder::below(state_dir).take_up(agent)? {
                true => EnrolError::TakenUp(agent),
                false => EnrolError::Halved(agent),
            });
        }
        other => return Err(out_of_turn(&other)),
    }
    Ok(link.send(&FromSpool::Welcome { v: VERSION }, None)?)
}

fn asked(link: &mut Link) -> Result<(String, HostFacts), EnrolError> {
    match hear(link)? {
        FromReader::SealRequest { csr_pem, host } => Ok((csr_pem, host)),
        other => Err(out_of_turn(&other)),
    }
}

fn ask(client: &Client, request: &EnrolRequest) -> Result<(Vec<u8>, EnrolResponse), EnrolError> {
    let answer = client.post("/v1/enrol", request, MAX_MESSAGE_BYTES);
    let answer = answer.map_err(EnrolError::Server)?;
    if answer.status == 202 {
        let held: EnrolmentHeld = answer
            .message("answer to an enrolment that is held")
            .map_err(EnrolError::Server)?;
        let seconds = answer.number("retry-after").unwrap_or(60);
        return Err(EnrolError::Held {
            seal_key: held.seal_key,
            ask_again: Duration::from_secs(seconds).min(PAUSE_MAX),
        });
    }
    let message = answer.message("answer to the enrolment");
    let message = message.map_err(EnrolError::Server)?;
    Ok((answer.body, message))
}

fn kept(link: &mut Link, agent: AgentId) -> Result<(), EnrolError> {
    match hear(link)? {
        FromReader::EnrolmentKept { agent: kept, .. } if kept == agent => Ok(()),
        other => Err(out_of_turn(&other)),
    }
}

fn hear(link: &mut Link) -> Result<FromReader, EnrolError> {
    match link.receive::<FromReader>()? {
        None => Err(LinkError::Closed.into()),
        Some((FromReader::Failed { text }, _)) => Err(EnrolError::Reader(text)),
        Some((message, None)) => Ok(message),
        Some((_, Some(_))) => Err(LinkError::OutOfTurn("a descriptor".into()).into()),
    }
}

fn out_of_turn(message: &FromReader) -> EnrolError {
    LinkError::OutOfTurn(super::service::name_of(message).into()).into()
}
