//! PROTOCOL.md is held to the code: its tables have the fields that the messages have, and its worked example is made again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod document;
mod example;
mod samples;
mod schemas;
mod tables;
