//! What is read from procfs: numbers, links and small files, each with a cap, none with a side effect.
//!
//! # Platform behaviour
//! Linux has it; elsewhere every function answers `Unsupported`, so that an artifact states one gap.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{
    answers, identity, link, open_regular, pids, present, read_at, read_capped, ticks,
};
#[cfg(target_os = "linux")]
pub use linux::{
    answers, identity, link, open_regular, pids, present, read_at, read_capped, ticks,
};

/// What was read of a file, and whether there was more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capped {
    /// The first bytes, at most as many as asked for.
    pub bytes: Vec<u8>,
    /// Whether the file went on.
    pub cut: bool,
}

/// Which file a path led to, and what its system says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The device number.
    pub device: u64,
    /// The inode number.
    pub inode: u64,
    /// The size that the system claims.
    pub size_bytes: u64,
    /// How many names it has; 0 for a deleted file.
    pub links: u64,
    /// Whether it is a regular file, the only type that may be opened.
    pub regular: bool,
}
