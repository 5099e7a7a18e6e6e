//! Files and folders that are their owner's alone.
//!
//! # Platform behaviour
//! Unix: modes 0600 and 0700. Windows: not yet; whatever would write there is refused before, since the two halves
//! can't be connected (`socket`).

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, ErrorKind},
    path::Path,
};

/// Options for a file; what is made with them is its owner's alone.
pub fn file() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "modes are Unix's"))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// A maker of folders, those above included, that are their owner's alone.
pub fn folder() -> DirBuilder {
    let mut maker = DirBuilder::new();
    maker.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut maker, 0o700);
    maker
}

/// Closes a file that is there already to all but its owner.
///
/// # Errors
/// It belongs to somebody else.
pub fn close_file(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

/// Closes a folder that is there already to all but its owner.
///
/// # Errors
/// It belongs to somebody else.
pub fn close_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Makes the names in a folder durable, as far as its file system can.
///
/// # Errors
/// The folder can't be opened, or its medium failed.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        match File::open(path)?.sync_all() {
            // Some have no such thing (fsync(2): EINVAL), those of a few sticks and shares among them.
            Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Device and inode of the file or folder at `path`: which one it is, whatever its name.
///
/// # Errors
/// It isn't there; or the system has no such numbers.
pub fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let seen = std::fs::metadata(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Ok((seen.dev(), seen.ino()))
    }
    #[cfg(not(unix))]
    {
        drop(seen);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The id of the user that the file or folder at `path` belongs to.
///
/// # Errors
/// It isn't there; or the system has no such numbers.
pub fn owner(path: &Path) -> io::Result<u32> {
    let seen = std::fs::metadata(path)?;
    #[cfg(unix)]
    {
        Ok(std::os::unix::fs::MetadataExt::uid(&seen))
    }
    #[cfg(not(unix))]
    {
        drop(seen);
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_can_sync_no_folder_is_no_fault() {
        let plain = File::open("/proc").unwrap().sync_all().unwrap_err();
        assert_eq!(plain.kind(), ErrorKind::InvalidInput);
        sync_folder(Path::new("/proc")).unwrap();
        assert!(sync_folder(Path::new("/proc/nowhere")).is_err());
    }
}
