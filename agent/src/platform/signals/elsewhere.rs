//! Systems on which a service can't be told to stop yet.

use std::{
    convert::Infallible,
    io,
    process::{Child, ExitStatus},
    time::Duration,
};

use super::Told;

/// Nobody has one here.
#[derive(Debug)]
pub struct Signals(Infallible);

impl Signals {
    /// Always `Unsupported`.
    pub fn block() -> io::Result<Self> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the agent can't run as a service on this system yet",
        ))
    }

    /// Never called: nobody has one.
    pub fn wait(&self, _wait: Duration) -> io::Result<Option<Told>> {
        match self.0 {}
    }

    /// Never called: nobody has one.
    pub fn wait_for_stop(&self) -> io::Result<()> {
        match self.0 {}
    }
}

/// Always `Unsupported`.
pub fn ask_to_end(_child: &Child) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not told here.
pub fn parent() -> Option<i32> {
    None
}

/// There are no such walls here.
pub fn is_forbidden_call(_ended: &ExitStatus) -> bool {
    false
}

/// Always `Unsupported`.
pub fn end_with_parent() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
