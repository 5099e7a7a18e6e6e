//! What a package of Fieldseal carries beside the programs, made from their own command lines: nothing is written twice.
//!
//! It depends on all three programs, so that none of them needs what makes manual pages, and none the others.

pub mod page;
pub mod programs;
pub mod said;
pub mod share;
