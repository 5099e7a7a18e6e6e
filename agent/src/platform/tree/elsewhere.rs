//! Systems on which a tree can't be looked at safely yet: every call says so.

use std::{
    ffi::{CStr, OsString},
    fs::File,
    io,
    path::Path,
};

use super::{Listed, Open};
use crate::{
    files::stat::Stat,
    platform::handle::{AsFd, OwnedFd},
};

/// Why a call failed, by the names that the callers know from Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Errno {
    /// Not there.
    #[error("there is no such file or folder")]
    NOENT,
    /// A component is no folder.
    #[error("it is not a folder")]
    NOTDIR,
    /// It is a folder.
    #[error("it is a folder")]
    ISDIR,
    /// Refused.
    #[error("permission denied")]
    ACCESS,
    /// Refused to everyone but a few.
    #[error("the operation is not permitted")]
    PERM,
    /// A link, or a loop of them.
    #[error("it is a link")]
    LOOP,
    /// Nothing listens there.
    #[error("there is no such device")]
    NXIO,
    /// Not offered by this system.
    #[error("this can't be done on this system yet")]
    NOSYS,
    /// Not offered by this file system.
    #[error("the file system does not offer this")]
    OPNOTSUPP,
    /// Too many files are open here.
    #[error("too many files are open")]
    MFILE,
    /// Too many files are open on the host.
    #[error("too many files are open on this host")]
    NFILE,
    /// A name is too long.
    #[error("the name is too long")]
    NAMETOOLONG,
    /// A file is too long.
    #[error("the file is too long")]
    FBIG,
    /// The medium failed.
    #[error("the read failed")]
    IO,
}

impl Errno {
    /// The one that stands for `error`, where one does.
    pub fn from_io_error(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::NotFound => Some(Self::NOENT),
            io::ErrorKind::PermissionDenied => Some(Self::ACCESS),
            io::ErrorKind::Unsupported => Some(Self::NOSYS),
            _ => None,
        }
    }
}

impl From<Errno> for io::Error {
    fn from(error: Errno) -> Self {
        let kind = match error {
            Errno::NOENT => io::ErrorKind::NotFound,
            Errno::ACCESS | Errno::PERM => io::ErrorKind::PermissionDenied,
            Errno::NOSYS | Errno::OPNOTSUPP => io::ErrorKind::Unsupported,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// Always `NOSYS`.
pub fn open_root(_path: &Path) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

/// Always `NOSYS`.
pub fn open_at(_folder: impl AsFd, _name: &CStr, _what: Open) -> Result<(OwnedFd, bool), Errno> {
    Err(Errno::NOSYS)
}

/// Always `NOSYS`.
pub fn link_target(_folder: impl AsFd, _name: &CStr) -> Result<OsString, Errno> {
    Err(Errno::NOSYS)
}

/// Always `NOSYS`.
pub fn next_names(_folder: impl AsFd) -> Result<Vec<Listed>, Errno> {
    Err(Errno::NOSYS)
}

/// Always `NOSYS`.
pub fn stat_entry(_folder: impl AsFd, _name: &CStr) -> Result<Stat, Errno> {
    Err(Errno::NOSYS)
}

/// Always `NOSYS`.
pub fn stat_open(_file: impl AsFd) -> Result<Stat, Errno> {
    Err(Errno::NOSYS)
}

/// Always `NOSYS`.
pub fn file_system(_fd: impl AsFd) -> Result<u64, Errno> {
    Err(Errno::NOSYS)
}

/// Always `NOSYS`.
pub fn file_system_of(_folder: impl AsFd, _name: &CStr) -> Result<u64, Errno> {
    Err(Errno::NOSYS)
}

/// Always `NOSYS`.
pub fn attribute_names(_file: impl AsFd, _at_most_bytes: usize) -> Result<Vec<u8>, Errno> {
    Err(Errno::NOSYS)
}

/// Always `NOSYS`.
pub fn attribute(_file: impl AsFd, _name: &[u8], _at_most_bytes: usize) -> Result<Vec<u8>, Errno> {
    Err(Errno::NOSYS)
}

/// Always `NOSYS`.
pub fn next_data(_file: &File, _at: u64) -> Result<Option<(u64, u64)>, Errno> {
    Err(Errno::NOSYS)
}
