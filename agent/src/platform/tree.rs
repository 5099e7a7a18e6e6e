//! The few calls of the system that looking at a tree safely rests on: all of `files` is written over them.
//!
//! # Platform behaviour
//! Linux: openat, statx (before 4.11, where there is none, fstatat), getdents64 and their like. Elsewhere every call answers `NOSYS`, so that a walk gives gaps
//! that say so and never an empty result called success.

use std::ffi::CString;

#[cfg(target_os = "linux")]
mod before_statx;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::*;
#[cfg(target_os = "linux")]
pub use linux::*;

/// A name in a folder's own list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name.
    pub name: CString,
    /// The inode of what the list calls a regular file. A list can be old by the time when it is read, so this only
    /// spares a look where what is opened turns out to be that very file.
    pub file_inode: Option<u64>,
}

/// What is to be opened by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// A folder, to be entered or listed.
    Folder,
    /// A file, to be read. Should a pipe or terminal be slipped in, opening it neither hangs nor binds.
    File,
}
