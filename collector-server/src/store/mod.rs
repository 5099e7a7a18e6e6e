//! What the server keeps: rows in the index, ciphertext in the blobs.

pub mod blobs;
pub mod index;
mod writer;
