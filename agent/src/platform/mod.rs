//! The only place with code of one operating system.

pub mod priority;
pub mod procfs;
pub mod socket;
