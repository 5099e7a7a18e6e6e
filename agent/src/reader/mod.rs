//! The half that sees everything and has no network: it gathers, seals and encrypts.
//!
//! It writes only into descriptors that it is handed, and opens nothing for writing by name.

mod chain;
pub mod collect;
mod conduct;
pub mod conversation;
pub mod custody;
pub mod enrol;
mod extents;
mod fetch;
mod folders;
pub mod follow;
pub mod fork;
mod inbox;
mod lane;
mod live;
mod medium;
pub mod orders;
pub mod outcome;
mod part;
mod pieces;
pub mod port;
pub mod progress;
mod queue;
pub mod recurring;
pub mod renewal;
mod rest;
mod room;
mod scope;
pub mod seal;
pub mod service;
mod shared;
pub mod signed_time;
mod sink;
pub mod state;
mod stored;
mod tally;
pub mod task;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod trust;
pub mod waits;
pub mod way;
mod weight;
