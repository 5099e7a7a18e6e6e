//! What the courier's threads share: the client, the way to the reader, the bell, and that it must end.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use evidence::{ids::AgentId, instant::Instant as WallTime};
use zeroize::Zeroizing;

use super::{
    disk::DiskError,
    errors::Errors,
    folder::{Folder, FolderError, Settings},
    http::{Access, AccessError, Client, HttpError},
    pause::{Backoff, Bell, Retry},
    spare::Spare,
    spool::SpoolError,
    status::{self, Board, Status},
    tls::{self, Identity, TlsError},
    used::Used,
};
use crate::link::{FromSpool, Link, LinkError};
use crate::platform::{
    handle::{AsFd as _, OwnedFd},
    program::Use,
    sandbox::Walls,
    socket::Wake,
};

/// Why the courier ended.
#[derive(Debug, thiserror::Error)]
pub enum CourierError {
    /// Its folder can't be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The spool failed, or the reader asked it for what can't be.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The reader is gone or broke the protocol.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// An address or a certificate can't be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Its key or certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The reader gave up.
    #[error("the agent's other half gave up: {0}")]
    Reader(String),
    /// Very many orders have come.
    #[error(
        "very many orders have come. Both halves begin anew; look why the server hands out so many."
    )]
    TooManyOrders,
    /// The reader is another agent from now on, and so is the courier once it begins anew.
    #[error(
        "this host is agent {0} from now on, in the place of a cloned identity. Both halves begin anew as it."
    )]
    Forked(AgentId),
    /// The reader is another agent than the courier.
    #[error(
        "the agent's other half is {0}, and this one is not. The state folder is put together from two; restore one of them whole, or enrol the host anew."
    )]
    OtherAgent(AgentId),
    /// The reader is not enrolled, and the courier is.
    #[error(
        "the agent's other half is not enrolled, and this one is, as {0}. The state folder is put together from two; restore one of them whole, or remove it and enrol the host anew."
    )]
    ReaderNotEnrolled(AgentId),
    /// No random numbers.
    #[error("the system gave no random numbers. Try again once it has fully started.")]
    Random(#[from] getrandom::Error),
    /// A thread can't be started, or one of them has died.
    #[error("the courier could not go on working. Start the agent again.")]
    Thread,
}

/// What the threads share.
pub(super) struct Context {
    pub(super) folder: Folder,
    pub(super) settings: Settings,
    pub(super) board: Board,
    /// Room for small files on a full disk.
    pub(super) spare: Spare,
    used: Mutex<Used>,
    pub(super) bell: Bell,
    /// Wakes the thread that hears the reader.
    pub(super) wake: Arc<Wake>,
    /// The version of the policy that the reader holds.
    pub(super) policy_version: AtomicU64,
    /// Which start of the agent this is: random, and in no file, so that a copy of the files is another.
    pub(super) instance: String,
    /// The identity that the reader has kept in the place of a cloned one.
    kept: Mutex<Option<AgentId>>,
    /// Of how many sealed parts it is known that none can be delivered now: each is at the server, or the server will
    /// not have it.
    settled: Mutex<Option<u64>>,
    /// How many parts were sealed, and how many delivered, since the courier began.
    sealed: AtomicU64,
    delivered: AtomicU64,
    root_pem: String,
    key_pem: Zeroizing<String>,
    /// The client, and the one before it, which may still have a question open.
    clients: RwLock<(Client, Option<Client>)>,
    /// Counts how often the server was heard of after it had been silent, or will see us anew.
    returns: AtomicU64,
    is_silent: AtomicBool,
    mouth: Mutex<Link>,
    outcome: Mutex<Option<Result<(), CourierError>>>,
    has_ended: AtomicBool,
    /// Whether the reader fills parts of a collection now.
    is_collecting: AtomicBool,
}

impl Context {
    /// Reads the folder; `socket` is where the reader is spoken to.
    pub(super) fn new(
        folder: Folder,
        settings: Settings,
        socket: OwnedFd,
    ) -> Result<Self, CourierError> {
        let root_pem = folder.text(&folder.root())?;
        let key_pem = folder.secret(&folder.key(settings.agent))?;
        let chain_pem = folder.text(&folder.chain(settings.agent))?;
        let ends = tls::window(&chain_pem)?.until;
        let identity = Identity {
            key_pem: key_pem.clone(),
            chain_pem,
        };
        let client = client(&settings, &root_pem, &identity)?;
        let wake = Arc::new(Wake::new().map_err(LinkError::Socket)?);
        let mut first = first_status(&settings, ends);
        // A file that can't be read has nothing to tell.
        if let Ok(Some(before)) = status::read_in(&folder) {
            first.take_up(before.errors);
        }
        let board = Board::new(first, Arc::clone(&wake));
        let spare = Spare::keep(&folder.spool());
        Ok(Self {
            folder,
            spare,
            settings,
            board,
            used: Mutex::default(),
            bell: Bell::default(),
            wake,
            policy_version: AtomicU64::new(0),
            instance: instance()?,
            kept: Mutex::default(),
            settled: Mutex::default(),
            sealed: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            root_pem,
            key_pem,
            clients: RwLock::new((client, None)),
            returns: AtomicU64::new(0),
            is_silent: AtomicBool::new(false),
            mouth: Mutex::new(Link::new(socket)),
            outcome: Mutex::new(None),
            has_ended: AtomicBool::new(false),
            is_collecting: AtomicBool::new(false),
        })
    }

    /// A collection has begun or ended.
    pub(super) fn set_collecting(&self, is_collecting: bool) {
        self.is_collecting.store(is_collecting, Ordering::Release);
    }

    /// Whether the reader may have parts open, which it seals when it is told to stop.
    pub(super) fn is_collecting(&self) -> bool {
        self.is_collecting.load(Ordering::Acquire)
    }

    /// The reader has told what it has used of the host.
    pub(super) fn used(&self, reader: Use) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let both = used.note(Instant::now(), reader, Use::own());
        self.board.change(|s| s.used = Some(both));
        self.bell.ring();
    }

    /// The reader has told the walls around it.
    pub(super) fn walled(&self, walls: Walls) {
        self.board.change(|s| s.reader_walls = Some(walls));
        self.bell.ring();
    }

    /// A part is durable in the spool.
    pub(super) fn part_sealed(&self) {
        self.sealed.fetch_add(1, Ordering::AcqRel);
        self.bell.ring();
    }

    /// How many parts were sealed so far.
    pub(super) fn sealed(&self) -> u64 {
        self.sealed.load(Ordering::Acquire)
    }

    /// A part is at the server, and gone here.
    pub(super) fn part_delivered(&self) {
        self.delivered.fetch_add(1, Ordering::AcqRel);
        self.board.change(|s| s.parts_delivered += 1);
        self.bell.ring();
    }

    /// How many parts were delivered so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }

    /// The spool was looked at when so many parts had been sealed; none where something in it can be delivered.
    pub(super) fn set_settled(&self, sealed: Option<u64>) {
        *self.settled.lock().unwrap_or_else(PoisonError::into_inner) = sealed;
        self.bell.ring();
    }

    /// Whether nothing in the spool can be delivered now: it is empty, or the server will not have what is left.
    pub(super) fn is_settled(&self) -> bool {
        let settled = *self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled == Some(self.sealed())
    }

    /// The reader has kept another identity.
    pub(super) fn fork_kept(&self, agent: AgentId) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(agent);
        self.bell.ring();
    }

    /// Which identity the reader has kept.
    pub(super) fn kept(&self) -> Option<AgentId> {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The deployment's root certificate.
    pub(super) fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The client to ask with now.
    pub(super) fn client(&self) -> Client {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        clients.0.clone()
    }

    /// The courier's TLS key.
    pub(super) fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Takes a new certificate into use, once it has been found good and is durable.
    pub(super) fn take_certificate(&self, chain_pem: String) -> Result<(), CourierError> {
        let identity = Identity {
            key_pem: self.key_pem.clone(),
            chain_pem,
        };
        let now = WallTime::now();
        tls::check(&identity, self.settings.agent, &self.root_pem, now)?;
        let client = client(&self.settings, &self.root_pem, &identity)?;
        self.spare.write_durable(
            &self.folder.chain(self.settings.agent),
            identity.chain_pem.as_bytes(),
        )?;
        let ends = tls::window(&identity.chain_pem)?.until;
        self.board.change(|s| s.certificate_ends = Some(ends));
        {
            let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::replace(&mut clients.0, client);
            clients.1 = Some(before);
        }
        self.returns.fetch_add(1, Ordering::AcqRel);
        self.bell.ring();
        if self.has_ended() {
            // The end may have come between the two clients.
            self.shut_down();
        }
        Ok(())
    }

    /// Says something to the reader.
    pub(super) fn say(
        &self,
        message: &FromSpool,
        handed: Option<&OwnedFd>,
    ) -> Result<(), CourierError> {
        let mut mouth = self.mouth.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(mouth.send(message, handed.map(|fd| fd.as_fd()))?)
    }

    /// Hands the reader a long document, in a file without a name.
    pub(super) fn hand_over(&self, message: &FromSpool, bytes: &[u8]) -> Result<(), CourierError> {
        // One at a time: they pass through the same name.
        let mut mouth = self.mouth.lock().unwrap_or_else(PoisonError::into_inner);
        let handed = self.spare.nameless(&self.folder.spool(), bytes)?;
        Ok(mouth.send(message, Some(handed.as_fd()))?)
    }

    /// The server answered as it should.
    pub(super) fn heard(&self) {
        let is_well_again = self.board.change(|s| s.answered(WallTime::now()));
        let is_back = self.is_silent.swap(false, Ordering::AcqRel);
        if is_back {
            self.returns.fetch_add(1, Ordering::AcqRel);
        }
        if is_back || is_well_again {
            self.bell.ring();
        }
    }

    /// The server answered as it does an agent that is not revoked.
    pub(super) fn welcome(&self) {
        self.heard();
        self.board.change(|s| s.revoked = None);
    }

    /// A request failed; it is told where it is shown, and once in the log for each new reason.
    pub(super) fn missed(&self, what: &'static str, error: &HttpError) {
        if self.has_ended() {
            return;
        }
        if matches!(
            error,
            HttpError::Network(_) | HttpError::NoTls(_) | HttpError::Certificate { .. }
        ) {
            self.is_silent.store(true, Ordering::Release);
        }
        if matches!(error, HttpError::Revoked { .. }) {
            self.board.change(|s| {
                s.revoked.get_or_insert_with(WallTime::now);
            });
        }
        self.met(what, &error.chain(), true);
    }

    /// Something else went wrong that does not end the courier: no answer of the server ends it.
    pub(super) fn note(&self, what: &'static str, text: &str) {
        self.met(what, text, false);
    }

    fn met(&self, what: &'static str, text: &str, way: bool) {
        let is_new = self.board.change(|s| s.met(text, way, WallTime::now()));
        if is_new {
            tracing::warn!(error = text, "{what}");
            self.bell.ring();
        }
    }

    /// Rests before the next try; ends early when the courier must end, or the server is back and was the reason.
    pub(super) fn rest(&self, backoff: &mut Backoff, retry: Retry) {
        let before = self.returns.load(Ordering::Acquire);
        let deadline = Instant::now() + backoff.next(retry);
        let may_end = matches!(retry, Retry::WhenBack | Retry::Reconnect);
        self.wait_until(Some(deadline), || {
            may_end && self.returns.load(Ordering::Acquire) != before
        });
    }

    /// Waits until `is_due`, the deadline, or the end.
    pub(super) fn wait_until(&self, deadline: Option<Instant>, is_due: impl Fn() -> bool) {
        loop {
            let seen = self.bell.count();
            let is_late = deadline.is_some_and(|d| Instant::now() >= d);
            if is_late || self.has_ended() || is_due() {
                return;
            }
            self.bell.wait(seen, deadline);
        }
    }

    /// Whether the threads must end.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Ends every thread; the first outcome is the courier's.
    pub(super) fn end(&self, outcome: Result<(), CourierError>) {
        self.outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(outcome);
        self.has_ended.store(true, Ordering::Release);
        self.shut_down();
        self.bell.ring();
        self.wake.rouse();
    }

    fn shut_down(&self) {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        clients.0.shut_down();
        clients.1.iter().for_each(Client::shut_down);
    }

    /// How it ended.
    pub(super) fn into_outcome(self) -> Result<(), CourierError> {
        let outcome = self
            .outcome
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .unwrap_or(Err(CourierError::Thread));
        if let Err(error) = &outcome
            && !matches!(error, CourierError::Link(_) | CourierError::Forked(_))
        {
            let text = error.to_string();
            // The next run has it from there.
            self.board.change(|s| s.met(&text, false, WallTime::now()));
        }
        self.board.finish(&self.folder);
        outcome
    }
}

fn instance() -> Result<String, getrandom::Error> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)?;
    Ok(HEXLOWER.encode(&id))
}

fn client(
    settings: &Settings,
    root_pem: &str,
    identity: &Identity,
) -> Result<Client, CourierError> {
    let access = Access {
        server: &settings.server,
        proxy: settings.proxy.as_deref(),
        root_pem,
        identity: Some(identity),
    };
    Ok(Client::new(access)?)
}

fn first_status(settings: &Settings, ends: WallTime) -> Status {
    Status {
        v: 1,
        agent: settings.agent,
        server: settings.server.clone(),
        proxy: settings.proxy.is_some(),
        last_contact: None,
        last_error: None,
        errors: Errors::default(),
        revoked: None,
        parts_waiting: 0,
        bytes_waiting: 0,
        parts_delivered: 0,
        log_pieces_dropped: 0,
        certificate_ends: Some(ends),
        reader_walls: None,
        courier_walls: None,
        used: None,
        clock: None,
    }
}

/// Reads what the folder says, and claims it.
pub(super) fn open(
    state_dir: &Path,
    socket: OwnedFd,
) -> Result<(Context, std::fs::File), CourierError> {
    let folder = Folder::below(state_dir);
    let settings = folder.settings()?;
    let held = folder.lock()?;
    folder.make()?;
    folder.tidy(settings.agent)?;
    Ok((Context::new(folder, settings, socket)?, held))
}

/// How long the reader may leave a message unread before the conversation counts as dead.
pub(super) const DEAF: Duration = Duration::from_secs(30);
