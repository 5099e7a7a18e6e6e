//! Who sealed a part: the seal, its certificate's identity, and whether a trusted root stands behind.

use serde::Serialize;

use super::{
    sums::SEAL,
    verdict::{Code, Findings},
};
use crate::{
    digest::Digest,
    ids::AgentId,
    instant::Instant,
    records::CollectionRecord,
    seal::{self, Expected, SealFault},
};

pub use crate::seal::Trust;

/// Who sealed a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// The agent that the certificate names.
    pub agent: Option<AgentId>,
    /// SHA-256 of the seal certificate: its fingerprint.
    pub certificate_sha256: Digest,
    /// SHA-256 of the key's SubjectPublicKeyInfo; none of a key that seals can't be made with.
    pub key_sha256: Option<Digest>,
    /// When it was sealed, as the signer claims.
    pub claimed: Option<Instant>,
    /// Whether the certificate leads to a trusted root.
    pub trusted: bool,
}

/// Checks the seal over `sums`, and that it is the one that `record` demands.
pub(super) fn check(
    seal: &[u8],
    sums: &[u8],
    record: Option<&CollectionRecord>,
    trust: &Trust,
    findings: &mut Findings,
) -> Option<seal::Signer> {
    let expected = Expected {
        trust,
        agent: record.and_then(|r| r.agent),
        at: None,
    };
    let report = seal::check(seal, sums, expected);
    for fault in &report.faults {
        findings.add(code_of(fault), SEAL, fault);
    }
    report.signer
}

/// What is no fault, but must be told: an unknown signer, and a certificate that does not hold `at` the
/// best time known.
pub(super) fn say_standing(found: &seal::Signer, at: Option<Instant>, findings: &mut Findings) {
    let fingerprint = found.fingerprint;
    if !found.is_known {
        let text = format!(
            "Its certificate has the fingerprint {fingerprint} and leads to no root that was given."
        );
        findings.add(Code::SignerUnknown, SEAL, text);
    }
    if at.is_some_and(|at| !found.window.contains(at)) {
        let text = format!("The certificate has the fingerprint {fingerprint}.");
        findings.add(Code::CertificateEnded, SEAL, text);
    }
}

/// The signer as reports show it.
pub(super) fn shown(found: &seal::Signer) -> Signer {
    Signer {
        agent: found.agent,
        certificate_sha256: found.fingerprint,
        key_sha256: found.key.map(|key| key.key_id()),
        claimed: found.signed_at,
        trusted: found.is_known,
    }
}

fn code_of(fault: &SealFault) -> Code {
    match fault {
        SealFault::BadChain(_) => Code::SealChain,
        SealFault::NotForSeals
        | SealFault::NoAgent
        | SealFault::WrongRole(_)
        | SealFault::OtherAgent { .. } => Code::SealIdentity,
        _ => Code::SealInvalid,
    }
}
