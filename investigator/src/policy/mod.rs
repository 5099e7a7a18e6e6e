//! The policy and the root as documents that people make: read, edited, judged before they are signed, said in words.
//!
//! Nothing here speaks to a server.

pub mod changes;
pub mod check;
pub mod document;
pub mod edit;
pub mod words;
