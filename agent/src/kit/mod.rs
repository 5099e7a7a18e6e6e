//! The reader on a stick: a kit's folder is believed, a person is asked, one collection is made, all without network.
//!
//! Nothing is installed, and nothing is written outside the kit's folder.

pub mod ask;
pub mod closing;
pub mod command;
pub mod folder;
pub mod quiet;
pub mod record;
