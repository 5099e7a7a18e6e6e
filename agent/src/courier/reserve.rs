//! Room for the end of a chain: the closing part and its statement get their blocks before anything is gathered, so that
//! neither our own parts nor anybody else on a full disk can take them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use super::spool::{SpoolError, create_new, failed};
use crate::link::MESSAGE_BYTES_MAX;
use crate::platform::disk;

/// The file that the closing part is written into.
pub(super) const PART: &str = "closing.partial";
/// The file that its statement is written into.
pub(super) const STATEMENT: &str = "closing.statement.partial";
/// No reader may reserve more: its order and policy, twice over.
const RESERVED_BYTES_MAX: u64 = 16 << 20;

/// A file that has its room and nothing in it yet.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) file: File,
    pub(super) path: PathBuf,
}

/// Both files of the closing part; they are removed where they were not used.
#[derive(Debug)]
pub(super) struct Reserve {
    part: Option<Kept>,
    statement: Option<Kept>,
}

impl Reserve {
    /// Keeps `closing_bytes` for the part in `folder`, and what a statement takes.
    pub(super) fn keep(folder: &Path, closing_bytes: u64) -> Result<Self, SpoolError> {
        let mut reserve = Self {
            part: None,
            statement: None,
        };
        let part_bytes = closing_bytes.min(RESERVED_BYTES_MAX);
        reserve.part = Some(kept(folder.join(PART), part_bytes)?);
        let statement = folder.join(STATEMENT);
        reserve.statement = Some(kept(statement, MESSAGE_BYTES_MAX as u64)?);
        Ok(reserve)
    }

    /// The file for the part, once.
    pub(super) fn part(&mut self) -> Option<Kept> {
        empty(self.part.take())
    }

    /// The file for the statement, once.
    pub(super) fn statement(&mut self) -> Option<Kept> {
        empty(self.statement.take())
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        for kept in [self.part.take(), self.statement.take()]
            .into_iter()
            .flatten()
        {
            // What stays behind is removed by the next run.
            let _ = fs::remove_file(kept.path);
        }
    }
}

fn kept(path: PathBuf, size_bytes: u64) -> Result<Kept, SpoolError> {
    let file = create_new(&path)?;
    match disk::reserve_ahead(&file, size_bytes) {
        Ok(()) => Ok(Kept { file, path }),
        Err(source) => {
            let error = failed("given its room", &path, source);
            let _ = fs::remove_file(&path);
            Err(error)
        }
    }
}

/// Where a file system can't reserve beyond a file's end, the room is real bytes, which go only now: with the file, since
/// some drivers of FAT can't cut one.
fn empty(kept: Option<Kept>) -> Option<Kept> {
    let kept = kept?;
    if kept.file.metadata().is_ok_and(|seen| seen.len() == 0) {
        return Some(kept);
    }
    let Kept { file, path } = kept;
    drop(file);
    fs::remove_file(&path).ok()?;
    let file = create_new(&path).ok()?;
    Some(Kept { file, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_is_removed_and_what_is_used_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::keep(folder.path(), 1 << 20).unwrap();
        let part = reserve.part().unwrap();
        assert_eq!(part.file.metadata().unwrap().len(), 0);
        assert!(reserve.part().is_none());
        assert!(folder.path().join(STATEMENT).exists());
        drop(reserve);
        assert!(!folder.path().join(STATEMENT).exists());
        assert!(part.path.exists(), "it is whoever took it that removes it");
    }
}
