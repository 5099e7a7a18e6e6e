//! The reader's one state file: opened once, appended to, made durable before anything is done on its word.
//!
//! `STATE/reader/state` holds the whole of what was known at the last start as its first record and every
//! [`Change`] since. A start writes the file anew (compaction) and puts it in the old one's place;
//! from then on the reader has a descriptor and needs no name. On a full disk it goes on in the old one, which has room of
//! its own. A record that was cut by a crash is
//! dropped and told: nothing was done on it. Any other broken record is damage and refused, since
//! what is forgotten might be an order that was used.

mod frame;
mod known;
mod recurring;

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
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
    /// Every byte is as it was written, and says what is not known here.
    #[error(
        "{path} was written by a newer agent (at byte {at}). Install that version again, and remove nothing: the file holds which orders were used, and this host's key."
    )]
    Newer {
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

impl StateError {
    /// Whether another start would meet it too: a lock may be given back, and a disk have room again.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::Missing(_) | Self::Damaged { .. } | Self::Newer { .. }
        )
    }

    /// Whether the disk had no room.
    fn is_full(&self) -> bool {
        matches!(self, Self::File { source, .. } if disk::is_full(source))
    }
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
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StateError::InUse(folder.to_path_buf()),
            TryLockError::Error(error) => failed("locked")(error),
        })?;
        let (known, tail) = match read_file(&path_in(folder))? {
            Some((known, tail)) => (known, Some(tail)),
            None => (Known::new()?, None),
        };
        let written = match (write_anew(folder, &known), tail) {
            (Err(error), Some(tail)) if error.is_full() => {
                // What was made of it takes room from everybody.
                let _ = fs::remove_file(new_in(folder));
                go_on(folder, tail).map_err(|_| error)?
            }
            (written, _) => written?,
        };
        lock.sync_all().map_err(failed("made durable"))?;
        let Written { file, salt, end } = written;
        Ok(Self {
            file,
            _folder: lock,
            salt,
            end,
            known,
            dropped_bytes: tail.map_or(0, Tail::dropped_bytes),
            is_broken: false,
        })
    }

    /// Looks whether another reader has the state in `folder`.
    ///
    /// # Errors
    /// One has it.
    pub fn check_free(folder: &Path) -> Result<(), StateError> {
        match File::open(folder).map(|lock| lock.try_lock_shared()) {
            Ok(Err(TryLockError::WouldBlock)) => Err(StateError::InUse(folder.to_path_buf())),
            // What else is wrong with it, the reader finds.
            _ => Ok(()),
        }
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
        let json = json_of(&change)?;
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

fn new_in(folder: &Path) -> PathBuf {
    folder.join("state.new")
}

/// How a file ends, and with what to go on there.
#[derive(Debug, Clone, Copy)]
struct Tail {
    salt: Salt,
    /// Where the next record goes.
    end: u64,
    /// Where a cut write ends that lies there.
    torn_end: u64,
}

impl Tail {
    fn dropped_bytes(self) -> u64 {
        self.torn_end - self.end
    }
}

/// Why it can't be read, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Damaged(usize),
    Newer(usize),
}

/// What the file says, and how it ends; none where there is none.
fn read_file(path: &Path) -> Result<Option<(Known, Tail)>, StateError> {
    let failed = |source| StateError::File {
        what: "read",
        path: path.to_path_buf(),
        source,
    };
    let at_fault = |fault: Fault| {
        let path = path.to_path_buf();
        match fault {
            Fault::Damaged(at) => StateError::Damaged {
                path,
                at: at as u64,
            },
            Fault::Newer(at) => StateError::Newer {
                path,
                at: at as u64,
            },
        }
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(seen) if !seen.is_file() || seen.len() > MAX_FILE_BYTES => {
            return Err(at_fault(Fault::Damaged(0)));
        }
        Ok(_) => {}
    }
    let bytes = Zeroizing::new(fs::read(path).map_err(failed)?);
    parse(&bytes).map(Some).map_err(at_fault)
}

/// The state in `bytes`, and how they end.
fn parse(bytes: &[u8]) -> Result<(Known, Tail), Fault> {
    let salt = frame::read_file_head(bytes).ok_or(Fault::Damaged(0))?;
    let first = frame::FILE_HEAD_BYTES;
    // The first record was whole before the file got its name, so it can't be a cut write.
    let Frame::Record(record, mut at) = frame::read(&salt, bytes, first) else {
        return Err(Fault::Damaged(first));
    };
    let mut known: Known = read_record(record, first)?;
    // A crash cuts a write, never the file: its room was there from the beginning.
    if (bytes.len() as u64) < at as u64 + ROOM_BYTES {
        return Err(Fault::Damaged(bytes.len()));
    }
    let torn_end = loop {
        match frame::read(&salt, bytes, at) {
            Frame::Record(record, next) => {
                known.apply(read_record(record, at)?);
                at = next;
            }
            Frame::End => break at,
            Frame::Torn => break bytes.iter().rposition(|b| *b != 0).map_or(at, |p| p + 1),
            Frame::Damaged => return Err(Fault::Damaged(at)),
        }
    };
    let tail = Tail {
        salt,
        end: at as u64,
        torn_end: torn_end as u64,
    };
    Ok((known, tail))
}

/// A record whose check holds is what an agent wrote: where it says more than is known here, a newer one did.
fn read_record<T: DeserializeOwned>(record: &[u8], at: usize) -> Result<T, Fault> {
    serde_json::from_slice(record).map_err(|error| match error.is_data() {
        true => Fault::Newer(at),
        false => Fault::Damaged(at),
    })
}

/// A file that is open, and where its next record goes.
#[derive(Debug)]
struct Written {
    file: File,
    salt: Salt,
    end: u64,
}

/// Goes on in the file that was read, and first clears what a crash has cut there.
fn go_on(folder: &Path, tail: Tail) -> io::Result<Written> {
    let file = File::options()
        .read(true)
        .write(true)
        .open(path_in(folder))?;
    let torn = usize::try_from(tail.dropped_bytes()).map_err(io::Error::other)?;
    disk::write_all_at(&file, &vec![0; torn], tail.end)?;
    file.sync_all()?;
    Ok(Written {
        file,
        salt: tail.salt,
        end: tail.end,
    })
}

/// `value` as JSON. It is measured first: a buffer that grows would leave copies of the key behind.
fn json_of(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, StateError> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value).map_err(|_| StateError::Encoding)?;
    let mut json = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *json, value).map_err(|_| StateError::Encoding)?;
    Ok(json)
}

/// How much was written.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes `known` as the first record of a new file in the old one's place.
fn write_anew(folder: &Path, known: &Known) -> Result<Written, StateError> {
    let path = new_in(folder);
    let failed = |what| {
        let path = path.clone();
        move |source: io::Error| StateError::File { what, path, source }
    };
    let mut salt = Salt::default();
    getrandom::fill(&mut salt)?;
    let json = json_of(known)?;
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
    Ok(Written { file, salt, end })
}

#[cfg(test)]
mod tests;
