//! The half that sees everything and has no network: it gathers, seals and encrypts.
//!
//! It writes only into descriptors that it is handed, and opens nothing for writing by name.

pub mod collect;
mod content;
mod folders;
pub mod host;
pub mod outcome;
mod part;
mod pieces;
pub mod pipeline;
pub mod port;
pub mod progress;
pub mod seal;
pub mod sink;
mod stored;
pub mod task;
#[cfg(test)]
mod tests;
