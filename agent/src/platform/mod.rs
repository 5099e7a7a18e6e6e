//! The only place with code of one operating system.

pub mod disk;
pub mod disks;
pub mod handle;
pub mod journal;
pub mod names;
pub mod neighbours;
pub mod own_mounts;
pub mod pool;
pub mod power;
pub mod priority;
pub mod private;
pub mod procfs;
pub mod program;
pub mod sandbox;
pub mod sha256;
pub mod signals;
pub mod socket;
pub mod terminal;
pub mod tree;
