//! Where the system's events come in: noted at once, in a queue with a bound, and nothing else.

use std::{
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::Instant as Moment,
};

use evidence::instant::Instant;
use notify::{
    Event, EventKind,
    event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode},
};

/// Events that wait for the eye.
const QUEUE: usize = 16_384;

/// What the system says of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sign {
    /// A file is new.
    File,
    /// Something is new, or has come here: it may be a folder.
    New,
    /// It has another content, or its metadata changed.
    Changed,
    /// It is gone, or has another name.
    Gone,
    /// It has got its name from this one.
    Renamed(PathBuf),
}

/// One event.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) path: PathBuf,
    pub(super) sign: Sign,
    /// When, by the host's clock.
    pub(super) at: Instant,
    /// When, by a clock that nobody sets.
    pub(super) now: Moment,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ear {
    clock: fn() -> Instant,
    queue: SyncSender<Heard>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When all was heard for sure the last time.
    sure: Instant,
    /// Since when something may have been missed, and why.
    lost: Option<(Instant, String)>,
}

impl Ear {
    pub(super) fn new(clock: fn() -> Instant, since: Instant) -> (Self, Receiver<Heard>) {
        let (queue, heard) = sync_channel(QUEUE);
        let state = State {
            sure: since,
            lost: None,
        };
        let ear = Self {
            clock,
            queue,
            state: Mutex::new(state),
        };
        (ear, heard)
    }

    /// The system tells something.
    pub(super) fn hear(&self, told: notify::Result<Event>) {
        let event = match told {
            Ok(event) if event.need_rescan() => {
                return self.miss("the system's queue of events ran over");
            }
            Ok(event) => event,
            Err(error) => return self.miss(&format!("the system can't tell: {error}")),
        };
        let (at, now) = ((self.clock)(), Moment::now());
        for (path, sign) in signs(event) {
            let heard = Heard {
                path,
                sign,
                at,
                now,
            };
            match self.queue.try_send(heard) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    return self.miss("more happened at once than is noted");
                }
                // The watch is over.
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
        let mut state = self.state();
        if state.lost.is_none() {
            state.sure = at;
        }
    }

    fn miss(&self, why: &str) {
        let sure = self.state().sure;
        self.lose(sure, why);
    }

    /// Something since `since` may have been missed.
    pub(super) fn lose(&self, since: Instant, why: &str) {
        let mut state = self.state();
        match &mut state.lost {
            Some((from, _)) => *from = since.min(*from),
            none => *none = Some((since, why.to_owned())),
        }
    }

    /// Since when something may have been missed, and why: told once, and sure again from now on.
    pub(super) fn take_lost(&self) -> Option<(Instant, String)> {
        let mut state = self.state();
        let lost = state.lost.take();
        if lost.is_some() {
            state.sure = (self.clock)();
        }
        lost
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an event means for each of its paths; that a file was only read means nothing.
fn signs(event: Event) -> Vec<(PathBuf, Sign)> {
    let sign = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Sign::Changed,
        EventKind::Access(_) => return Vec::new(),
        EventKind::Create(CreateKind::File) => Sign::File,
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Sign::New,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => Sign::Gone,
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {
            let mut paths = event.paths.into_iter();
            return match (paths.next(), paths.next()) {
                (Some(from), Some(to)) => vec![(to, Sign::Renamed(from))],
                _ => Vec::new(),
            };
        }
        EventKind::Modify(_) | EventKind::Any | EventKind::Other => Sign::Changed,
    };
    let paths = event.paths.into_iter();
    paths.map(|path| (path, sign.clone())).collect()
}
