//! Giving way to everything else that runs on the host.
//!
//! # Platform behaviour
//! Unix: the nice value of the calling thread and of every thread that it starts later; on Linux the priority of its
//! reads and writes follows from it. Elsewhere: not yet.

/// The least pressing nice value.
#[cfg(unix)]
const LEAST: i32 = 19;

/// Lowers the priority of the calling thread, where the system lets us: without it the run is only less polite.
pub fn lower() {
    #[cfg(unix)]
    let _ = rustix::process::setpriority_process(None, LEAST);
}
