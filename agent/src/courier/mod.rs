//! The half that owns the spool (and, as a service, the network): it sees ciphertext only.

pub mod local;
pub mod room;
pub mod spool;
pub mod start;
