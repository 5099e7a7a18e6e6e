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
/// Whose folder it is may change it meanwhile: what is given away is what was looked at, by its descriptor, and no link
/// is followed.
///
/// # Errors
/// The folder can't be read, or the system refuses.
pub fn hand_over(folder: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let told = |error: io::Error| {
            let path = folder.display();
            io::Error::new(
                error.kind(),
                format!("what root made in {path} can't be given to whom it belongs: {error}"),
            )
        };
        // The folder itself may be a link to where there is more room: it lies in root's.
        let top = linux::open(folder).map_err(|error| told(error.into()))?;
        let owner = linux::Owner::of(&top)?;
        if rustix::process::geteuid().is_root() && !owner.is_root() {
            linux::hand_over(top, owner).map_err(told)?;
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = folder;
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        io,
        os::fd::{AsFd, OwnedFd},
        path::Path,
    };

    use rustix::{
        fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, fstat, openat},
        io::Errno,
        path::Arg,
    };

    #[derive(Debug, Clone, Copy)]
    pub(super) struct Owner(Uid, Gid);

    impl Owner {
        pub(super) fn of(folder: &OwnedFd) -> io::Result<Self> {
            let seen = fstat(folder)?;
            Ok(Self(Uid::from_raw(seen.st_uid), Gid::from_raw(seen.st_gid)))
        }

        pub(super) fn is_root(self) -> bool {
            self.0.is_root()
        }
    }

    pub(super) fn open(folder: &Path) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, folder, flags, Mode::empty())
    }

    fn enter(parent: impl AsFd, name: impl Arg) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(parent, name, flags, Mode::empty())
    }

    pub(super) fn hand_over(top: OwnedFd, owner: Owner) -> io::Result<()> {
        let mut folders = vec![top];
        while let Some(folder) = folders.pop() {
            for entry in Dir::read_from(&folder)? {
                let entry = entry?;
                let name = entry.file_name();
                if [c".", c".."].contains(&name) {
                    continue;
                }
                match hand_over_one(&folder, name, owner) {
                    Ok(Some(below)) => folders.push(below),
                    // It went meanwhile.
                    Ok(None) | Err(Errno::NOENT) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Gives the folder, where it is one to look into.
    fn hand_over_one(
        folder: &OwnedFd,
        name: &std::ffi::CStr,
        owner: Owner,
    ) -> Result<Option<OwnedFd>, Errno> {
        // A name alone: no pipe hangs, no device is woken.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = openat(folder, name, flags, Mode::empty())?;
        let seen = fstat(&found)?;
        let kind = FileType::from_raw_mode(seen.st_mode);
        // A second name of a file elsewhere is none that we have made, nor is anything but files and folders.
        let is_plain = kind.is_dir() || kind.is_file() && seen.st_nlink == 1;
        let is_roots = seen.st_uid == 0;
        if is_roots && is_plain {
            let Owner(user, group) = owner;
            chownat(&found, c"", Some(user), Some(group), AtFlags::EMPTY_PATH)?;
        }
        let is_theirs = seen.st_uid == owner.0.as_raw();
        match kind.is_dir() && (is_roots || is_theirs) {
            true => enter(&found, c".").map(Some),
            false => Ok(None),
        }
    }
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
            let elsewhere = tempfile::tempdir().unwrap();
            std::fs::write(elsewhere.path().join("roots"), "").unwrap();
            std::os::unix::fs::symlink(elsewhere.path(), at("spool/link")).unwrap();
            chown(folder.path(), Some(64_711), Some(64_711)).unwrap();
            hand_over(folder.path()).unwrap();
            assert_eq!(owner(&at("spool/own")), 64_711);
            assert_eq!((owner(&at("spool")), owner(&at("linked"))), (64_711, 0));
            let beyond = elsewhere.path().join("roots");
            assert_eq!((owner(elsewhere.path()), owner(&beyond)), (0, 0));
            // The top alone may be a link: it lies in root's folder.
            let top = tempfile::tempdir().unwrap();
            std::os::unix::fs::symlink(folder.path(), top.path().join("courier")).unwrap();
            std::fs::write(at("late"), "").unwrap();
            hand_over(&top.path().join("courier")).unwrap();
            assert_eq!(owner(&at("late")), 64_711);
            let nowhere = hand_over(&at("nowhere")).unwrap_err();
            assert!(nowhere.to_string().contains("nowhere"), "{nowhere}");
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
