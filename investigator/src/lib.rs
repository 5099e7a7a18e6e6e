//! The investigator's tool: what it can do, apart from its command line's edge.
//!
//! Every string that comes out of evidence is hostile and passes [`inert`] before it is shown.

pub mod cli;
pub mod commands;
pub mod exit;
pub mod inert;
pub mod report;
