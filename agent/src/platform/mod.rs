//! The only place with code of one operating system.

pub mod socket;
