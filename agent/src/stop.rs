//! Told to stop: one flag, set by the thread that waits for the signals.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{exit::Exit, platform::signals::Signals};

/// So long a half that was told to stop may take to seal what is open; who started it waits a little longer.
pub const FAREWELL: Duration = Duration::from_secs(8);

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_told: AtomicBool,
    is_at_work: AtomicBool,
}

impl Stop {
    /// Waits for a signal in a thread of its own, and then calls `end`; every thread from here on leaves signals to
    /// that one.
    ///
    /// # Errors
    /// The system has no such signals, or no thread.
    pub fn on_signals(end: impl FnOnce(&Self, &Signals) + Send + 'static) -> io::Result<Self> {
        let signals = Signals::block()?;
        let stop = Self::default();
        let told = stop.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                if signals.wait_for_stop().is_ok() {
                    told.tell();
                    end(&told, &signals);
                }
            })?;
        Ok(stop)
    }

    /// Sets the flag.
    pub fn tell(&self) {
        self.0.is_told.store(true, Ordering::Release);
    }

    /// Whether to stop.
    pub fn is_told(&self) -> bool {
        self.0.is_told.load(Ordering::Acquire)
    }

    /// The flag itself, for who looks at it.
    pub fn flag(&self) -> &AtomicBool {
        &self.0.is_told
    }

    /// From here on there may be something to seal.
    pub fn begins_work(&self) {
        self.0.is_at_work.store(true, Ordering::Release);
    }

    /// Ends the process: at once where nothing can be open, else when the time to seal it is over.
    pub fn end_process(&self) {
        if self.0.is_at_work.load(Ordering::Acquire) {
            thread::sleep(FAREWELL);
        }
        std::process::exit(i32::from(Exit::Complete.number()));
    }
}
