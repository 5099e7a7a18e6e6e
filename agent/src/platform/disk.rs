//! How much space a file system has.
//!
//! # Platform behaviour
//! Unix: statvfs. Elsewhere every call answers `Unsupported`.

use std::{fs::File, io, path::Path};

/// The space of one file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total_bytes: u64,
    /// What is free for others than root.
    pub free_bytes: u64,
}

/// The space where `path` lies.
///
/// # Errors
/// The file system can't be asked.
pub fn space(path: &Path) -> io::Result<Space> {
    system::space(path)
}

/// The space where the open `file` lies.
///
/// # Errors
/// The file system can't be asked.
pub fn space_of(file: &File) -> io::Result<Space> {
    system::space_of(file)
}

#[cfg(unix)]
mod system {
    use std::{fs::File, io, path::Path};

    use rustix::fs::StatVfs;

    use super::Space;

    pub(super) fn space(path: &Path) -> io::Result<Space> {
        Ok(of(&rustix::fs::statvfs(path)?))
    }

    pub(super) fn space_of(file: &File) -> io::Result<Space> {
        Ok(of(&rustix::fs::fstatvfs(file)?))
    }

    fn of(told: &StatVfs) -> Space {
        Space {
            total_bytes: told.f_blocks.saturating_mul(told.f_frsize),
            free_bytes: told.f_bavail.saturating_mul(told.f_frsize),
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::{fs::File, io, path::Path};

    use super::Space;

    pub(super) fn space(_path: &Path) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn space_of(_file: &File) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
