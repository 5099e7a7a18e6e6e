//! The progress line: on standard error, and only where a person looks at it.

use std::io::{self, IsTerminal as _, Write as _};

/// Numbers and artifacts' names, never contents.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
    last: Option<std::time::Instant>,
    dirty: bool,
}

impl Progress {
    /// Shows itself when standard error is a terminal.
    pub fn on_terminal() -> Self {
        Self {
            shown: io::stderr().is_terminal(),
            last: None,
            dirty: false,
        }
    }

    /// Never shows itself.
    pub const fn silent() -> Self {
        Self {
            shown: false,
            last: None,
            dirty: false,
        }
    }

    /// Says where the run is; at most ten times a second.
    pub fn tell(&mut self, artifact: &str, records: u64, files: u64, bytes: u64) {
        let soon = |at: std::time::Instant| at.elapsed().as_millis() < 100;
        if !self.shown || self.last.is_some_and(soon) {
            return;
        }
        self.last = Some(std::time::Instant::now());
        self.dirty = true;
        let mib = bytes / (1024 * 1024);
        // A terminal that went away must not end the collection.
        let _ = write!(
            io::stderr(),
            "\r\x1b[2K{artifact}: {records} records, {files} files, {mib} MiB"
        );
    }

    /// Clears the line.
    pub fn clear(&mut self) {
        if self.dirty {
            let _ = write!(io::stderr(), "\r\x1b[2K");
            self.dirty = false;
        }
    }
}
