//! Who sealed a part: the seal, its certificate's identity, and whether a trusted root stands behind.

use serde::Serialize;

use super::verdict::{Code, Findings};
use crate::{digest::Digest, ids::AgentId, instant::Instant, records::CollectionRecord};

/// Whom to believe.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Root certificates, DER.
    pub roots: Vec<Vec<u8>>,
}

/// Who sealed a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// The agent that the certificate names; none for a key made for one run.
    pub agent: Option<AgentId>,
    /// SHA-256 of the public key (SubjectPublicKeyInfo).
    pub key_sha256: Digest,
    /// The certificate's subject. Hostile text.
    pub subject: String,
    /// When it was sealed, as the signer claims.
    pub claimed: Option<Instant>,
    /// Whether the certificate leads to a trusted root.
    pub trusted: bool,
}

/// Checks the seal over `sums`, and that it is the one that `record` demands.
pub(super) fn check(
    _seal: &[u8],
    _sums: &[u8],
    _record: Option<&CollectionRecord>,
    _trust: &Trust,
    findings: &mut Findings,
) -> Option<Signer> {
    findings.add(
        Code::SignerUnknown,
        "SHA256SUMS.p7s",
        "The seal was not checked.",
    );
    None
}

impl Trust {
    /// The roots of a PEM file.
    pub fn from_pem(_pem: &[u8]) -> Result<Self, crate::keys::KeyError> {
        Ok(Self::default())
    }
}
