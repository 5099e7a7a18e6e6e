//! The log as a file: leaves are appended, synced, and only then given an index.
//!
//! Opening reads the whole file. What a crash left of the last append is cut off,
//! kept beside the log and said; a damaged frame with whole ones behind it, or a log
//! that contradicts a remembered checkpoint, is refused and never repaired here.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use super::{
    checkpoint::Checkpoint,
    frame::{self, FILE_HEAD_BYTES, Frame, MAGIC, MAX_APPEND_BYTES, Salt},
    leaf_hash,
    tree::Tree,
};

/// The log can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system refused.
    #[error("the custody log {path} can't be read or written. Check the disk and its free space.")]
    Io {
        /// The log's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds it.
    #[error("the custody log {0} is in use by another process. Stop it first.")]
    InUse(PathBuf),
    /// The file is something else.
    #[error("{0} is not a custody log. Name the right file; this one was left as it is.")]
    NotALog(PathBuf),
    /// A leaf does not match its checksum, though whole ones follow.
    #[error(
        "leaf {leaf} of the custody log is damaged. Restore the file from a copy; nothing was changed."
    )]
    Damaged {
        /// The first bad leaf.
        leaf: u64,
    },
    /// Leaves that a checkpoint vouches for are gone.
    #[error(
        "the custody log ends before leaf {leaf}, but {remembered} leaves were signed for. It was cut: restore it from a copy."
    )]
    Truncated {
        /// The first missing leaf.
        leaf: u64,
        /// How many the checkpoint speaks of.
        remembered: u64,
    },
    /// Leaves that a checkpoint vouches for were changed.
    #[error(
        "a leaf from {from} to {to} of the custody log was changed after it was signed for. Keep the file as evidence and restore a copy."
    )]
    Edited {
        /// The first leaf that may be the changed one.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// A leaf or a batch is too long.
    #[error("a custody leaf is too long. A leaf has at most 1 MiB, one append 8 MiB.")]
    TooLong,
    /// An earlier append failed, so the file's end is not known.
    #[error(
        "an earlier write to the custody log failed. Open it again; what was acknowledged is safe."
    )]
    Failed,
}

/// What was cut off when the log was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The index that the torn leaf would have had.
    pub leaf: u64,
    /// How many bytes were cut.
    pub count_bytes: u64,
    /// Where they are kept.
    pub kept: PathBuf,
}

/// An open log, locked against other processes.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    salt: Salt,
    tree: Tree,
    offsets: Vec<u64>,
    end: u64,
    failed: bool,
    torn: Option<TornTail>,
}

impl Log {
    /// Opens the log at `path`, made if it isn't there.
    ///
    /// # Errors
    /// See [`LogError`]; use [`Log::check`] against remembered checkpoints.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let io = |source| LogError::Io {
            path: path.to_owned(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LogError::InUse(path.to_owned())),
            Err(TryLockError::Error(e)) => return Err(io(e)),
        }
        let salt = match read_head(&mut file).map_err(io)? {
            Head::Log(salt) => salt,
            Head::Unfinished => write_head(&mut file, path).map_err(io)?,
            Head::Foreign => return Err(LogError::NotALog(path.to_owned())),
        };
        let mut log = Self {
            path: path.to_owned(),
            file,
            salt,
            tree: Tree::default(),
            offsets: Vec::new(),
            end: FILE_HEAD_BYTES,
            failed: false,
            torn: None,
        };
        log.load()?;
        Ok(log)
    }

    /// Reads every frame; a bad one is a torn end or damage.
    fn load(&mut self) -> Result<(), LogError> {
        self.seek(FILE_HEAD_BYTES)?;
        let mut from = BufReader::with_capacity(256 * 1024, &self.file);
        loop {
            match frame::read(&self.salt, self.end, &mut from) {
                Ok(Frame::Leaf(leaf)) => {
                    self.tree.push(leaf_hash(&leaf));
                    self.offsets.push(self.end);
                    self.end += frame::frame_bytes(&leaf);
                }
                Ok(Frame::End) => return Ok(()),
                Ok(Frame::Bad) => return self.cut_torn_tail(),
                Err(e) => return Err(self.io(e)),
            }
        }
    }

    /// Cuts what a crash left of the last append, after keeping it beside the log.
    fn cut_torn_tail(&mut self) -> Result<(), LogError> {
        self.seek(self.end)?;
        let mut tail = Vec::new();
        let limit = MAX_APPEND_BYTES as u64 + 1;
        (&self.file)
            .take(limit)
            .read_to_end(&mut tail)
            .map_err(|e| self.io(e))?;
        let leaf = self.tree.size();
        if tail.len() > MAX_APPEND_BYTES || frame::any_frame_in(&self.salt, self.end, &tail) {
            return Err(LogError::Damaged { leaf });
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".torn-{}", self.end));
        let kept = PathBuf::from(name);
        let cut = File::create(&kept)
            .and_then(|mut file| file.write_all(&tail).and_then(|()| file.sync_all()))
            .and_then(|()| self.file.set_len(self.end))
            .and_then(|()| self.file.sync_all());
        cut.map_err(|e| self.io(e))?;
        self.torn = Some(TornTail {
            leaf,
            count_bytes: tail.len() as u64,
            kept,
        });
        Ok(())
    }

    /// What was cut off at opening, to be told to the owner.
    pub fn torn_tail(&self) -> Option<&TornTail> {
        self.torn.as_ref()
    }

    /// Whether a write failed in such a way that nothing is appended any more before the log is opened again.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// The tree over the leaves: size, roots and proofs.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Appends a leaf durably and returns its index.
    ///
    /// # Errors
    /// It is too long, or the disk failed; then no index was given.
    pub fn append(&mut self, leaf: &[u8]) -> Result<u64, LogError> {
        self.append_all(&[leaf])
    }

    /// Appends leaves with one sync and returns the first one's index.
    ///
    /// # Errors
    /// They are too long, or the disk failed; then no index was given.
    pub fn append_all(&mut self, leaves: &[&[u8]]) -> Result<u64, LogError> {
        if self.failed {
            return Err(LogError::Failed);
        }
        let mut bytes = Vec::new();
        let mut offsets = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            let offset = self.end + bytes.len() as u64;
            frame::encode(&self.salt, offset, leaf, &mut bytes).ok_or(LogError::TooLong)?;
            offsets.push(offset);
        }
        if bytes.len() > MAX_APPEND_BYTES {
            return Err(LogError::TooLong);
        }
        self.seek(self.end)?;
        if let Err(e) = self.file.write_all(&bytes) {
            // As on a full disk: what was begun is cut off again, and the log goes on once there is room.
            let cut = self.file.set_len(self.end);
            self.failed = cut.and_then(|()| self.file.sync_data()).is_err();
            return Err(self.io(e));
        }
        if let Err(e) = self.file.sync_data() {
            // After a failed sync nobody knows what is on the disk: stop here.
            self.failed = true;
            return Err(self.io(e));
        }
        let first = self.tree.size();
        for leaf in leaves {
            self.tree.push(leaf_hash(leaf));
        }
        self.offsets.extend(offsets);
        self.end += bytes.len() as u64;
        Ok(first)
    }

    /// Reads leaf `index` back and checks it against the tree.
    ///
    /// # Errors
    /// The disk failed, or the leaf was changed since the log was opened.
    pub fn read(&mut self, index: u64) -> Result<Option<Vec<u8>>, LogError> {
        let offset = usize::try_from(index)
            .ok()
            .and_then(|i| self.offsets.get(i));
        let Some(&offset) = offset else {
            return Ok(None);
        };
        self.seek(offset)?;
        let read = frame::read(&self.salt, offset, &mut &self.file);
        match read.map_err(|e| self.io(e))? {
            Frame::Leaf(leaf) if self.tree.leaf(index) == Some(&leaf_hash(&leaf)) => Ok(Some(leaf)),
            _ => Err(LogError::Damaged { leaf: index }),
        }
    }

    /// Checks the log against remembered checkpoints (in any order): nothing that they speak of may be gone or changed.
    ///
    /// The more of them, the narrower the place that is named.
    ///
    /// # Errors
    /// The log was truncated or edited, and where.
    pub fn check(&self, remembered: &[Checkpoint]) -> Result<(), LogError> {
        let mut sorted: Vec<&Checkpoint> = remembered.iter().collect();
        sorted.sort_by_key(|c| c.size);
        let mut good = 0;
        for checkpoint in sorted {
            match self.tree.root_at(checkpoint.size) {
                None => {
                    return Err(LogError::Truncated {
                        leaf: self.tree.size(),
                        remembered: checkpoint.size,
                    });
                }
                Some(root) if root != checkpoint.root => {
                    return Err(LogError::Edited {
                        from: good,
                        to: checkpoint.size.saturating_sub(1),
                    });
                }
                Some(_) => good = checkpoint.size,
            }
        }
        Ok(())
    }

    fn seek(&mut self, offset: u64) -> Result<(), LogError> {
        match self.file.seek(SeekFrom::Start(offset)) {
            Ok(_) => Ok(()),
            Err(e) => Err(self.io(e)),
        }
    }

    fn io(&self, source: io::Error) -> LogError {
        LogError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

enum Head {
    Log(Salt),
    /// A crash came before the first frame could.
    Unfinished,
    Foreign,
}

fn read_head(file: &mut File) -> io::Result<Head> {
    let mut head = [0; FILE_HEAD_BYTES as usize];
    let got = frame::fill(file, &mut head)?;
    let (magic, rest) = head.split_at(MAGIC.len());
    if got < head.len() {
        let ours = head[..got.min(MAGIC.len())] == MAGIC[..got.min(MAGIC.len())];
        return Ok(if ours {
            Head::Unfinished
        } else {
            Head::Foreign
        });
    }
    let Some((salt, sum)) = rest.split_first_chunk() else {
        return Ok(Head::Foreign);
    };
    if magic == MAGIC && sum == frame::salt_checksum(salt) {
        return Ok(Head::Log(*salt));
    }
    Ok(Head::Foreign)
}

fn write_head(file: &mut File, path: &Path) -> io::Result<Salt> {
    let mut salt = Salt::default();
    getrandom::fill(&mut salt).map_err(io::Error::other)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(MAGIC)?;
    file.write_all(&salt)?;
    file.write_all(&frame::salt_checksum(&salt))?;
    file.sync_all()?;
    // The name is durable only with its folder; systems that can't open one don't need it.
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    if let Ok(folder) = File::open(parent.unwrap_or(Path::new("."))) {
        folder.sync_all()?;
    }
    Ok(salt)
}

#[cfg(test)]
mod tests;
