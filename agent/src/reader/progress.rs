//! The progress line: on standard error, and only where a person looks at it.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use evidence::gap::Reason;
use protocol::messages::Progress;

use super::{
    medium::Medium,
    task::{Position, Watch},
};
use crate::stop::Stop;

/// No line follows another sooner.
const PAUSE: Duration = Duration::from_millis(100);
const MIB: u64 = 1 << 20;

/// Follows a local collection: numbers and artifacts' names, never contents. It keeps no position, since a local
/// collection is not taken up again.
#[derive(Debug)]
pub struct Terminal {
    /// Where the output goes, where somebody looks.
    shown: Option<Medium>,
    stop: Stop,
    last: Mutex<Option<Instant>>,
}

impl Terminal {
    /// Shows itself, and the room left at `output`, when standard error is a terminal; ends the collection when told to
    /// `stop`.
    pub fn new(stop: Stop, output: &Path) -> Self {
        let is_looked_at = io::stderr().is_terminal();
        Self {
            shown: is_looked_at.then(|| Medium::watch(output.to_path_buf())),
            stop,
            last: Mutex::new(None),
        }
    }
}

impl Watch for Terminal {
    fn progress(&self, progress: &Progress) {
        let Some(medium) = &self.shown else {
            return;
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        *last = Some(Instant::now());
        let line = line(progress, medium.free_bytes());
        // A terminal that went away must not end the collection.
        let _ = write!(io::stderr(), "\r\x1b[2K{line}");
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

/// What is gathered now, how much there is of it, how long it still takes, and what room is left for it.
fn line(progress: &Progress, free_bytes: Option<u64>) -> String {
    let Progress {
        artifact,
        artifacts_done,
        artifacts_total,
        records,
        files,
        file_bytes,
        ..
    } = progress;
    let turn = (artifacts_done + 1).min(*artifacts_total);
    let mib = file_bytes / MIB;
    let rest = match progress.rest_words() {
        words if words.is_empty() => words,
        words => format!(", {words}"),
    };
    let room = free_bytes.map_or_else(String::new, |free| format!("; {} MiB free", free / MIB));
    format!(
        "{turn}/{artifacts_total} {artifact}: {records} records, {files} files, {mib} MiB{rest}{room}"
    )
}

#[cfg(test)]
mod tests {
    use protocol::messages::{Bound, Rest};

    use super::*;

    #[test]
    fn the_line_names_what_is_gathered_what_is_left_and_the_room_for_it() {
        let mut progress = Progress {
            artifact: "files".to_owned(),
            artifacts_done: 1,
            artifacts_total: 2,
            records: 7,
            files: 3,
            file_bytes: 5 * MIB,
            ..Progress::default()
        };
        let known = "2/2 files: 7 records, 3 files, 5 MiB";
        assert_eq!(line(&progress, None), known);
        progress.rest = Some(Rest {
            seconds: 40,
            bound: Bound::About,
        });
        let left = progress.rest.unwrap().words();
        let whole = format!("{known}, {left}; 12 MiB free");
        assert_eq!(line(&progress, Some(12 * MIB + 1)), whole);
        progress.artifacts_done = 2;
        assert!(line(&progress, None).starts_with("2/2 files"));
    }

    #[test]
    fn the_room_is_asked_beside_the_run_and_only_told_where_it_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let (here, nowhere) = (
            Medium::watch(folder.path().to_path_buf()),
            Medium::watch(folder.path().join("gone")),
        );
        while here.free_bytes().is_none() {
            std::thread::yield_now();
        }
        assert_eq!(nowhere.free_bytes(), None);
    }
}
