//! The way in for parts: what is promised is checked before a byte is taken, by tus 1.0.
//!
//! An offset is told only when it is on disk, a part is kept only when it has
//! the digest that was promised and its leaf is in the custody log. Contents are ciphertext
//! and are not looked into.

pub mod drop;
mod headers;
pub mod import;
pub mod stamp;
mod statement;
pub(crate) mod tus;
mod uploads;

pub use uploads::{UploadLimits, Uploads};
