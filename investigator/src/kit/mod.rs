//! Kits: certified and ordered first, written once enough people have signed.

pub mod order;
pub mod pages;
pub mod programs;
pub mod waiting;
pub mod write;
