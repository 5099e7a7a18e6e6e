//! What a Fieldseal archive is, how it is sealed, encrypted, proven, and checked.
//!
//! No sockets, no database, no code of one operating system: small enough for a
//! court's expert to read. `FORMAT.md` beside this crate is the specification.

pub mod archive;
pub mod capture;
pub mod count;
pub mod custody;
pub mod digest;
pub mod envelope;
pub mod field;
pub mod gap;
pub mod ids;
pub mod instant;
pub mod keys;
pub mod names;
pub mod records;
pub mod seal;
#[cfg(test)]
#[allow(
    dead_code,
    reason = "the agent's tests share the file, and need more of it"
)]
mod small_disk;
pub mod statement;
pub mod timestamp;
pub mod verify;
pub mod wrap;
