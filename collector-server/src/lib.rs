//! The Fieldseal server: lets hosts in, hands orders on, keeps sealed parts, and logs what was done.
//!
//! It holds ciphertext only and has no key to open it; it can withhold an order and make none.

pub mod access;
mod admitting;
pub mod app;
pub mod ca;
pub mod certificate;
pub mod cli;
pub mod config;
pub mod custody;
pub mod deployment;
mod entering;
pub mod expiry;
pub mod folder;
pub mod hand_in;
mod handlers;
pub mod init;
pub mod intake;
pub mod keeping;
pub mod keyfile;
pub mod lapse;
pub mod metrics;
pub mod rates;
pub mod refusal;
pub mod router;
pub mod serve;
pub mod shares;
pub mod siem;
pub mod state;
pub mod status;
pub mod store;
pub mod token;
pub mod trust;
mod uncut;
pub mod unfit;
pub mod wake;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
