//! Between the service and the run: whether the run's limits hold it back, and whether another collection wants its place
//! meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};

/// See the module.
#[derive(Debug, Default)]
pub struct Way {
    is_held: AtomicBool,
    is_wanted: AtomicBool,
}

impl Way {
    /// The run tells whether it is held.
    pub fn hold(&self, is_held: bool) {
        self.is_held.store(is_held, Ordering::Relaxed);
    }

    /// Whether it was held when it last told.
    pub fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    /// The service tells whether another collection can begin in the place of a run that is held.
    pub fn want(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Ordering::Relaxed);
    }

    /// Whether one can.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }
}
