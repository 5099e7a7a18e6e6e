//! What the courier tells `fieldseal-agent status`, through a small file that it replaces while it runs.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant as Moment},
};

use evidence::{ids::AgentId, instant::Instant};
use serde::{Deserialize, Serialize};

use super::{
    disk::{self, DiskError, failed},
    errors::Errors,
    folder::Folder,
};
use crate::platform::{program::Use, sandbox::Walls, socket::Wake};

/// The file is far shorter.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// How the courier fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The file's format.
    pub v: u64,
    /// Who this host is enrolled as.
    pub agent: AgentId,
    /// The server.
    pub server: String,
    /// Whether a proxy stands between; its address may hold a password and is not told.
    pub proxy: bool,
    /// When the server last answered as it should.
    pub last_contact: Option<Instant>,
    /// What last went wrong and is not over.
    pub last_error: Option<LastError>,
    /// The last errors, those that are over among them; of the runs before, too.
    #[serde(default)]
    pub errors: Errors,
    /// Since when the server says that this agent was revoked.
    pub revoked: Option<Instant>,
    /// Sealed parts that wait for delivery.
    pub parts_waiting: u32,
    /// Their bytes.
    pub bytes_waiting: u64,
    /// Parts delivered since the courier began.
    pub parts_delivered: u64,
    /// Pieces of live logs that were dropped since then: they are no evidence, and the archive has their lines.
    #[serde(default)]
    pub log_pieces_dropped: u64,
    /// When the TLS certificate ends.
    pub certificate_ends: Option<Instant>,
    /// The walls around the reader, once it has told them.
    #[serde(default)]
    pub reader_walls: Option<Walls>,
    /// The walls around the courier.
    #[serde(default)]
    pub courier_walls: Option<Walls>,
    /// What both halves have used in the last day, or since they began, and the most memory that each held.
    #[serde(default)]
    pub used: Option<Use>,
    /// The clock beside the server's, as it was last looked at.
    #[serde(default)]
    pub clock: Option<ClockSeen>,
}

/// This host's clock beside the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSeen {
    /// When, by this host's clock.
    pub time: Instant,
    /// By how much it was ahead; below zero, behind.
    pub ahead_ms: i64,
}

/// What went wrong, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// When.
    pub time: Instant,
    /// What, for people.
    pub text: String,
}

impl Status {
    /// An error is met; says whether it did not stand already.
    pub(super) fn met(&mut self, text: &str, way: bool, now: Instant) -> bool {
        self.last_error = Some(LastError {
            time: now,
            text: text.to_owned(),
        });
        self.errors.met(text, way, now)
    }

    /// The server has answered; says whether another error stands now, or none.
    pub(super) fn answered(&mut self, now: Instant) -> bool {
        self.last_contact = Some(now);
        self.errors.answered(now);
        let standing = self.standing();
        let before = std::mem::replace(&mut self.last_error, standing);
        before != self.last_error
    }

    /// Takes up what the run before has met.
    pub(super) fn take_up(&mut self, errors: Errors) {
        self.errors = errors;
        self.last_error = self.standing();
    }

    fn standing(&self) -> Option<LastError> {
        let error = self.errors.standing()?;
        Some(LastError {
            time: error.last,
            text: error.text.clone(),
        })
    }
}

/// Reads the status that a courier has left; none where none has run yet.
///
/// # Errors
/// The file can't be read.
pub fn read(state_dir: &Path) -> Result<Option<Status>, DiskError> {
    read_in(&Folder::below(state_dir))
}

pub(super) fn read_in(folder: &Folder) -> Result<Option<Status>, DiskError> {
    let path = folder.status();
    match disk::read_capped(&path, FILE_BYTES_MAX) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| failed("read", &path)(e.into())),
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The file is written anew no more often than this.
const PAUSE: Duration = Duration::from_millis(500);

/// Keeps the status, and the file when it is told to.
#[derive(Debug)]
pub(super) struct Board {
    now: Mutex<(Status, Written)>,
    wake: Arc<Wake>,
}

/// How the file fares.
#[derive(Debug, Default)]
struct Written {
    is_current: bool,
    is_failing: bool,
    last: Option<Moment>,
}

impl Board {
    /// `wake` is who flushes.
    pub(super) fn new(status: Status, wake: Arc<Wake>) -> Self {
        Self {
            now: Mutex::new((status, Written::default())),
            wake,
        }
    }

    /// Changes what is told; gives what `change` gives.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Status) -> R) -> R {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let given = change(&mut now.0);
        now.1.is_current = false;
        self.wake.rouse();
        given
    }

    /// Whether the reader has told all that it tells at its start.
    pub(super) fn is_whole(&self) -> bool {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.0.reader_walls.is_some() && now.0.used.is_some()
    }

    /// All of it, as it is now.
    pub(super) fn told(&self) -> Status {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.0.clone()
    }

    /// Writes the file where something changed, or says when that is due; a status that can't be written is no reason
    /// to stop delivering.
    pub(super) fn flush(&self, folder: &Folder) -> Option<Duration> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.1.is_current {
            return None;
        }
        let since = now.1.last.map(|last| last.elapsed());
        let left = since.and_then(|since| PAUSE.checked_sub(since));
        if left.is_none() {
            // Told once: on a full disk it fails with each change.
            now.1 = Written {
                is_failing: Self::write(&now.0, folder, !now.1.is_failing),
                is_current: true,
                last: Some(Moment::now()),
            };
        }
        left
    }

    /// The same at the end, when there is no later.
    pub(super) fn finish(&self, folder: &Folder) {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        Self::write(&now.0, folder, true);
    }

    /// Says whether it failed.
    fn write(status: &Status, folder: &Folder, is_told: bool) -> bool {
        let written = serde_json::to_vec_pretty(status)
            .map_err(|e| failed("written", &folder.status())(e.into()))
            .and_then(|json| disk::write_whole(&folder.status(), &json, false));
        if let Err(error) = &written
            && is_told
        {
            tracing::warn!(error = %error, "the status file can't be written");
        }
        written.is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_can_be_read_by_another_process() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(read(state.path()).unwrap(), None);
        let folder = Folder::below(state.path());
        folder.make().unwrap();
        let status = Status {
            v: 1,
            agent: AgentId::from_bytes([1; 16]),
            server: "https://s".into(),
            proxy: false,
            last_contact: None,
            last_error: None,
            errors: Errors::default(),
            revoked: None,
            parts_waiting: 0,
            bytes_waiting: 0,
            parts_delivered: 0,
            log_pieces_dropped: 0,
            certificate_ends: None,
            reader_walls: None,
            courier_walls: None,
            used: None,
            clock: None,
        };
        let board = Board::new(status, Arc::new(Wake::new().unwrap()));
        board.change(|s| s.parts_waiting = 3);
        board.flush(&folder);
        assert_eq!(read(state.path()).unwrap().unwrap().parts_waiting, 3);
    }
}
