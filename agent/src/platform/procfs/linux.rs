//! Linux: procfs by plain reads. Only regular files are opened, never a device or a FIFO.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    process::{Pid, getpriority_process},
};

use super::{Capped, Identity};
use crate::platform::tree::quietly;

/// Whether there is a procfs at `proc`.
///
/// # Errors
/// The system's answer, where it can't be listed.
pub fn present(proc: &Path) -> Result<()> {
    std::fs::read_dir(proc).map(drop)
}

/// The process numbers that `proc` lists, in order.
///
/// # Errors
/// The folder can't be listed.
pub fn pids(proc: &Path) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(proc)? {
        if let Some(pid) = entry?.file_name().to_str().and_then(|n| n.parse().ok()) {
            found.push(pid);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Reads at most `cap` bytes of the regular file at `path`.
///
/// # Errors
/// It can't be opened or read, or is no regular file.
pub fn read_capped(path: &Path, cap: usize) -> Result<Capped> {
    let mut bytes = Vec::new();
    let most = u64::try_from(cap).unwrap_or(u64::MAX).saturating_add(1);
    open_regular(path)?.take(most).read_to_end(&mut bytes)?;
    let cut = bytes.len() > cap;
    bytes.truncate(cap);
    Ok(Capped { bytes, cut })
}

/// Reads up to `length` bytes at `offset` of `file`; fewer at its end.
///
/// # Errors
/// The read failed.
pub fn read_at(file: &File, offset: u64, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut have = 0;
    while have < length {
        match file.read_at(&mut bytes[have..], offset.saturating_add(have as u64)) {
            Ok(0) => break,
            Ok(more) => have += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(have);
    Ok(bytes)
}

/// Where the link at `path` points, and the exact bytes.
///
/// # Errors
/// It can't be read, or is no link.
pub fn link(path: &Path) -> Result<(PathBuf, Vec<u8>)> {
    let target = std::fs::read_link(path)?;
    let bytes = target.clone().into_os_string().into_vec();
    Ok((target, bytes))
}

/// The identity of the file that `path` leads to.
///
/// # Errors
/// The path leads nowhere, or may not be looked at.
pub fn identity(path: &Path) -> Result<Identity> {
    let found = std::fs::metadata(path)?;
    Ok(Identity {
        device: found.dev(),
        inode: found.ino(),
        size_bytes: found.size(),
        links: found.nlink(),
        regular: found.is_file(),
    })
}

/// Whether a process or thread has the number `pid`: one call that touches no file, for millions of numbers.
pub fn answers(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| getpriority_process(Some(pid)) != Err(Errno::SRCH))
}

/// Opens the regular file that `path` leads to, for reading.
///
/// The type is looked at before the open, because opening a device or FIFO acts on it, and again
/// after it; O_NONBLOCK covers the moment between. Its access time is left alone, where this user may ask for that.
///
/// # Errors
/// It can't be opened, or is no regular file.
pub fn open_regular(path: &Path) -> Result<File> {
    let strange = || Error::new(ErrorKind::InvalidInput, "not a regular file, so not opened");
    if !std::fs::metadata(path)?.is_file() {
        return Err(strange());
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let (file, _) = quietly(flags, |flags| rustix::fs::open(path, flags, Mode::empty()))?;
    let file = File::from(file);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(strange())
    }
}

/// Clock ticks in a second, the unit of times in `/proc/PID/stat`.
pub fn ticks() -> u64 {
    rustix::param::clock_ticks_per_second().max(1)
}
