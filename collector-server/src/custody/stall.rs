//! For tests: holds the custody log's writer up before what it writes next, as a slow disk would.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use evidence::{
    custody::event::{Action, Event},
    instant::Instant,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Custody;

/// Where the writer passes before each append.
#[derive(Clone, Default)]
pub(super) struct Stall {
    gate: Arc<Mutex<()>>,
    is_met: Arc<AtomicBool>,
}

impl Stall {
    pub(super) async fn pass(&self) {
        self.is_met.store(true, Ordering::SeqCst);
        drop(self.gate.lock().await);
        self.is_met.store(false, Ordering::SeqCst);
    }
}

/// Nothing is written until it is dropped.
pub(crate) struct Stalled {
    stall: Stall,
    _shut: OwnedMutexGuard<()>,
}

impl Stalled {
    /// Whether something waits to be written.
    pub(crate) fn is_met(&self) -> bool {
        self.stall.is_met.load(Ordering::SeqCst)
    }
}

impl Custody {
    /// A leaf comes into the file and is recorded nowhere, as when the disk fills up in between.
    pub(crate) fn append_alone(&self, action: Action) {
        let envelope = Event::sign(action, Instant::now(), &self.time_key).unwrap();
        self.shared.append(&[envelope.to_json().unwrap()]).unwrap();
    }

    /// Holds the writer up.
    pub(crate) async fn stall(&self) -> Stalled {
        let stall = self.shared.stall.clone();
        let shut = Arc::clone(&stall.gate).lock_owned().await;
        Stalled { stall, _shut: shut }
    }
}
