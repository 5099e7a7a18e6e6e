//! The console: web pages for one investigator, served on loopback of their own machine.
//!
//! It speaks to the server as the command line does, signs with the same keys (each signature asks for the
//! passphrase), and keeps nothing in the browser but a session cookie. Every string that a page shows is
//! hostile: it is made inert and escaped by the one escaper of all templates ([`view`]).

pub mod app;
pub mod assets;
pub mod desk;
pub mod drafts;
pub mod fields;
pub mod fleet;
pub mod gate;
pub mod guard;
pub mod hunts;
pub mod jobs;
pub mod live;
pub mod log_stream;
pub mod ordering;
pub mod pages;
pub mod problem;
pub mod recurring;
pub mod router;
pub mod server;
pub mod view;

#[cfg(test)]
mod tests;
