//! The agent: gathers what a breach leaves behind on a host, seals it, and hands it on.

pub mod artifacts;
pub mod brought;
pub mod cli;
pub mod config;
pub mod courier;
pub mod exit;
pub mod files;
pub mod halves;
mod harmless;
pub mod host;
pub mod kit;
pub mod link;
pub mod platform;
pub mod reader;
pub mod run;
pub mod seldom;
#[cfg(test)]
#[path = "../../evidence/src/small_disk.rs"]
mod small_disk;
pub mod status;
pub mod stop;
pub mod supervisor;
pub mod unattended;
