//! What the system calls an open file: a descriptor or a handle, owned or borrowed.
//!
//! # Platform behaviour
//! Unix: descriptors. Windows: handles under the same names.

#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
#[cfg(windows)]
pub use windows::{AsFd, BorrowedFd, OwnedFd};
