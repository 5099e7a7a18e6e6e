//! Enrolment without anybody at the host: by a deployment file, before a half begins its service.
//!
//! A host that is not enrolled and has no such file does nothing: it speaks to nobody, and ends in a way that no service
//! manager takes for a reason to start it again.

pub mod room;

use std::{
    path::{Path, PathBuf},
    time::Instant as Moment,
};

use evidence::{digest::Digest, instant::Instant};

use crate::{
    brought::{Brought, DEPLOYMENT, Source, SourceError},
    courier::{
        enrol::{self as network, EnrolArgs, Wait},
        folder::Folder,
    },
    halves::reader_folder,
    link::{Link, LinkError},
    platform::{
        handle::{AsFd as _, OwnedFd},
        journal::Journal,
    },
    reader::{
        enrol::{self, Asking, EnrolError},
        state::{State, StateError},
    },
    seldom::Seldom,
};

/// A half can't begin, or not yet.
#[derive(Debug, thiserror::Error)]
pub enum UnattendedError {
    /// Nobody has enrolled this host, and nothing is here to do it with.
    #[error(
        "this host is not enrolled, and there is no deployment file at {0}. Lay one there or run `fieldseal-agent enrol`, and then start the agent; until then it does nothing."
    )]
    NotEnrolled(PathBuf),
    /// The file can't be used, whoever the server is.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It names no server.
    #[error(
        "what was brought names no server. Have a deployment file made with `fieldseal-server deployment`."
    )]
    NotADeployment,
    /// The reader's half failed.
    #[error(transparent)]
    Reader(#[from] EnrolError),
    /// The courier's half failed.
    #[error(transparent)]
    Courier(#[from] network::EnrolError),
    /// The state can't be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The link can't be shared.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl UnattendedError {
    /// Whether a new start would end as this one did.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::NotEnrolled(_) | Self::Source(_) | Self::NotADeployment => true,
            Self::Courier(error) => matches!(
                error,
                network::EnrolError::Access(_) | network::EnrolError::Halved(_)
            ),
            Self::State(error) => error.is_permanent(),
            Self::Reader(_) | Self::Link(_) => false,
        }
    }
}

/// The file to enrol with where this host is not enrolled, or nothing where it is; looked at before anything is opened.
///
/// # Errors
/// It is not enrolled, and there is no file.
pub fn reader_source(
    state: &Path,
    given: Option<&Path>,
) -> Result<Option<Source>, UnattendedError> {
    match State::look(&reader_folder(state)) {
        Ok(known) if known.enrolment.is_some() => Ok(None),
        Ok(_) | Err(StateError::Missing(_)) => file(given).map(Some),
        Err(error) => Err(error.into()),
    }
}

/// The same for the courier.
///
/// # Errors
/// As for [`reader_source`].
pub fn courier_source(
    state: &Path,
    given: Option<&Path>,
) -> Result<Option<Source>, UnattendedError> {
    let folder = Folder::below(state);
    match (folder.is_enrolled(), file(given)) {
        (true, _) => Ok(None),
        // It was cut off after it was handed over; without a file the reader's word alone can tell.
        (false, Err(_)) if folder.may_be_enrolled() => Ok(None),
        (false, found) => found.map(Some),
    }
}

/// Where the file lies to enrol with: `given`, or where packages expect it.
///
/// # Errors
/// There is none.
pub fn file(given: Option<&Path>) -> Result<Source, UnattendedError> {
    let path = given.unwrap_or(Path::new(DEPLOYMENT)).to_path_buf();
    match path.try_exists() {
        Ok(false) => Err(UnattendedError::NotEnrolled(path)),
        // Where it can't be looked at, reading it says why.
        Ok(true) | Err(_) => Ok(Source::File(path)),
    }
}

/// Enrols the reader's half with the courier at the other end of `socket`, and says in the journal what came of it.
///
/// # Errors
/// The courier is gone, or the state can't be kept; both halves begin anew.
pub fn reader(
    state: &mut State,
    brought: &Brought,
    host_root: &Path,
    socket: &OwnedFd,
    journal: &Journal,
) -> Result<(), UnattendedError> {
    let root_sha256 = brought.root_sha256;
    let key = enrol::candidate(state)?.public().key_id();
    tell_start(journal, key, root_sha256);
    let asking = Asking {
        state,
        brought,
        root: host_root,
        clock: Instant::now,
    };
    let mut seldom = Seldom::default();
    let refused = |error: &EnrolError| {
        if seldom.is_due(Moment::now()) {
            journal.warning(&format!("this host is not enrolled: {error}"));
        }
    };
    let agent = asking.run(&mut Link::new(own(socket)?), refused)?;
    journal.notice(&format!(
        "this host was enrolled as {agent} by a deployment file; pinned root {root_sha256}"
    ));
    Ok(())
}

/// Whether a reader would believe a server's `Trust` message, and what was brought by it; why not, for people.
///
/// # Errors
/// It would not.
pub fn judge(brought: &Brought, message: &[u8], now: Instant) -> Result<(), String> {
    let judged = enrol::judge_trust(message, brought, now);
    judged.map(drop).map_err(|error| error.to_string())
}

/// Loud, and with the key by which an admin tells this host from others that wait for approval.
fn tell_start(journal: &Journal, key: Digest, root: Digest) {
    journal.notice(&format!(
        "this host is not enrolled and asks to be, by a deployment file; its seal key is {key}, the pinned root {root}"
    ));
}

/// What the courier asks with, read and made room for before the walls around it go up.
///
/// # Errors
/// The file can't be used, or the disk fails.
pub fn asking(state: &Path, source: &Source) -> Result<EnrolArgs, UnattendedError> {
    let brought = source.read()?;
    let (server, proxy) = brought.way().ok_or(UnattendedError::NotADeployment)?;
    let made = Folder::below(state).make();
    made.map_err(network::EnrolError::from)?;
    Ok(EnrolArgs {
        server: server.to_owned(),
        proxy: proxy.map(ToOwned::to_owned),
        root_pem: brought.root_certificate.clone(),
        token: brought.token.clone(),
        state_dir: state.to_path_buf(),
        wait: Wait::ForEver,
    })
}

/// Enrols the courier's half with the reader at the other end of `socket`, however long that takes.
///
/// # Errors
/// The reader is gone, or the disk fails; both halves begin anew.
pub fn courier(asking: EnrolArgs, socket: &OwnedFd) -> Result<(), UnattendedError> {
    let agent = network::run(asking, own(socket)?)?;
    tracing::info!(%agent, "this host was enrolled");
    Ok(())
}

fn own(socket: &OwnedFd) -> Result<OwnedFd, LinkError> {
    let own = socket.as_fd().try_clone_to_owned();
    own.map_err(LinkError::Socket)
}
