//! Starts the spool-only half for a local collection: the same program, with one end of the link as its input.

use std::{
    io,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::platform::handle::OwnedFd;
use crate::platform::program;
use crate::platform::socket;

/// Starts it; gives the child and our end of the link.
///
/// # Errors
/// The system refuses another process.
pub fn spool_half(output: &Path) -> io::Result<(Child, OwnedFd)> {
    let (ours, theirs) = socket::pair()?;
    // By descriptor, not by name: the file may have been replaced since we were started.
    let child = Command::new(program::own_path()?)
        .arg("spool-half")
        .arg("--output")
        .arg(output)
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .spawn()?;
    Ok((child, ours))
}
