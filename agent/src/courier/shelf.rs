//! What lies in the spool: sealed parts in their order, how much of it is in use, and what a crash left.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use evidence::ids::CollectionId;

use super::{
    disk::{self, DiskError, failed},
    slots::ENDED,
};

/// A sealed part's file is called `part-NNNN` and this.
const SEALED: &str = ".zip.age";
/// How long statements and receipts of a delivered collection stay on the host.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// A sealed part in the spool.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) collection: CollectionId,
    pub(super) part: u32,
    pub(super) size_bytes: u64,
    modified: SystemTime,
    folder: PathBuf,
}

impl Waiting {
    /// Which one it is.
    pub(super) fn key(&self) -> (CollectionId, u32) {
        (self.collection, self.part)
    }

    /// The ciphertext.
    pub(super) fn sealed(&self) -> PathBuf {
        self.beside(&SEALED[1..])
    }

    /// A file of the same part.
    pub(super) fn beside(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("part-{:04}.{ending}", self.part))
    }

    /// The folder of the collection.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// How much lies in the spool.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) sealed_parts: u32,
    pub(super) sealed_bytes: u64,
    pub(super) open_bytes: u64,
}

/// What lies sealed, the oldest first, the parts of a collection in their order.
pub(super) fn scan(spool: &Path) -> Result<Vec<Waiting>, DiskError> {
    let mut found = Vec::new();
    for (collection, folder) in collections(spool)? {
        each_file(&folder, |name, path| {
            let Some(part) = number(name) else {
                return Ok(());
            };
            let seen = match fs::symlink_metadata(path) {
                Ok(seen) if seen.is_file() => seen,
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => return Ok(()),
            };
            found.push(Waiting {
                collection,
                part,
                size_bytes: seen.len(),
                modified: seen.modified()?,
                folder: folder.clone(),
            });
            Ok(())
        })?;
    }
    let mut oldest: BTreeMap<CollectionId, SystemTime> = BTreeMap::new();
    for one in &found {
        let first = oldest.entry(one.collection).or_insert(one.modified);
        *first = one.modified.min(*first);
    }
    found.sort_by_key(|w| (oldest.get(&w.collection).copied(), w.collection, w.part));
    Ok(found)
}

/// How much of the spool is in use, files that are still written included.
pub(super) fn usage(spool: &Path) -> Result<Usage, DiskError> {
    let mut usage = Usage::default();
    for (_, folder) in collections(spool)? {
        each_file(&folder, |name, path| {
            // A file may be named or removed while we look.
            let Ok(seen) = fs::symlink_metadata(path) else {
                return Ok(());
            };
            if number(name).is_some() {
                usage.sealed_parts += 1;
                usage.sealed_bytes += seen.len();
            } else {
                usage.open_bytes += seen.len();
            }
            Ok(())
        })?;
    }
    Ok(usage)
}

/// Puts right what a crash left, before anything is written: half-written files go.
pub(super) fn tidy(spool: &Path) -> Result<(), DiskError> {
    for (_, folder) in collections(spool)? {
        each_file(&folder, |name, path| {
            match name.ends_with(".partial") || name.ends_with(".new") {
                true => fs::remove_file(path),
                false => Ok(()),
            }
        })?;
    }
    disk::sync_folder(spool)
}

/// Removes the papers of what was delivered and ended long ago; nothing is written into such a folder any more.
pub(super) fn forget_old(spool: &Path, now: SystemTime) -> Result<(), DiskError> {
    let is_old = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age > KEPT);
    for (_, folder) in collections(spool)? {
        let mut has_sealed = false;
        let mut ended = None;
        each_file(&folder, |name, path| {
            has_sealed |= number(name).is_some();
            if name == ENDED {
                ended = Some(fs::symlink_metadata(path)?.modified()?);
            }
            Ok(())
        })?;
        if !has_sealed && ended.is_some_and(is_old) {
            fs::remove_dir_all(&folder).map_err(failed("removed", &folder))?;
        }
    }
    disk::sync_folder(spool)
}

/// The collections' folders; anything else in the spool is none of ours.
fn collections(spool: &Path) -> Result<Vec<(CollectionId, PathBuf)>, DiskError> {
    let mut found = Vec::new();
    each_file(spool, |name, path| {
        if let Ok(id) = name.parse()
            && fs::symlink_metadata(path).is_ok_and(|seen| seen.is_dir())
        {
            found.push((id, path.to_path_buf()));
        }
        Ok(())
    })?;
    Ok(found)
}

fn each_file(
    folder: &Path,
    mut visit: impl FnMut(&str, &Path) -> io::Result<()>,
) -> Result<(), DiskError> {
    let mut all = || {
        let entries = match fs::read_dir(folder) {
            // Forgotten while others look.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            let path = entry?.path();
            if let Some(name) = path.file_name().and_then(|n| n.to_str()) {
                visit(name, &path)?;
            }
        }
        Ok(())
    };
    all().map_err(failed("read", folder))
}

/// The number of a sealed part's file.
fn number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("part-")?.strip_suffix(SEALED)?;
    let is_number = digits.len() >= 4 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|n| is_number && *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> (tempfile::TempDir, PathBuf, CollectionId) {
        let dir = tempfile::tempdir().unwrap();
        let id = CollectionId::from_bytes([4; 16]);
        let folder = dir.path().join(id.to_string());
        fs::create_dir(&folder).unwrap();
        (dir, folder, id)
    }

    #[test]
    fn only_sealed_parts_are_found_and_in_their_order() {
        let (dir, folder, id) = spool();
        for name in [
            "part-0002.zip.age",
            "part-0001.zip.age",
            "part-10000.zip.age",
            "part-0003.zip",
            "part-0004.zip.age.partial",
            "part-0000.zip.age",
            "part-x.zip.age",
            "part-0005.statement.json",
        ] {
            fs::write(folder.join(name), b"12").unwrap();
        }
        fs::create_dir(folder.join("part-0006.zip.age")).unwrap();
        fs::write(dir.path().join("stray"), b"").unwrap();
        let found = scan(dir.path()).unwrap();
        let parts: Vec<_> = found.iter().map(|w| (w.collection, w.part)).collect();
        assert_eq!(parts, [(id, 1), (id, 2), (id, 10000)]);
    }

    #[test]
    fn tidying_leaves_sealed_parts_and_what_is_not_ended() {
        let (dir, folder, _) = spool();
        let later = SystemTime::now() + 2 * KEPT;
        for name in [
            "part-0001.zip.age",
            "slot-00000001.partial",
            "part-0001.upload.new",
        ] {
            fs::write(folder.join(name), b"12").unwrap();
        }
        fs::write(folder.join(ENDED), b"").unwrap();
        // While it runs, files may be half-written.
        forget_old(dir.path(), later).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 4);
        tidy(dir.path()).unwrap();
        let usage = usage(dir.path()).unwrap();
        assert_eq!((usage.sealed_parts, usage.open_bytes), (1, 0));
        fs::rename(
            folder.join("part-0001.zip.age"),
            folder.join("part-0001.receipt"),
        )
        .unwrap();
        forget_old(dir.path(), SystemTime::now()).unwrap();
        assert!(folder.exists());
        fs::rename(folder.join(ENDED), folder.join("not")).unwrap();
        forget_old(dir.path(), later).unwrap();
        assert!(folder.exists());
        fs::rename(folder.join("not"), folder.join(ENDED)).unwrap();
        forget_old(dir.path(), later).unwrap();
        assert!(!folder.exists());
        assert!(
            scan(&folder).unwrap().is_empty(),
            "it may go while others look"
        );
    }
}
