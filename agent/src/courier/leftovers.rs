//! What a half that was killed left unsealed: told by our own names, in folders that nobody holds any more.
//!
//! Nothing in such a file was sealed, so nothing in it can be proven; what is sealed is never touched.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
};

use evidence::ids::CollectionId;

use super::{
    reserve,
    spool::{SpoolError, failed},
};

/// Takes the lock on `folder`; none where its file system knows no locks.
pub(super) fn lock(folder: &Path) -> Result<Option<File>, SpoolError> {
    let Ok(file) = File::open(folder) else {
        return Ok(None);
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(SpoolError::InUse(folder.to_path_buf())),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Removes what was not sealed from `folder`, which the caller has locked.
pub(super) fn remove(folder: &Path) -> Result<(), SpoolError> {
    let fault = |e| failed("read", folder, e);
    for entry in fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let name = path.file_name().and_then(|n| n.to_str());
        let is_file = || fs::symlink_metadata(&path).is_ok_and(|seen| seen.is_file());
        if name.is_some_and(is_ours) && is_file() {
            fs::remove_file(&path).map_err(|e| failed("removed", &path, e))?;
        }
    }
    Ok(())
}

/// Removes it from every collection's folder below `output` that no process holds. What can't be tidied is left.
pub(super) fn tidy(output: &Path) {
    for entry in fs::read_dir(output).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_collection = name
            .to_str()
            .is_some_and(|n| n.parse::<CollectionId>().is_ok());
        let is_folder = |e: &fs::DirEntry| -> io::Result<bool> { Ok(e.file_type()?.is_dir()) };
        if !is_collection || !is_folder(&entry).unwrap_or(false) {
            continue;
        }
        // Without a lock nobody knows whether the file is being written.
        if let Ok(Some(_lock)) = lock(&entry.path()) {
            let _ = remove(&entry.path());
        }
    }
}

/// Whether a file of this name is one of ours that is not finished.
fn is_ours(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".partial") else {
        return false;
    };
    let is_number =
        |text: &str, least: usize| text.len() >= least && text.bytes().all(|b| b.is_ascii_digit());
    let slot = stem.strip_prefix("slot-").is_some_and(|n| is_number(n, 8));
    let statement = stem
        .strip_prefix("part-")
        .and_then(|rest| rest.strip_suffix(".statement.json"))
        .is_some_and(|n| is_number(n, 4));
    slot || statement
        || [reserve::PART, reserve::STATEMENT].contains(&name)
        || ["seal.crt", "ended"].contains(&stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: CollectionId = CollectionId::from_bytes([3; 16]);

    #[test]
    fn only_our_own_unfinished_files_go_and_only_where_nobody_writes() {
        let output = tempfile::tempdir().unwrap();
        let (mine, others) = (output.path().join(ID.to_string()), output.path().join("x"));
        let held = CollectionId::from_bytes([4; 16]);
        let held = output.path().join(held.to_string());
        let gone = [
            "slot-00000001.partial",
            "closing.partial",
            "closing.statement.partial",
            "part-0002.statement.json.partial",
            "seal.crt.partial",
        ];
        let kept = [
            "part-0001.zip",
            "part-0001.statement.json",
            "slot-1.partial",
            "notes.partial",
            "slot-00000001.partial.txt",
        ];
        for folder in [&mine, &others, &held] {
            fs::create_dir(folder).unwrap();
            for name in gone.iter().chain(&kept) {
                fs::write(folder.join(name), "x").unwrap();
            }
        }
        let _lock = lock(&held).unwrap().unwrap();
        tidy(output.path());
        for name in gone {
            assert!(!mine.join(name).exists(), "{name}");
            assert!(others.join(name).exists() && held.join(name).exists());
        }
        assert!(kept.iter().all(|name| mine.join(name).exists()));
        assert!(matches!(lock(&held), Err(SpoolError::InUse(_))));
    }
}
