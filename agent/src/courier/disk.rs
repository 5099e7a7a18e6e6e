//! Small files that are there whole or not at all, also after the power failed; and the courier's file errors.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use crate::platform::{handle::OwnedFd, private};

/// A file or folder of the courier failed.
#[derive(Debug, thiserror::Error)]
#[error("{path} can't be {what}. Check the rights and the free space of the courier's folder.")]
pub struct DiskError {
    /// What was tried: "read", "written".
    pub what: &'static str,
    /// On what.
    pub path: PathBuf,
    /// The system's answer.
    pub source: io::Error,
}

impl DiskError {
    /// With the system's answer, for who is told it without a chain of causes.
    pub(super) fn to_text(&self) -> String {
        format!("{self} ({})", self.source)
    }

    /// Whether there was no room for it.
    pub(super) fn is_full(&self) -> bool {
        crate::platform::disk::is_full(&self.source)
    }
}

/// Gives an error its place.
pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_path_buf();
    move |source| DiskError { what, path, source }
}

/// Makes a folder for its owner alone, and those above it.
pub(super) fn make_folder(path: &Path) -> Result<(), DiskError> {
    private::folder()
        .create(path)
        .map_err(failed("created", path))
}

/// Writes `bytes` under `path`, readable by the owner alone; what lay there is replaced in one step.
pub(super) fn write_durable(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    write_whole(path, bytes, true)?;
    sync_folder(parent(path))
}

/// As [`write_durable`], for what may be lost with the power.
pub(super) fn write_whole(path: &Path, bytes: &[u8], durable: bool) -> Result<(), DiskError> {
    let partial = partial(path);
    let write = || {
        let mut file = private::file()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&partial)?;
        file.write_all(bytes)?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(&partial, path)
    };
    let written = write();
    if written.is_err() {
        // On a full disk the half of it would be in the way of what is tried next.
        let _ = fs::remove_file(&partial);
    }
    written.map_err(failed("written", path))
}

/// Renames in one step, durably.
pub(super) fn rename_durable(from: &Path, to: &Path) -> Result<(), DiskError> {
    fs::rename(from, to).map_err(failed("named", to))?;
    sync_folder(parent(to))
}

/// Removes a file that may be gone already.
pub(super) fn remove(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("removed", path)(e)),
        _ => Ok(()),
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), DiskError> {
    private::sync_folder(path).map_err(failed("made durable", path))
}

/// So much room is left where a file is read to its end, which is looked for there.
const GROWTH_BYTES: u64 = 64;

/// Reads a file of at most `limit_bytes`.
pub(super) fn read_capped(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, DiskError> {
    let read = || {
        let file = File::open(path)?;
        // Read in place: one that grows would leave what it held behind, and it may be a key.
        let room = file.metadata()?.len().min(limit_bytes) + GROWTH_BYTES;
        let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or(0));
        file.take(limit_bytes + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit_bytes {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long"));
        }
        Ok(bytes)
    };
    read().map_err(failed("read", path))
}

/// A descriptor, for reading alone, of a file without a name that holds `bytes`.
pub(super) fn nameless(folder: &Path, bytes: &[u8]) -> Result<OwnedFd, DiskError> {
    let path = folder.join("handed.new");
    remove(&path)?;
    let write = || {
        let mut file = private::file().write(true).create_new(true).open(&path)?;
        file.write_all(bytes)
    };
    if let Err(error) = write() {
        let _ = fs::remove_file(&path);
        return Err(failed("written", &path)(error));
    }
    unname(&path)
}

/// A descriptor, for reading alone, of the file at `path`, which loses its name.
pub(super) fn unname(path: &Path) -> Result<OwnedFd, DiskError> {
    let read = || {
        let reader = File::open(path)?;
        fs::remove_file(path)?;
        Ok(reader.into())
    };
    read().map_err(failed("read", path))
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write_durable(&path, b"one").unwrap();
        write_durable(&path, b"two").unwrap();
        assert_eq!(read_capped(&path, 3).unwrap(), b"two");
        assert!(read_capped(&path, 2).is_err());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_handed_over_has_no_name_and_can_only_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = File::from(nameless(folder.path(), b"order").unwrap());
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "order");
        assert!(file.write_all(b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
