//! The signals by which a service is told to stop, and that a child has ended: waited for, never handled.
//!
//! They are blocked before any thread begins, so that a signal is taken up at one place and interrupts
//! nothing.
//!
//! # Platform behaviour
//! Linux: `pthread_sigmask` and `sigtimedwait`. Children begin with the same signals blocked: they must
//! wait for them too. Elsewhere: not yet, and blocking answers `Unsupported`.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::*;
#[cfg(target_os = "linux")]
pub use linux::*;

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The service shall stop.
    Stop,
    /// A child has ended; perhaps several.
    Child,
}
