//! How much room is left where the output goes, asked beside the run: a stick that hangs must not hold up who draws.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crate::platform::disk;

const ASK_EVERY: Duration = Duration::from_secs(1);
/// The system did not say, or not yet.
const UNKNOWN: u64 = u64::MAX;

/// The room of one medium, as it was a second ago.
#[derive(Debug)]
pub(super) struct Medium(Arc<AtomicU64>);

impl Medium {
    /// Begins to ask where `place` lies, until this is dropped.
    pub(super) fn watch(place: PathBuf) -> Self {
        let free_bytes = Arc::new(AtomicU64::new(UNKNOWN));
        let told = Arc::downgrade(&free_bytes);
        // Where no thread can be had, nothing is shown.
        let _ = thread::Builder::new()
            .name("medium".to_owned())
            .spawn(move || ask(&place, &told));
        Self(free_bytes)
    }

    /// What is free for others than root, where that is known.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|free| *free != UNKNOWN)
    }
}

fn ask(place: &Path, told: &Weak<AtomicU64>) {
    loop {
        let free_bytes = disk::space(place).map_or(UNKNOWN, |space| space.free_bytes);
        match told.upgrade() {
            Some(told) => told.store(free_bytes, Ordering::Relaxed),
            None => return,
        }
        thread::sleep(ASK_EVERY);
    }
}
