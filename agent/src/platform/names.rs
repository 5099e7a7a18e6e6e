//! Names of files as bytes: what the system knows, not what it looks like.
//!
//! # Platform behaviour
//! Unix: the exact bytes. Windows: the name's WTF-8, which is its text wherever it has one.

#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use std::os::unix::ffi::{OsStrExt, OsStringExt};
#[cfg(windows)]
pub use windows::{OsStrExt, OsStringExt};
