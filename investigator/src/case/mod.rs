//! The case database: one SQLite file a case on the investigator's machine, a table an artifact, searchable.
//!
//! `load` puts in what was verified, and nothing else; `read` is for who looks at it. The tables are described in
//! `investigator/CASE.md`. Everything in a record is hostile: names of artifacts and fields become SQL only after
//! `names` has let them pass, and values are bound, never written into a statement.

mod ahead;
mod catalog;
mod declared;
mod file;
mod guard;
mod host;
mod hours;
mod indexes;
mod line;
mod lines;
pub mod load;
mod meta;
mod names;
mod part;
pub mod read;
mod schema;
mod table;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod text;
mod verified;

pub use self::{
    file::{Listed, database_of, list},
    load::{Loader, Outcome},
    read::Database,
};
