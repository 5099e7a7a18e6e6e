//! The spool of one collection: makes empty files for parts that are being written, several at once, and makes a
//! sealed one durable under its number.
//!
//! Whoever has the folder open holds a lock on it, so that others leave what is being written alone.
//!
//! It names every file itself, and reads none of what is written into them but to check that what lies there is what
//! was sealed. Parts get their numbers in order, when they are sealed. `part-N.statement.json` and `part-N.receipt`
//! stay until the collection has ended: by them it is known how far a collection is whose parts were delivered.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use evidence::ids::CollectionId;

use super::{
    leftovers,
    reserve::{self, Kept, Reserve},
    room::Floor,
};
use crate::link::{LinkError, Wrapping};
use crate::platform::{disk, private};

/// How many files may be open at once: more than any reader has workers.
const SLOTS: usize = 64;
/// What the closing part may take of the space that is kept free.
const CLOSING_BYTES: u64 = 8 * 1024 * 1024;

/// Why the spool can't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The link failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The folder or a file in it failed.
    #[error("{path} can't be {what}: {source}. Check the folder's rights and free space.")]
    File {
        /// What was tried: "created", "made durable".
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The medium is not there any more, or fails.
    #[error("{path} can't be {what}: {source}. {gone}", gone = disk::GONE)]
    Gone {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// What lies in the file is not as long as what was sealed.
    #[error("{0} doesn't hold what was sealed. The medium may be failing; use another one.")]
    Damaged(PathBuf),
    /// Less space is free than shall stay free.
    #[error(
        "only {free_bytes} bytes are free below {path}, and {floor_bytes} shall stay free. Make room there."
    )]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// What is free.
        free_bytes: u64,
        /// What shall stay free.
        floor_bytes: u64,
    },
    /// Another process writes there.
    #[error("another process writes into {0}. Wait for its end, or choose another folder.")]
    InUse(PathBuf),
    /// The reader asked for what can't be.
    #[error("the reader broke the protocol: {0}. Both halves must be of one version.")]
    OutOfTurn(String),
}

impl SpoolError {
    /// Whether only this file is lost, and the conversation can go on.
    pub fn is_of_one_slot(&self) -> bool {
        matches!(
            self,
            Self::File { .. } | Self::Gone { .. } | Self::Damaged(_) | Self::NoRoom { .. }
        )
    }

    /// Whether the disk had no room for what was to be made.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::File { source, .. } if disk::is_full(source))
    }
}

/// The folder of one collection, and the parts that are being written.
#[derive(Debug)]
pub struct Spool {
    collection: CollectionId,
    folder: PathBuf,
    wrapping: Wrapping,
    open: BTreeMap<u32, Kept>,
    durable: u32,
    floor: Floor,
    /// What the closing part may need, and the room for it where it could be had.
    closing_bytes: u64,
    reserve: Option<Reserve>,
    /// Held for as long as the folder is in use; none where the file system knows no locks.
    _lock: Option<File>,
}

impl Spool {
    /// Makes the collection's folder below `parent`, or takes up the one that is there.
    ///
    /// # Errors
    /// The folder can't be made or read.
    pub fn begin(
        parent: &Path,
        collection: CollectionId,
        wrapping: Wrapping,
        floor: Floor,
    ) -> Result<Self, SpoolError> {
        let folder = parent.join(collection.to_string());
        // For its owner only: an unencrypted part is evidence that anyone could read.
        private::folder()
            .create(&folder)
            .map_err(|e| failed("created", &folder, e))?;
        sync_folder(parent)?;
        let lock = leftovers::lock(&folder)?;
        let mut spool = Self {
            collection,
            folder,
            wrapping,
            open: BTreeMap::new(),
            durable: 0,
            floor,
            closing_bytes: 0,
            reserve: None,
            _lock: lock,
        };
        leftovers::remove(&spool.folder)?;
        while spool.is_durable(spool.durable + 1) {
            spool.durable += 1;
        }
        Ok(spool)
    }

    /// The collection.
    pub fn collection(&self) -> CollectionId {
        self.collection
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many parts are durable, those that were delivered and removed included.
    pub fn durable(&self) -> u32 {
        self.durable
    }

    /// Device and inode of the folder.
    ///
    /// # Errors
    /// It can't be looked at.
    pub fn identity(&self) -> Result<(u64, u64), SpoolError> {
        private::identity(&self.folder).map_err(|e| failed("read", &self.folder, e))
    }

    /// So much must stay free on the file system of the folder, now.
    ///
    /// # Errors
    /// It can't be asked.
    pub fn floor_bytes(&self) -> Result<u64, SpoolError> {
        Ok(self.space()?.1)
    }

    /// Keeps room for the closing part from here on, whatever becomes of the disk.
    ///
    /// # Errors
    /// There is no room for it; the next file that is asked for tries it again.
    pub fn reserve(&mut self, closing_bytes: u64) -> Result<(), SpoolError> {
        self.closing_bytes = closing_bytes;
        self.ensure_reserve()
    }

    fn ensure_reserve(&mut self) -> Result<(), SpoolError> {
        if self.reserve.is_none() && self.closing_bytes > 0 {
            self.reserve = Some(Reserve::keep(&self.folder, self.closing_bytes)?);
        }
        Ok(())
    }

    /// Whether a file for an ordinary part may be opened now.
    ///
    /// # Errors
    /// [`SpoolError::NoRoom`] where less would stay free than shall, or none for the end of the chain.
    pub fn has_room(&mut self) -> Result<(), SpoolError> {
        self.check_room(false)?;
        match self.ensure_reserve() {
            Err(error) if error.is_full() => {
                let (free_bytes, floor_bytes) = self.space()?;
                Err(SpoolError::NoRoom {
                    path: self.folder.clone(),
                    free_bytes,
                    floor_bytes: floor_bytes.max(self.closing_bytes),
                })
            }
            other => other,
        }
    }

    fn space(&self) -> Result<(u64, u64), SpoolError> {
        let space = self.floor.space(&self.folder);
        space.map_err(|e| failed("asked for its space", &self.folder, e))
    }

    /// Whether another file may be opened now; `closing` is for the small part that ends a chain.
    fn check_room(&self, closing: bool) -> Result<(), SpoolError> {
        let (free_bytes, floor_bytes) = self.space()?;
        let needed = if closing {
            floor_bytes.min(CLOSING_BYTES)
        } else {
            floor_bytes
        };
        if free_bytes > needed || floor_bytes == 0 {
            return Ok(());
        }
        Err(SpoolError::NoRoom {
            path: self.folder.clone(),
            free_bytes,
            floor_bytes,
        })
    }

    /// Makes an empty file; give the reader a copy of its descriptor.
    ///
    /// # Errors
    /// There is no room, the number is in use, or the file can't be made.
    pub fn open_slot(&mut self, slot: u32, closing: bool) -> Result<&File, SpoolError> {
        if self.open.contains_key(&slot) || self.open.len() >= SLOTS {
            return Err(SpoolError::OutOfTurn(format!(
                "slot {slot} can't be opened"
            )));
        }
        let reserve = self.reserve.as_mut().filter(|_| closing);
        let kept = match reserve.and_then(Reserve::part) {
            Some(kept) => kept,
            None => self.fresh(slot, closing)?,
        };
        Ok(&self.open.entry(slot).or_insert(kept).file)
    }

    fn fresh(&mut self, slot: u32, closing: bool) -> Result<Kept, SpoolError> {
        if closing {
            self.check_room(closing)?;
        } else {
            self.has_room()?;
        }
        let path = self.folder.join(format!("slot-{slot:08}.partial"));
        let file = create_new(&path)?;
        Ok(Kept { file, path })
    }

    /// Makes the part in `slot` and its statement durable under the part's number; gives the part's path.
    ///
    /// # Errors
    /// The number is not the next; what lies there is not as long as what was sealed; the disk fails. The file is removed then.
    pub fn seal(
        &mut self,
        slot: u32,
        part: u32,
        size_bytes: u64,
        statement: &str,
    ) -> Result<PathBuf, SpoolError> {
        let Some(Kept { file, path: from }) = self.open.remove(&slot) else {
            return Err(SpoolError::OutOfTurn(format!("slot {slot} is not open")));
        };
        if part != self.durable + 1 {
            self.open.insert(slot, Kept { file, path: from });
            return Err(SpoolError::OutOfTurn(format!(
                "part {part} is not the next"
            )));
        }
        let kept = self.keep(&from, file, part, size_bytes, statement);
        if kept.is_err() {
            // Nothing that was not sealed whole may look like evidence.
            let _ = fs::remove_file(&from);
        }
        let path = kept?;
        self.durable = part;
        Ok(path)
    }

    /// Removes the file: nothing in it was sealed, so nothing in it can be proven.
    pub fn discard(&mut self, slot: u32) {
        if let Some(kept) = self.open.remove(&slot) {
            // Where even removing fails, it goes at the next run.
            let _ = fs::remove_file(kept.path);
        }
    }

    /// Writes a small file of the collection whole or not at all.
    ///
    /// # Errors
    /// The disk fails.
    pub fn write_beside(&self, name: &str, bytes: &[u8]) -> Result<(), SpoolError> {
        let path = partial(&self.folder.join(name));
        let file = create_new(&path)?;
        self.write_into(Kept { file, path }, name, bytes)
    }

    fn write_into(&self, kept: Kept, name: &str, bytes: &[u8]) -> Result<(), SpoolError> {
        let (
            path,
            Kept {
                mut file,
                path: from,
            },
        ) = (self.folder.join(name), kept);
        let written = file
            .write_all(bytes)
            .and_then(|()| give_back(&file, bytes.len() as u64))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&from, &path));
        if written.is_err() {
            // A second try shall not find its name taken.
            let _ = fs::remove_file(&from);
        }
        written.map_err(|e| failed("written", &path, e))
    }

    /// Where part `part` lies, or will.
    pub fn part_path(&self, part: u32) -> PathBuf {
        let ending = match self.wrapping {
            Wrapping::Age => "zip.age",
            Wrapping::None => "zip",
        };
        self.folder.join(format!("part-{part:04}.{ending}"))
    }

    fn keep(
        &mut self,
        from: &Path,
        file: File,
        part: u32,
        size_bytes: u64,
        statement: &str,
    ) -> Result<PathBuf, SpoolError> {
        let is_closing = from.ends_with(reserve::PART);
        if is_closing {
            give_back(&file, size_bytes).map_err(|e| failed("cut to its length", from, e))?;
        }
        file.sync_all()
            .map_err(|e| failed("made durable", from, e))?;
        check(&file, from, size_bytes)?;
        drop(file);
        let name = format!("part-{part:04}.statement.json");
        let reserve = self.reserve.as_mut().filter(|_| is_closing);
        match reserve.and_then(Reserve::statement) {
            Some(kept) => self.write_into(kept, &name, statement.as_bytes())?,
            None => self.write_beside(&name, statement.as_bytes())?,
        }
        let path = self.part_path(part);
        fs::rename(from, &path).map_err(|e| failed("named", &path, e))?;
        sync_folder(&self.folder)?;
        Ok(path)
    }

    fn is_durable(&self, part: u32) -> bool {
        let receipt = self.folder.join(format!("part-{part:04}.receipt"));
        self.part_path(part).is_file() || receipt.is_file()
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let slots: Vec<u32> = self.open.keys().copied().collect();
        for slot in slots {
            self.discard(slot);
        }
    }
}

/// Room that the file was given and doesn't need goes back, for the names to come. Some drivers of FAT can't cut a file;
/// where it has its length already, nothing is lost by that.
fn give_back(file: &File, size_bytes: u64) -> io::Result<()> {
    match file.set_len(size_bytes) {
        Err(_) if file.metadata()?.len() == size_bytes => Ok(()),
        other => other,
    }
}

/// Compares the length. The digest is the server's to check, and everyone's after it: a part may be a gigabyte, and
/// what was just written would be read from memory, not from the disk.
fn check(file: &File, path: &Path, size_bytes: u64) -> Result<(), SpoolError> {
    let found = file.metadata();
    let found = found.map_err(|e| failed("looked at", path, e))?;
    if found.len() == size_bytes {
        Ok(())
    } else {
        Err(SpoolError::Damaged(path.to_path_buf()))
    }
}

pub(super) fn create_new(path: &Path) -> Result<File, SpoolError> {
    private::file()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|e| failed("created", path, e))
}

fn sync_folder(folder: &Path) -> Result<(), SpoolError> {
    private::sync_folder(folder).map_err(|e| failed("made durable", folder, e))
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

pub(super) fn failed(what: &'static str, path: &Path, source: io::Error) -> SpoolError {
    let path = path.to_path_buf();
    match disk::is_gone(&source) {
        true => SpoolError::Gone { what, path, source },
        false => SpoolError::File { what, path, source },
    }
}

#[cfg(test)]
mod tests;
