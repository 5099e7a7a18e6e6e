//! A pair of connected local sockets that keep message borders and carry descriptors.
//!
//! # Platform behaviour
//! Linux: `SOCK_SEQPACKET` Unix sockets with `SCM_RIGHTS`. Elsewhere the two halves can't be connected yet, and every
//! call answers `Unsupported`: this is the one place that keeps the agent's service from starting there.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::*;
#[cfg(target_os = "linux")]
pub use linux::*;
