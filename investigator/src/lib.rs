//! The investigator's tool: what it can do, apart from its command line's edge.
//!
//! Every string that comes out of evidence or from a server is hostile and passes [`inert`] before it is shown.

pub mod admit;
pub mod approval;
pub mod audit;
pub mod cancel;
pub mod case;
pub mod chain;
pub mod check;
pub mod checkpoint;
pub mod cli;
pub mod commands;
pub mod console;
pub mod countersign;
pub mod custody;
pub mod draft;
pub mod exit;
pub mod fetch;
pub mod follow;
pub mod form;
pub mod health;
pub mod hits;
pub mod hold;
pub mod home;
pub mod inert;
pub mod keys;
pub mod kit;
pub mod live_log;
pub mod open;
pub mod ordering;
pub mod policy;
pub mod private;
pub mod question;
pub mod recurring;
pub mod refusal;
pub mod remote;
pub mod report;
pub mod retention;
pub mod retry;
pub mod revoke;
pub mod seal_key;
pub mod session;
pub mod shown;
pub mod span;
pub mod stream;
pub mod submit;
pub mod targets;
#[cfg(test)]
mod testing;
pub mod trust;
#[cfg(unix)]
pub mod validate;
pub mod window;
