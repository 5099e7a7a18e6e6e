//! Systems without procfs: nothing to read, and every answer says so.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use super::{Capped, Identity};

fn unsupported<T>() -> Result<T> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "this system has no procfs",
    ))
}

/// Whether there is a procfs at `proc`.
///
/// # Errors
/// Always `Unsupported`.
pub fn present(_proc: &Path) -> Result<()> {
    unsupported()
}

/// The process numbers that `proc` lists, in order.
///
/// # Errors
/// Always `Unsupported`.
pub fn pids(_proc: &Path) -> Result<Vec<u32>> {
    unsupported()
}

/// Whether a process has the number `pid`: none does here.
pub fn answers(_pid: u32) -> bool {
    false
}

/// Reads at most `cap` bytes of the file at `path`.
///
/// # Errors
/// Always `Unsupported`.
pub fn read_capped(_path: &Path, _cap: usize) -> Result<Capped> {
    unsupported()
}

/// Reads up to `length` bytes at `offset` of `file`.
///
/// # Errors
/// Always `Unsupported`.
pub fn read_at(_file: &File, _offset: u64, _length: usize) -> Result<Vec<u8>> {
    unsupported()
}

/// Where the link at `path` points, and the exact bytes.
///
/// # Errors
/// Always `Unsupported`.
pub fn link(_path: &Path) -> Result<(PathBuf, Vec<u8>)> {
    unsupported()
}

/// The identity of the file that `path` leads to.
///
/// # Errors
/// Always `Unsupported`.
pub fn identity(_path: &Path) -> Result<Identity> {
    unsupported()
}

/// Opens the regular file that `path` leads to, for reading.
///
/// # Errors
/// Always `Unsupported`.
pub fn open_regular(_path: &Path) -> Result<File> {
    unsupported()
}

/// Clock ticks in a second, the unit of times in `/proc/PID/stat`.
pub fn ticks() -> u64 {
    100
}
