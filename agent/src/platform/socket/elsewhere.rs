//! Systems on which the two halves can't be connected yet.

use std::{convert::Infallible, io, path::Path, time::Duration};

use crate::platform::handle::{AsFd, BorrowedFd, OwnedFd};

fn unsupported<T>() -> io::Result<T> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "the agent's two halves can't be connected on this system yet",
    ))
}

/// Always `Unsupported`.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    unsupported()
}

/// Always `Unsupported`.
pub fn send(_socket: impl AsFd, _bytes: &[u8], _handed: Option<BorrowedFd<'_>>) -> io::Result<()> {
    unsupported()
}

/// Always `Unsupported`.
pub fn receive(_socket: impl AsFd, _buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    unsupported()
}

/// Always `Unsupported`.
pub fn wait_readable(_socket: impl AsFd, _wait: Duration) -> io::Result<bool> {
    unsupported()
}

/// Nobody has one here.
#[derive(Debug)]
pub struct Wake(Infallible);

impl Wake {
    /// Always `Unsupported`.
    pub fn new() -> io::Result<Self> {
        unsupported()
    }

    /// Never called: nobody has one.
    pub fn rouse(&self) {
        match self.0 {}
    }

    /// Never called: nobody has one.
    pub fn wait(&self, _socket: impl AsFd, _wait: Option<Duration>) -> io::Result<bool> {
        match self.0 {}
    }
}

/// Always `Unsupported`.
pub fn limit_sends(_socket: impl AsFd, _wait: Duration) -> io::Result<()> {
    unsupported()
}

/// Always `Unsupported`.
pub fn listen(_path: &Path) -> io::Result<OwnedFd> {
    unsupported()
}

/// Always `Unsupported`.
pub fn accept(_listener: impl AsFd) -> io::Result<OwnedFd> {
    unsupported()
}

/// Always `Unsupported`.
pub fn connect(_path: &Path) -> io::Result<OwnedFd> {
    unsupported()
}

/// Always `Unsupported`.
pub fn peer_uid(_socket: impl AsFd) -> io::Result<u32> {
    unsupported()
}

/// Nothing is ever connected here.
pub fn close(_socket: impl AsFd) {}
