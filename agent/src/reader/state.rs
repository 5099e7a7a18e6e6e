//! The reader's one state file: opened once, appended to, made durable before anything is done on its word.
//!
//! `STATE/reader/state` holds the whole of what was known at the last start as its first record and every
//! [`Change`] since. A start writes the file anew (compaction) and puts it in the old one's place;
//! from then on the reader has a descriptor and needs no name. A record that was cut by a crash is
//! dropped and told: nothing was done on it. Any other broken record is damage and refused, since
//! what is forgotten might be an order that was used.

mod frame;
mod known;
mod recurring;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use self::frame::{Frame, Salt};
pub use self::known::{
    Candidate, Change, Ended, Enrolment, Fork, Given, Known, LogAlarm, Refused, Running,
    SavedPosition, encode_chain,
};
pub use self::recurring::{Begun, Recurring};
use crate::platform::{disk, private};

/// Room kept for what will be written until the next start, so that a full disk can't make the reader forget.
const ROOM_BYTES: u64 = 4 << 20;
/// No state is longer than what is kept of documents; a longer file is not ours.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// From here on the file grows no more: a start makes it short again.
const FULL_BYTES: u64 = 64 << 20;

/// The state can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file or folder failed.
    #[error("{path} can't be {what}. Check its rights and the free space.")]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another reader has it.
    #[error("another reader uses {0}. Stop it first, or name another folder with --state.")]
    InUse(PathBuf),
    /// There is none.
    #[error("{0} holds no agent. Enrol this host first (`fieldseal-agent enrol`).")]
    Missing(PathBuf),
    /// Bytes changed since they were written.
    #[error(
        "{path} is damaged at byte {at}. Restore the file, or remove the folder and enrol the host anew; orders of before can then be used again until they expire."
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        at: u64,
    },
    /// A record can't be put into JSON or is too long, which is a fault of ours.
    #[error("the state can't be written down. This is a fault of ours; please report it.")]
    Encoding,
    /// Somebody had it write very much.
    #[error("the state's file is full. Start the agent again, which makes it short.")]
    Full,
    /// The disk did not take it.
    #[error("the state can't be made durable. Make room on its disk and start the agent again.")]
    Write(#[source] io::Error),
    /// No salt.
    #[error("the system gave no random numbers. Try again once it has fully started.")]
    Random(#[from] getrandom::Error),
}

/// The state, open.
#[derive(Debug)]
pub struct State {
    file: File,
    /// Holds the lock for as long as the reader lives.
    _folder: File,
    salt: Salt,
    end: u64,
    known: Known,
    dropped_bytes: u64,
    is_broken: bool,
}

impl State {
    /// Opens the state in `folder` and writes it anew; a folder without one begins an empty one.
    ///
    /// # Errors
    /// Another reader has it, it is damaged, or the disk refuses.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        let failed = |what| {
            move |source| StateError::File {
                what,
                path: folder.to_path_buf(),
                source,
            }
        };
        private::folder().create(folder).map_err(failed("made"))?;
        private::close_folder(folder).map_err(failed("closed to others"))?;
        let lock = File::open(folder).map_err(failed("opened"))?;
        lock.try_lock()
            .map_err(|_| StateError::InUse(folder.to_path_buf()))?;
        let (known, dropped_bytes) = match read_file(&path_in(folder))? {
            Some((known, torn)) => (known, torn),
            None => (Known::new()?, 0),
        };
        let (file, salt, end) = write_anew(folder, &known)?;
        lock.sync_all().map_err(failed("made durable"))?;
        Ok(Self {
            file,
            _folder: lock,
            salt,
            end,
            known,
            dropped_bytes,
            is_broken: false,
        })
    }

    /// Reads the state in `folder` as it is, for who only shows it.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn look(folder: &Path) -> Result<Known, StateError> {
        let path = path_in(folder);
        match read_file(&path)? {
            Some((known, _)) => Ok(known),
            None => Err(StateError::Missing(path)),
        }
    }

    /// What is known now.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// How many bytes of a cut write the start has dropped.
    pub fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }

    /// Makes `change` durable, and only then known.
    ///
    /// # Errors
    /// The disk refuses. From then on every further change is refused: what is in the file is not sure.
    pub fn keep(&mut self, change: Change) -> Result<(), StateError> {
        if self.is_broken {
            let why = "an earlier write failed";
            return Err(StateError::Write(io::Error::other(why)));
        }
        let json = Zeroizing::new(serde_json::to_vec(&change).map_err(|_| StateError::Encoding)?);
        let frame = frame::encode(&self.salt, self.end, &json).ok_or(StateError::Encoding)?;
        let frame = Zeroizing::new(frame);
        if self.end + frame.len() as u64 > FULL_BYTES {
            return Err(StateError::Full);
        }
        let written =
            disk::write_all_at(&self.file, &frame, self.end).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.is_broken = true;
            return Err(StateError::Write(error));
        }
        self.end += frame.len() as u64;
        self.known.apply(change);
        Ok(())
    }
}

fn path_in(folder: &Path) -> PathBuf {
    folder.join("state")
}

/// What the file says, and how many bytes of a cut write lie at its end.
fn read_file(path: &Path) -> Result<Option<(Known, u64)>, StateError> {
    let failed = |source| StateError::File {
        what: "read",
        path: path.to_path_buf(),
        source,
    };
    let damaged = |at: usize| StateError::Damaged {
        path: path.to_path_buf(),
        at: at as u64,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(seen) if !seen.is_file() || seen.len() > MAX_FILE_BYTES => return Err(damaged(0)),
        Ok(_) => {}
    }
    let bytes = Zeroizing::new(fs::read(path).map_err(failed)?);
    parse(&bytes).map(Some).map_err(damaged)
}

/// The state in `bytes`; the error is the place of the damage.
fn parse(bytes: &[u8]) -> Result<(Known, u64), usize> {
    let salt = frame::read_file_head(bytes).ok_or(0_usize)?;
    let first = frame::FILE_HEAD_BYTES;
    // The first record was whole before the file got its name, so it can't be a cut write.
    let Frame::Record(record, mut at) = frame::read(&salt, bytes, first) else {
        return Err(first);
    };
    let mut known: Known = serde_json::from_slice(record).map_err(|_| first)?;
    // A crash cuts a write, never the file: its room was there from the beginning.
    if (bytes.len() as u64) < at as u64 + ROOM_BYTES {
        return Err(bytes.len());
    }
    loop {
        match frame::read(&salt, bytes, at) {
            Frame::Record(record, next) => {
                known.apply(serde_json::from_slice(record).map_err(|_| at)?);
                at = next;
            }
            Frame::End => return Ok((known, 0)),
            Frame::Torn => {
                let written = bytes.iter().rposition(|b| *b != 0).map_or(at, |p| p + 1);
                return Ok((known, (written - at) as u64));
            }
            Frame::Damaged => return Err(at),
        }
    }
}

/// Writes `known` as the first record of a new file in the old one's place.
fn write_anew(folder: &Path, known: &Known) -> Result<(File, Salt, u64), StateError> {
    let path = folder.join("state.new");
    let failed = |what| {
        let path = path.clone();
        move |source: io::Error| StateError::File { what, path, source }
    };
    let mut salt = Salt::default();
    getrandom::fill(&mut salt)?;
    let json = Zeroizing::new(serde_json::to_vec(known).map_err(|_| StateError::Encoding)?);
    let mut bytes = Zeroizing::new(frame::file_head(&salt));
    let first = frame::encode(&salt, bytes.len() as u64, &json).ok_or(StateError::Encoding)?;
    bytes.extend_from_slice(&Zeroizing::new(first));
    let file = private::file()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(failed("made"))?;
    // One left behind by a crash may have had other rights.
    private::close_file(&file).map_err(failed("closed to others"))?;
    let end = bytes.len() as u64;
    disk::reserve(&file, end + ROOM_BYTES).map_err(failed("given its room"))?;
    disk::write_all_at(&file, &bytes, 0).map_err(failed("written"))?;
    file.sync_all().map_err(failed("made durable"))?;
    fs::rename(&path, path_in(folder)).map_err(failed("put in place"))?;
    Ok((file, salt, end))
}

#[cfg(test)]
mod tests;
