//! Files written durably, whole or not at all; secrets among them readable by their owner only.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    path::Path,
    time::SystemTime,
};

/// Creates `path` with these bytes, synced with its folder; refuses to overwrite.
///
/// # Errors
/// The file exists, or the system refuses.
///
/// # Platform behaviour
/// `mode` is applied on Unix only; elsewhere the folder's rights are inherited.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_dir(folder_of(path))
}

/// How the name of what is being put in place ends.
pub const NEW: &str = ".new";

/// Puts these bytes in the place of `path` in one step.
///
/// # Errors
/// The system refuses; the old file is then still there.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.to_owned().into_os_string();
    name.push(NEW);
    let new = Path::new(&name);
    match fs::remove_file(new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    create(new, bytes, mode)?;
    fs::rename(new, path)?;
    sync_dir(folder_of(path))
}

/// Makes a folder that its owner alone may enter, with all above it.
///
/// # Errors
/// The system refuses.
///
/// # Platform behaviour
/// On Unix its mode becomes 0700; elsewhere the rights are inherited.
pub fn private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// The folder that `path` lies in: the current one for a bare name.
fn folder_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Makes the names in `dir` durable, as far as its file system can.
///
/// # Errors
/// The folder can't be opened, or its medium failed.
///
/// # Platform behaviour
/// Windows has no such call; there it does nothing.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) {
        match File::open(dir)?.sync_all() {
            // A stick's may have no such thing (fsync(2): EINVAL).
            Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {}
            other => other?,
        }
    }
    Ok(())
}

/// When something was last changed, given its name included.
///
/// # Errors
/// It isn't there.
///
/// # Platform behaviour
/// Only Unix knows when something got its name; elsewhere it is when its contents changed.
pub fn changed(path: &Path) -> io::Result<SystemTime> {
    let seen = fs::symlink_metadata(path)?;
    #[cfg(unix)]
    {
        use std::{os::unix::fs::MetadataExt as _, time::Duration};
        let since = |s: i64, ns: i64| Some(Duration::new(s.try_into().ok()?, ns.try_into().ok()?));
        let since = since(seen.ctime(), seen.ctime_nsec());
        let since = since.ok_or(ErrorKind::InvalidData)?;
        Ok(SystemTime::UNIX_EPOCH + since)
    }
    #[cfg(not(unix))]
    seen.modified()
}

/// Whether what is made in `dir` belongs to whom it belongs.
///
/// # Errors
/// The system does not say.
///
/// # Platform behaviour
/// Asked on Unix only; elsewhere rights are inherited.
pub fn is_own(dir: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Ok(fs::metadata(dir)?.uid() == rustix::process::geteuid().as_raw())
    }
    #[cfg(not(unix))]
    {
        let _ = dir;
        Ok(true)
    }
}

/// How many bytes an ordinary user can still write where `dir` lies.
///
/// # Errors
/// The system does not say.
///
/// # Platform behaviour
/// Known on Unix only; elsewhere it is as if there were no end.
pub fn free_bytes(dir: &Path) -> io::Result<u64> {
    #[cfg(unix)]
    {
        let found = rustix::fs::statvfs(dir)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = dir;
        Ok(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_created_once_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        create(&path, b"one", 0o600).unwrap();
        assert!(create(&path, b"two", 0o600).is_err());
        fs::write(dir.path().join("k.new"), b"left by a crash").unwrap();
        replace(&path, b"three", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_bare_name_lies_in_the_current_folder() {
        assert_eq!(folder_of(Path::new("token.json")), Path::new("."));
        assert_eq!(folder_of(Path::new("a/token.json")), Path::new("a"));
        assert_eq!(folder_of(Path::new("/")), Path::new("."));
    }
}
