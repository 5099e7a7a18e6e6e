//! The progress line: on standard error, and only where a person looks at it.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use evidence::gap::Reason;
use protocol::messages::Progress;

use super::task::{Position, Watch};
use crate::stop::Stop;

/// No line follows another sooner.
const PAUSE: Duration = Duration::from_millis(100);

/// Follows a local collection: numbers and artifacts' names, never contents. It keeps no position, since a local
/// collection is not taken up again.
#[derive(Debug)]
pub struct Terminal {
    shown: bool,
    stop: Stop,
    last: Mutex<Option<Instant>>,
}

impl Terminal {
    /// Shows itself when standard error is a terminal; ends the collection when told to `stop`.
    pub fn new(stop: Stop) -> Self {
        Self {
            shown: io::stderr().is_terminal(),
            stop,
            last: Mutex::new(None),
        }
    }
}

impl Watch for Terminal {
    fn progress(&self, progress: &Progress) {
        if !self.shown {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        *last = Some(Instant::now());
        let Progress {
            artifact,
            records,
            files,
            file_bytes,
            rest,
            ..
        } = progress;
        let mib = file_bytes / (1024 * 1024);
        let rest = rest.map_or_else(String::new, |rest| format!(", {}", rest.words()));
        // A terminal that went away must not end the collection.
        let _ = write!(
            io::stderr(),
            "\r\x1b[2K{artifact}: {records} records, {files} files, {mib} MiB{rest}"
        );
    }

    fn durable(&self, _: &Position) -> Result<(), String> {
        Ok(())
    }

    fn stop(&self) -> Option<(Reason, String)> {
        let why = "it was told to stop by a signal (Ctrl-C, SIGTERM or SIGHUP)";
        let told = self.stop.is_told();
        told.then(|| (Reason::Interrupted, why.to_owned()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let last = self.last.get_mut().unwrap_or_else(PoisonError::into_inner);
        if last.is_some() {
            // Clears the line.
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}
