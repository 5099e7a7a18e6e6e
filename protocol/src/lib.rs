//! What Fieldseal's programs say to each other, and when they believe it.
//!
//! Documents (root, policy, order, token and their kin), the profile's schema, and the
//! checks as pure functions: no sockets, no files, no clock of their own. `PROTOCOL.md`
//! beside this crate is the specification.

pub mod admission;
pub mod artifacts;
pub mod deployment;
pub mod enrolment;
pub mod error;
pub mod health;
pub mod hold;
pub mod hours;
pub mod kit;
pub mod live;
pub mod messages;
pub mod name;
pub mod order;
pub mod order_check;
pub mod person;
pub mod policy;
pub mod profile;
pub mod reach;
pub mod recurrence;
pub mod retention;
pub mod root;
pub mod scope;
pub mod target;
pub mod time;
pub mod version;

#[cfg(test)]
mod fixtures;
