//! What the fuzzers run: one function a parser, and the genuine evidence that they start from.

pub mod genuine;
pub mod targets;
