//! The spool of one collection: makes empty files for parts that are being written, several at once, and makes a
//! sealed one durable under its number.
//!
//! It names every file itself, and reads none of what is written into them but to check that what lies there is what
//! was sealed. Parts get their numbers in order, when they are sealed. `part-N.statement.json` and `part-N.receipt`
//! stay until the collection has ended: by them it is known how far a collection is whose parts were delivered.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use evidence::{
    digest::{Digest, DigestWriter},
    ids::CollectionId,
};

use super::room::Floor;
use crate::link::{LinkError, Wrapping};
use crate::platform::private;

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
    /// What lies in the file is not what was sealed.
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
    /// The reader asked for what can't be.
    #[error("the reader broke the protocol: {0}. Both halves must be of one version.")]
    OutOfTurn(String),
}

impl SpoolError {
    /// Whether only this file is lost, and the conversation can go on.
    pub fn is_of_one_slot(&self) -> bool {
        matches!(
            self,
            Self::File { .. } | Self::Damaged(_) | Self::NoRoom { .. }
        )
    }
}

/// The folder of one collection, and the parts that are being written.
#[derive(Debug)]
pub struct Spool {
    collection: CollectionId,
    folder: PathBuf,
    wrapping: Wrapping,
    open: BTreeMap<u32, File>,
    durable: u32,
    floor: Floor,
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
        let mut spool = Self {
            collection,
            folder,
            wrapping,
            open: BTreeMap::new(),
            durable: 0,
            floor,
        };
        spool.remove_partial()?;
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
        let space = self.floor.space(&self.folder);
        Ok(space
            .map_err(|e| failed("asked for its space", &self.folder, e))?
            .1)
    }

    /// Whether another file may be opened now; `closing` is for the small part that ends a chain.
    ///
    /// # Errors
    /// [`SpoolError::NoRoom`] where less would stay free than shall.
    pub fn check_room(&self, closing: bool) -> Result<(), SpoolError> {
        let space = self.floor.space(&self.folder);
        let (free_bytes, floor_bytes) =
            space.map_err(|e| failed("asked for its space", &self.folder, e))?;
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
        self.check_room(closing)?;
        let file = create_new(&self.slot_path(slot))?;
        Ok(&*self.open.entry(slot).or_insert(file))
    }

    /// Makes the part in `slot` and its statement durable under the part's number; gives the part's path.
    ///
    /// # Errors
    /// The number is not the next; what lies there is not what was sealed; the disk fails. The file is removed then.
    pub fn seal(
        &mut self,
        slot: u32,
        part: u32,
        size_bytes: u64,
        sha256: Digest,
        statement: &str,
    ) -> Result<PathBuf, SpoolError> {
        let Some(file) = self.open.remove(&slot) else {
            return Err(SpoolError::OutOfTurn(format!("slot {slot} is not open")));
        };
        if part != self.durable + 1 {
            self.open.insert(slot, file);
            return Err(SpoolError::OutOfTurn(format!(
                "part {part} is not the next"
            )));
        }
        let from = self.slot_path(slot);
        let kept = self.keep(&from, file, part, (size_bytes, sha256), statement);
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
        if self.open.remove(&slot).is_some() {
            // Where even removing fails, it goes when the collection is taken up again.
            let _ = fs::remove_file(self.slot_path(slot));
        }
    }

    /// Writes a small file of the collection whole or not at all.
    ///
    /// # Errors
    /// The disk fails.
    pub fn write_beside(&self, name: &str, bytes: &[u8]) -> Result<(), SpoolError> {
        let path = self.folder.join(name);
        let mut file = create_new(&partial(&path))?;
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(partial(&path), &path))
            .map_err(|e| failed("written", &path, e))
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
        &self,
        from: &Path,
        file: File,
        part: u32,
        sealed: (u64, Digest),
        statement: &str,
    ) -> Result<PathBuf, SpoolError> {
        file.sync_all()
            .map_err(|e| failed("made durable", from, e))?;
        drop(file);
        check(from, sealed)?;
        self.write_beside(
            &format!("part-{part:04}.statement.json"),
            statement.as_bytes(),
        )?;
        let path = self.part_path(part);
        fs::rename(from, &path).map_err(|e| failed("named", &path, e))?;
        sync_folder(&self.folder)?;
        Ok(path)
    }

    fn is_durable(&self, part: u32) -> bool {
        let receipt = self.folder.join(format!("part-{part:04}.receipt"));
        self.part_path(part).is_file() || receipt.is_file()
    }

    fn slot_path(&self, slot: u32) -> PathBuf {
        self.folder.join(format!("slot-{slot:08}.partial"))
    }

    /// What an earlier run left unsealed.
    fn remove_partial(&self) -> Result<(), SpoolError> {
        let fault = |e| failed("read", &self.folder, e);
        for entry in fs::read_dir(&self.folder).map_err(fault)? {
            let path = entry.map_err(fault)?.path();
            if path.extension().is_some_and(|e| e == "partial") {
                fs::remove_file(&path).map_err(|e| failed("removed", &path, e))?;
            }
        }
        Ok(())
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

/// Reads the file back and compares: the reader's descriptor is the only other way into it.
fn check(path: &Path, sealed: (u64, Digest)) -> Result<(), SpoolError> {
    let mut file = OpenOptions::new()
        .read(true)
        .open(path)
        .map_err(|e| failed("read back", path, e))?;
    let mut hash = DigestWriter::new(io::sink());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = file
            .read(&mut buffer)
            .map_err(|e| failed("read back", path, e))?;
        if count == 0 {
            break;
        }
        hash.write_all(&buffer[..count])
            .map_err(|e| failed("read back", path, e))?;
    }
    let (_, found, length) = hash.finish();
    if (length, found) == sealed {
        Ok(())
    } else {
        Err(SpoolError::Damaged(path.to_path_buf()))
    }
}

fn create_new(path: &Path) -> Result<File, SpoolError> {
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

fn failed(what: &'static str, path: &Path, source: io::Error) -> SpoolError {
    SpoolError::File {
        what,
        path: path.to_path_buf(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: CollectionId = CollectionId::from_bytes([0; 16]);

    fn begun(parent: &Path) -> Spool {
        Spool::begin(parent, ID, Wrapping::None, Floor::NONE).unwrap()
    }

    fn fill(spool: &mut Spool, slot: u32, bytes: &[u8]) {
        let mut file = spool.open_slot(slot, false).unwrap();
        file.write_all(bytes).unwrap();
    }

    fn seal(spool: &mut Spool, slot: u32, part: u32, bytes: &[u8]) -> Result<PathBuf, SpoolError> {
        spool.seal(slot, part, bytes.len() as u64, Digest::of(bytes), "{}")
    }

    fn names(spool: &Spool) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(spool.folder())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn slots_are_open_side_by_side_and_parts_are_numbered_as_they_are_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = begun(folder.path());
        fill(&mut spool, 1, b"one");
        fill(&mut spool, 2, b"two");
        assert!(matches!(
            seal(&mut spool, 2, 2, b"two"),
            Err(SpoolError::OutOfTurn(_))
        ));
        seal(&mut spool, 2, 1, b"two").unwrap();
        let second = seal(&mut spool, 1, 2, b"one").unwrap();
        assert_eq!(fs::read(second).unwrap(), b"one");
        let expected = [
            "part-0001.statement.json",
            "part-0001.zip",
            "part-0002.statement.json",
            "part-0002.zip",
        ];
        assert_eq!(names(&spool), expected);
    }

    #[test]
    fn what_is_not_sealed_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = begun(folder.path());
        fill(&mut spool, 1, b"one");
        fill(&mut spool, 2, b"two");
        spool.discard(1);
        assert_eq!(names(&spool), ["slot-00000002.partial"]);
        // As after kill -9: nothing is tidied up.
        let path = spool.folder().to_owned();
        std::mem::forget(spool);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        let spool = begun(folder.path());
        assert_eq!(names(&spool), Vec::<String>::new());
    }

    #[test]
    fn a_part_that_is_not_what_was_sealed_is_removed_and_its_number_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = begun(folder.path());
        fill(&mut spool, 1, b"evidencE");
        let refused = seal(&mut spool, 1, 1, b"evidence").unwrap_err();
        assert!(refused.is_of_one_slot(), "{refused}");
        assert_eq!(names(&spool), Vec::<String>::new());
        fill(&mut spool, 2, b"evidence");
        seal(&mut spool, 2, 1, b"evidence").unwrap();
    }

    #[test]
    fn a_collection_is_taken_up_where_it_stood_even_when_parts_were_delivered() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = begun(folder.path());
        for part in 1..=2 {
            fill(&mut spool, part, b"x");
            seal(&mut spool, part, part, b"x").unwrap();
        }
        fs::rename(spool.part_path(1), spool.folder().join("part-0001.receipt")).unwrap();
        drop(spool);
        assert_eq!(begun(folder.path()).durable(), 2);
    }

    #[test]
    fn the_floor_of_free_space_holds_up_all_but_the_closing_part() {
        let folder = tempfile::tempdir().unwrap();
        let floor = Floor::at_least(u64::MAX);
        let mut spool = Spool::begin(folder.path(), ID, Wrapping::None, floor).unwrap();
        let refused = spool.open_slot(1, false).unwrap_err();
        assert!(matches!(refused, SpoolError::NoRoom { .. }), "{refused}");
        assert!(refused.is_of_one_slot());
        spool.open_slot(1, true).unwrap();
    }
}
