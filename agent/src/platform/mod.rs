//! The only place with code of one operating system.

pub mod procfs;
pub mod socket;
