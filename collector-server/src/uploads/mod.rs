//! Uploads by tus 1.0: creation, checksum, termination, expiration.
//!
//! An offset is told only when it is on disk, a part is kept only when it has
//! the digest that was promised. Contents are ciphertext and are not looked into.

mod handlers;
mod headers;
mod refusal;
mod store;

pub use handlers::router;
pub use refusal::Refusal;
pub use store::{UploadLimits, Uploads};

#[cfg(test)]
mod tests;
