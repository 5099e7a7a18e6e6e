//! Validates the tools on this machine: a disk of known answers is made and collected from, and every record, digest and
//! time is held against what is known.

mod answers;
mod compare;
mod disk;
mod found;
mod held;
pub mod report;
mod run;

pub use run::run;
