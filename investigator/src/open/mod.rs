//! What is inside opened parts, as files: extracted one folder a part, and joined where they are in pieces.
//!
//! Archives are hostile here: every name is checked, every file is new, nothing is followed.

mod extract;
mod join;
mod names;
#[cfg(test)]
mod tests;
mod times;

pub use self::{
    extract::{Extracted, JOINED, check_free, extract},
    join::join,
};

/// Tells the person a line.
pub type Say<'s> = dyn FnMut(&str) -> std::io::Result<()> + 's;
