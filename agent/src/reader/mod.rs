//! The half that sees everything and has no network: it gathers, seals and encrypts.
//!
//! It writes only into descriptors that it is handed, and opens nothing for writing by name.

mod chain;
pub mod collect;
mod conduct;
mod extents;
mod fetch;
mod folders;
pub mod host;
mod inbox;
mod lane;
pub mod outcome;
mod part;
mod pieces;
pub mod port;
pub mod progress;
mod queue;
pub mod seal;
mod shared;
mod sink;
mod stored;
mod tally;
pub mod task;
#[cfg(test)]
mod tests;
