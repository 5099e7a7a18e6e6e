//! The statement beside a part against the part: digests, sizes, place in the chain, and signer.

use super::{
    part::PartReport,
    signer::{Signer, Trust},
    verdict::Code,
};
use crate::{digest::Digest, ids::CollectionId};

/// What a statement says that an unopened part can't say itself.
#[derive(Debug)]
pub(super) struct Stated {
    pub(super) collection: CollectionId,
    pub(super) part: u32,
    pub(super) last: Option<bool>,
    pub(super) plain_sha256: Digest,
    pub(super) previous_sha256: Option<Digest>,
    pub(super) signer: Option<Signer>,
}

/// Checks the statement; what it says is given back where it can be believed.
pub(super) fn check(
    _bytes: &[u8],
    _plain_bytes: Option<u64>,
    _trust: &Trust,
    report: &mut PartReport,
) -> Option<Stated> {
    let file = report.file.clone();
    report.findings.add(
        Code::StatementAbsent,
        file,
        "The statement was not checked.",
    );
    None
}
