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

/// Gives what root has made in `folder` to whom the folder belongs; by anybody else, nothing happens.
///
/// # Errors
/// The folder can't be read, or the system refuses.
pub fn hand_over(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, lchown};
        let owner = std::fs::metadata(folder)?;
        if !rustix::process::geteuid().is_root() || owner.uid() == 0 {
            return Ok(());
        }
        let mut folders = vec![folder.to_path_buf()];
        while let Some(one) = folders.pop() {
            for entry in std::fs::read_dir(&one)? {
                let path = entry?.path();
                let seen = std::fs::symlink_metadata(&path)?;
                // A second name of a file elsewhere is none that we have made.
                if seen.uid() == 0 && (seen.is_dir() || seen.nlink() == 1) {
                    lchown(&path, Some(owner.uid()), Some(owner.gid()))?;
                }
                if seen.is_dir() {
                    folders.push(path);
                }
            }
        }
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_root_makes_in_anothers_folder_is_the_others() {
        use std::os::unix::fs::{MetadataExt as _, chown};
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("spool")).unwrap();
        std::fs::write(at("spool/part"), "").unwrap();
        let owner = |path: &Path| std::fs::symlink_metadata(path).unwrap().uid();
        hand_over(folder.path()).unwrap();
        assert_eq!(owner(&at("spool/part")), owner(folder.path()));
        if rustix::process::geteuid().is_root() {
            std::fs::hard_link(at("spool/part"), at("linked")).unwrap();
            std::fs::write(at("spool/own"), "").unwrap();
            chown(folder.path(), Some(64_711), Some(64_711)).unwrap();
            hand_over(folder.path()).unwrap();
            assert_eq!(owner(&at("spool/own")), 64_711);
            assert_eq!((owner(&at("spool")), owner(&at("linked"))), (64_711, 0));
        }
    }

    #[test]
    fn a_file_system_that_can_sync_no_folder_is_no_fault() {
        let plain = File::open("/proc").unwrap().sync_all().unwrap_err();
        assert_eq!(plain.kind(), ErrorKind::InvalidInput);
        sync_folder(Path::new("/proc")).unwrap();
        assert!(sync_folder(Path::new("/proc/nowhere")).is_err());
    }
}
