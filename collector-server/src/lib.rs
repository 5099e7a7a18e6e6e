//! The Fieldseal server: receives sealed parts over mTLS and keeps them.
//!
//! It holds ciphertext only and has no key to open it.

pub mod app;
pub mod ca;
pub mod config;
pub mod init;
pub mod keyfile;
pub mod metrics;
pub mod serve;
pub mod store;
pub mod uploads;

#[cfg(test)]
mod testing;
