//! Files written once and durably; secrets among them readable by their owner only.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
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
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes the names in `dir` durable.
///
/// # Errors
/// The folder can't be opened or synced.
///
/// # Platform behaviour
/// Windows has no such call; there it does nothing.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}
