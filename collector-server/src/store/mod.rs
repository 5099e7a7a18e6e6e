//! What the server keeps: rows in the index, ciphertext in the blobs.
//!
//! Whoever reads for a person does so within a [`Scope`]: no question of a person's is
//! answered here without the agencies that the person may see.

pub mod agents;
pub mod blobs;
mod clones;
mod columns;
pub mod expiry;
pub mod holds;
pub mod imports;
pub mod index;
pub mod kits;
pub mod leaves;
pub mod log_pieces;
pub mod orders;
pub mod parts;
pub mod pending;
pub mod retention;
mod scope;
pub mod sight;
pub mod survey;
pub mod uploads;
mod writer;

pub use scope::Scope;
