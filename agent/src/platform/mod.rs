//! The only place with code of one operating system.

pub mod handle;
pub mod journal;
pub mod names;
pub mod neighbours;
pub mod priority;
pub mod procfs;
pub mod signals;
pub mod socket;
