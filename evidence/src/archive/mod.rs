//! The archive: a ZIP that everybody's tools read, written in one pass and read with suspicion.
//!
//! `writer` streams entries, `part` lays out a whole part, `reader` takes hostile bytes and
//! names every fault. What an archive means (seals, digests, chains) is not judged here.

mod directory;
pub mod fault;
mod inflate;
pub mod limits;
mod lines;
pub mod part;
pub mod reader;
#[cfg(test)]
mod tests;
pub mod writer;

pub use self::{
    directory::Entry,
    fault::{Fault, FaultCode},
    limits::Limits,
    lines::Lines,
    part::{Closing, PartLimits, PartWriter, SealError, Sealed},
    reader::{Report, read, read_some},
    writer::{Stored, StreamZip, WriteError},
};

/// The entry that lists every other entry's digest.
pub const SUMS: &str = "SHA256SUMS";
/// The entry that seals [`SUMS`].
pub const SEAL: &str = "SHA256SUMS.p7s";
/// What follows fs/ and results/ in every part, in this order.
pub const RECORDS: [&str; 8] = [
    "files.jsonl",
    "gaps.jsonl",
    "log.jsonl",
    "order.json",
    "policy.json",
    "collection.json",
    SUMS,
    SEAL,
];
