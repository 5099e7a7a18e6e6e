//! The whole check of sealed evidence: what a part is, what a collection is, and the verdict.
//!
//! Nothing here opens files or a network: callers hand in bytes, roots and keys.

mod across;
mod authority;
mod beside;
mod collection;
mod contents;
mod custody;
mod lines;
mod order;
mod part;
mod records;
mod signer;
mod statement;
mod sums;
mod time;
mod unwrap;
mod verdict;

pub use self::{
    authority::{Root, RootError},
    beside::{Beside, Paper},
    collection::{CollectionReport, collections, overall},
    custody::{Imported, Logged},
    order::Ordered,
    part::{Options, PartReport, verify_part},
    records::Across,
    signer::{Signer, Trust},
    time::{Basis, SealTime, Stamp},
    verdict::{Code, Finding, Findings, Verdict, Weight},
};
