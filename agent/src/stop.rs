//! Told to stop: one flag, set by the thread that waits for the signals.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
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

#[derive(Default)]
struct Inner {
    is_told: AtomicBool,
    is_at_work: AtomicBool,
    /// Who waits for something else meanwhile, and must look up.
    waiting: Mutex<Vec<Box<dyn Fn() + Send>>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.is_told.load(Ordering::Acquire);
        f.debug_struct("Inner").field("is_told", &told).finish()
    }
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

    /// Sets the flag, and wakes who waits.
    pub fn tell(&self) {
        self.0.is_told.store(true, Ordering::Release);
        self.waiting().iter().for_each(|wake| wake());
    }

    /// Has `wake` called when it is told, or now where it was.
    pub fn when_told(&self, wake: impl Fn() + Send + 'static) {
        let mut waiting = self.waiting();
        if self.is_told() {
            wake();
        }
        waiting.push(Box::new(wake));
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Box<dyn Fn() + Send>>> {
        let waiting = self.0.waiting.lock();
        waiting.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether to stop.
    pub fn is_told(&self) -> bool {
        self.0.is_told.load(Ordering::Acquire)
    }

    /// From here on there may be something to seal.
    pub fn begins_work(&self) {
        self.0.is_at_work.store(true, Ordering::Release);
    }

    /// Whether there may be something to seal.
    pub fn is_at_work(&self) -> bool {
        self.0.is_at_work.load(Ordering::Acquire)
    }

    /// Ends the process: at once where nothing can be open, else when the time to seal it is over.
    pub fn end_process(&self) {
        if self.is_at_work() {
            thread::sleep(FAREWELL);
        }
        std::process::exit(i32::from(Exit::Complete.number()));
    }
}
