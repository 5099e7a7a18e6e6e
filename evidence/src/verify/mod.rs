//! The whole check of sealed evidence: what a part is, what a collection is, and the verdict.
//!
//! Nothing here opens files or a network: callers hand in bytes, roots and keys.

mod collection;
mod contents;
mod part;
mod records;
mod signer;
mod statement;
mod sums;
mod verdict;

pub use self::{
    collection::{CollectionReport, collections, overall},
    part::{Beside, Options, PartReport, verify_part},
    signer::{Signer, Trust},
    verdict::{Code, Finding, Findings, Verdict, Weight},
};
