//! Enrolment's network half: a TLS key and two requests go to the server with the token, and two certificates come back.
//!
//! The reader judges the answer. The courier's own half counts only after the reader has said that it keeps the other.

use std::{
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use evidence::{ids::AgentId, instant::Instant as WallTime};
use protocol::{
    enrolment::{EnrolRequest, EnrolResponse, HostFacts},
    messages::MAX_MESSAGE_BYTES,
};

use super::{
    disk::{self, DiskError, failed},
    folder::{Folder, FolderError, SPOOL_QUOTA_BYTES, Settings, Version},
    http::{Access, AccessError, Client, HttpError},
    pause::Backoff,
    tls::{self, Identity, TlsError},
};
use crate::link::{FromReader, FromSpool, Link, LinkError, VERSION};
use crate::platform::handle::{AsFd as _, OwnedFd};

/// No token or root certificate is longer.
const TEXT_BYTES_MAX: u64 = 64 * 1024;

/// What enrolment was told.
#[derive(Debug, Clone)]
pub struct EnrolArgs {
    /// The server: `https://HOST[:PORT]`.
    pub server: String,
    /// An HTTP proxy: `http://[USER:PASSWORD@]HOST:PORT`.
    pub proxy: Option<String>,
    /// The deployment's trust folder, with `root.crt`.
    pub trust_dir: PathBuf,
    /// The deployment token's envelope, as JSON text.
    pub token: String,
    /// The agent's state folder; the courier's own is made below it.
    pub state_dir: PathBuf,
    /// How long a server that can't be reached, or is too busy, is tried again.
    pub wait: Duration,
}

/// Why the host is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// It is already.
    #[error(
        "this host is enrolled already: {0} exists. Remove the state folder first if it shall become another agent; what waits there undelivered is lost with it."
    )]
    AlreadyEnrolled(PathBuf),
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
    /// The server was not reached, or refuses.
    #[error("the server did not enrol this host.")]
    Server(#[source] HttpError),
}

/// Enrols this host: `socket` leads to a reader that has begun to enrol as well.
///
/// # Errors
/// Nothing is kept then, and the reader was told why.
pub fn run(args: EnrolArgs, socket: OwnedFd) -> Result<AgentId, EnrolError> {
    let mut link = Link::new(socket);
    // The greeting first: a reader that finds nobody there would never hear why.
    let outcome = greet(&mut link).and_then(|()| enrol(&args, &mut link));
    if let Err(error) = &outcome
        && !matches!(error, EnrolError::Reader(_))
    {
        let text = told(error);
        // The reader may be gone already; then there is nobody to tell.
        let _ = link.send(&FromSpool::Failed { text }, None);
    }
    outcome
}

fn told(error: &EnrolError) -> String {
    match error {
        EnrolError::Server(cause) => format!("{error} {}", cause.chain()),
        other => other.to_string(),
    }
}

fn enrol(args: &EnrolArgs, link: &mut Link) -> Result<AgentId, EnrolError> {
    let folder = Folder::below(&args.state_dir);
    if folder.is_enrolled() {
        return Err(EnrolError::AlreadyEnrolled(folder.settings_path()));
    }
    let _held = folder.lock()?;
    let root_pem = root(&args.trust_dir)?;
    let access = Access {
        server: &args.server,
        proxy: args.proxy.as_deref(),
        root_pem: &root_pem,
        identity: None,
    };
    let client = Client::new(access)?;
    // Only a reader that is not enrolled asks: from here an earlier half of ours may be replaced.
    let (seal_csr, host) = asked(link)?;
    let key_pem = tls::new_key()?;
    let request = EnrolRequest {
        v: 1,
        token: args.token.clone(),
        tls_csr: tls::request(&key_pem)?,
        seal_csr,
        host,
    };
    let (body, answer) = ask(&client, &request, args.wait).map_err(EnrolError::Server)?;
    let identity = Identity {
        key_pem,
        chain_pem: answer.tls_chain,
    };
    tls::check(&identity, answer.agent, &root_pem, WallTime::now())?;
    folder.prepare(
        &settings(args, answer.agent),
        &root_pem,
        &identity.key_pem,
        &identity.chain_pem,
    )?;
    let handed = disk::nameless(&folder.spool(), &body)?;
    link.send(&FromSpool::Enrolled {}, Some(handed.as_fd()))?;
    kept(link, answer.agent)?;
    folder.confirm()?;
    Ok(answer.agent)
}

fn root(trust_dir: &Path) -> Result<String, EnrolError> {
    let path = trust_dir.join("root.crt");
    let bytes = disk::read_capped(&path, TEXT_BYTES_MAX)?;
    let wrong = |e| failed("read", &path)(io::Error::new(io::ErrorKind::InvalidData, e));
    Ok(String::from_utf8(bytes).map_err(wrong)?)
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

fn greet(link: &mut Link) -> Result<(), EnrolError> {
    match hear(link)? {
        FromReader::Hello { v: VERSION, .. } => {}
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

/// Asks until there is an answer, or `wait` is over.
fn ask(
    client: &Client,
    request: &EnrolRequest,
    wait: Duration,
) -> Result<(Vec<u8>, EnrolResponse), HttpError> {
    let until = Instant::now() + wait;
    let mut backoff = Backoff::default();
    loop {
        let error = match ask_once(client, request) {
            Err(Missed::MayPass(error)) => error,
            Err(Missed::ForGood(error)) => return Err(error),
            Ok(answer) => return Ok(answer),
        };
        let pause = backoff.next(error.retry());
        if Instant::now() + pause >= until {
            return Err(error);
        }
        tracing::warn!(error = error.chain(), "not enrolled yet; it is tried again");
        thread::sleep(pause);
    }
}

/// Why there was no answer.
enum Missed {
    /// The server may be there soon.
    MayPass(HttpError),
    /// The next try would end as this one did, or the token may be used up by it.
    ForGood(HttpError),
}

fn ask_once(client: &Client, request: &EnrolRequest) -> Result<(Vec<u8>, EnrolResponse), Missed> {
    let is_busy = |error: &HttpError| matches!(error.status(), Some(429 | 503));
    // First something that may be asked as often as one likes: a token is not used up by a line that breaks.
    client
        .get("/v1/trust", MAX_MESSAGE_BYTES)
        .map_err(
            |error| match is_busy(&error) || matches!(error, HttpError::Network(_)) {
                true => Missed::MayPass(error),
                false => Missed::ForGood(error),
            },
        )?;
    let answer = client.post("/v1/enrol", request, MAX_MESSAGE_BYTES);
    let answer = answer.map_err(|error| match is_busy(&error) {
        true => Missed::MayPass(error),
        false => Missed::ForGood(error),
    })?;
    let message = answer.message("answer to the enrolment");
    Ok((answer.body, message.map_err(Missed::ForGood)?))
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
