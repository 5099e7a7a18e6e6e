//! The half that owns the spool (and, as a service, the network): it sees ciphertext only.

mod clock;
mod context;
mod custody;
mod disk;
pub mod doctor;
pub mod enrol;
pub mod errors;
mod failed;
pub mod folder;
mod fork;
mod health;
pub mod http;
mod leftovers;
mod live;
pub mod local;
mod orders;
mod outbox;
mod pause;
mod places;
mod receipt;
mod renewal;
mod reports;
mod reserve;
pub mod room;
pub mod service;
mod shelf;
mod slots;
mod spare;
pub mod spool;
pub mod start;
pub mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod tls;
mod upload;
mod used;
