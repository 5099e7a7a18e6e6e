//! A watch at work: what it is to look at, and what it has seen when a capture asks.
//!
//! The system's events come in on a thread of their library and are only noted there; an `eye::Eye` on a thread of ours
//! makes sense of them. Whoever asks here waits for neither.

mod ear;
mod eye;
mod field;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant as Moment},
};

use evidence::{
    capture::{Blind, Changed},
    instant::Instant,
};

use self::{ear::Ear, eye::Eye};
use super::pending::Pending;
use crate::files::{OpenError, Stat, open::open_parent, resolve};

/// What is watched.
#[derive(Debug)]
pub struct Watched {
    /// Where the host's tree begins.
    pub root: PathBuf,
    /// Folders of the agent itself: nothing there is looked at.
    pub own: Vec<PathBuf>,
    /// Files and folders of the host.
    pub paths: Vec<PathBuf>,
    /// How long it must be quiet.
    pub settle: Duration,
    /// What changed since then, by the host's clock, counts.
    pub since: Instant,
    /// Whether the agent was away since then.
    pub is_again: bool,
    /// The host's clock.
    pub clock: fn() -> Instant,
}

/// See the module. It ends when dropped.
#[derive(Debug)]
pub struct Watching {
    shared: Arc<Shared>,
}

/// What a capture takes.
#[derive(Debug)]
pub struct Taken {
    /// What changed.
    pub changes: Vec<Changed>,
    /// When something may have been missed.
    pub blind: Vec<Blind>,
    /// Everything that happened before then, by the host's clock, was taken; none where some of it is left.
    pub looked: Option<Instant>,
}

/// What the threads of a watch have in common.
#[derive(Debug)]
struct Shared {
    watched: Watched,
    pending: Mutex<Pending>,
    ear: Ear,
    is_over: AtomicBool,
    /// Whether the eye has looked at everything for the first time.
    is_ready: AtomicBool,
}

impl Watching {
    /// Begins to watch.
    ///
    /// # Errors
    /// The system has no thread, or none of its means to watch.
    pub fn start(watched: Watched) -> io::Result<Self> {
        let (ear, heard) = Ear::new(watched.clock, watched.since);
        let shared = Arc::new(Shared {
            pending: Mutex::new(Pending::new(watched.settle)),
            watched,
            ear,
            is_over: AtomicBool::new(false),
            is_ready: AtomicBool::new(false),
        });
        let eye = Eye::open(Arc::clone(&shared), heard).map_err(io::Error::other)?;
        let named = thread::Builder::new().name("watch".to_owned());
        named.spawn(move || eye.watch())?;
        Ok(Self { shared })
    }

    /// Whether there is something to capture, and it is quiet or has waited for too long.
    pub fn is_due(&self, now: Moment) -> bool {
        self.shared.pending().is_due(now)
    }

    /// Whether everything was looked at for the first time.
    pub fn is_ready(&self) -> bool {
        self.shared.is_ready.load(Ordering::Acquire)
    }

    /// Leaves to the next capture what this one does not tell, since it is none.
    pub fn tell_later(&self, blind: &[Blind]) {
        let mut pending = self.shared.pending();
        for one in blind {
            pending.blind(one.from, one.until, &one.why);
        }
    }

    /// What has changed and was not taken before.
    pub fn take(&self, now: Moment) -> Taken {
        let shared = &self.shared;
        let looked = (shared.watched.clock)();
        let taken = shared.pending().take(now, |path| shared.is_there(path));
        if let Some(since) = taken.look_since {
            shared.ear.lose(since, "more changed at once than is kept");
        }
        Taken {
            changes: taken.changes,
            blind: taken.blind,
            looked: (!taken.leaves_some && taken.look_since.is_none()).then_some(looked),
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// What is at `path`, links of it not followed.
    fn look(&self, path: &Path) -> Result<Stat, OpenError> {
        let (folder, name) = open_parent(&self.watched.root, path)?;
        folder.look(&name)
    }

    fn is_there(&self, path: &Path) -> bool {
        let own = resolve(&self.watched.root, path);
        own.is_ok_and(|own| self.look(&own).is_ok())
    }
}

#[cfg(test)]
mod tests;
