//! The small signed statement beside each part: what an auditor checks without any key to the evidence.
//!
//! It is a DSSE envelope by the agent's seal key. Unknown fields are ignored,
//! so that a later agent may say more; an unknown version is refused by name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;
use crate::envelope::{self, Envelope, EnvelopeError};
use crate::ids::{AgentId, CollectionId};
use crate::instant::Instant;
use crate::keys::SigningKey;
use crate::seal::{self, Expected, SealFault, Signer};

/// The version that this program writes and reads.
pub const VERSION: u32 = 1;

/// The most bytes that a statement's envelope may have: it travels in an upload's metadata.
pub const MAX_BYTES: usize = 64 << 10;

/// What can be wrong with a statement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// The envelope or its JSON is broken.
    #[error("the statement can't be read. Get it again from where the part lies.")]
    Envelope(#[from] EnvelopeError),
    /// A later version.
    #[error(
        "the statement has version {0}, and this program reads version {VERSION}. Use a newer program."
    )]
    UnknownVersion(u64),
    /// The signature is not by the key of the certificate inside.
    #[error(
        "the statement is not signed by the certificate that it carries. It was forged or damaged."
    )]
    BadSignature,
    /// The certificate is not the agent's seal certificate.
    #[error(
        "the statement's certificate is not the agent's for seals ({0:?}). It was forged or swapped."
    )]
    BadCertificate(Vec<SealFault>),
}

/// A digest and how many bytes it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// How many there are.
    pub size_bytes: u64,
}

/// The digests of the part before this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// SHA-256 of its plain ZIP.
    pub plain: Digest,
    /// SHA-256 of its ciphertext; `None` when it was not encrypted.
    pub ciphertext: Option<Digest>,
}

/// How the part is encrypted and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrapping {
    /// `age`, or `none`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The recipients, in the wrapping's own notation.
    pub recipients: Vec<String>,
}

/// A certificate: DER, and base64 of it in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateDer(pub Vec<u8>);

/// What an agent says about one part.
///
/// Field names are part of the format: do not rename.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The version of this format.
    pub v: u32,
    /// The collection.
    pub collection: CollectionId,
    /// The agent that sealed it.
    pub agent: AgentId,
    /// The number of the part, from 1.
    pub part: u32,
    /// Whether it is the collection's last.
    pub last: bool,
    /// The plain ZIP.
    pub plain: Measured,
    /// The ciphertext; `None` when it is not encrypted.
    pub ciphertext: Option<Measured>,
    /// The part before; `None` for part 1.
    pub previous: Option<Previous>,
    /// Digest of the order's payload; `None` for a local collection.
    pub order: Option<Digest>,
    /// The encryption.
    pub wrapping: Wrapping,
    /// The seal certificate and then its issuers, without the root.
    pub certificates: Vec<CertificateDer>,
    /// When, by the host's clock.
    pub time: Instant,
}

impl Statement {
    /// Signs the statement with the seal key.
    ///
    /// # Errors
    /// It can't be written as JSON, which it can.
    pub fn sign(&self, key: &SigningKey) -> Result<Envelope, EnvelopeError> {
        Envelope::sign_document(envelope::STATEMENT, self, key)
    }

    /// The bytes that anybody downloads: the ciphertext, or the plain ZIP where there is none.
    pub fn stored(&self) -> Measured {
        self.ciphertext.unwrap_or(self.plain)
    }
}

/// A statement whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedStatement {
    /// What it says.
    pub statement: Statement,
    /// Digest of its payload.
    pub digest: Digest,
    /// Who signed it; see [`Signer::is_known`].
    pub signer: Signer,
}

/// Reads a statement without asking who signed it.
///
/// # Errors
/// It is malformed or of an unknown version.
pub fn read_unverified(json: &[u8]) -> Result<(Envelope, Statement), StatementError> {
    #[derive(Deserialize)]
    struct Version {
        v: u64,
    }
    let envelope = Envelope::parse_within(json, MAX_BYTES)?;
    let version: Version = envelope.document(envelope::STATEMENT)?;
    if version.v != u64::from(VERSION) {
        return Err(StatementError::UnknownVersion(version.v));
    }
    let statement = envelope.document(envelope::STATEMENT)?;
    Ok((envelope, statement))
}

/// Reads a statement, checks its signature and that the certificate is the named agent's for seals.
///
/// `expected.agent` may be left out: the statement's own agent is always demanded.
///
/// # Errors
/// Anything of that does not hold. A signer who is unknown or whose certificate
/// has ended is no error: see [`VerifiedStatement::signer`].
pub fn verify(json: &[u8], expected: Expected<'_>) -> Result<VerifiedStatement, StatementError> {
    let (envelope, statement) = read_unverified(json)?;
    let chain: Vec<Vec<u8>> = statement
        .certificates
        .iter()
        .map(|one| one.0.clone())
        .collect();
    let wanted = Expected {
        agent: expected.agent.or(Some(statement.agent)),
        ..expected
    };
    let report = seal::check_certificates(&chain, wanted, statement.time);
    let signer = match report.signer {
        Some(signer) if report.faults.is_empty() && signer.agent == Some(statement.agent) => signer,
        _ => return Err(StatementError::BadCertificate(report.faults)),
    };
    let key = signer.key.ok_or(StatementError::BadSignature)?;
    if envelope.signatures().len() != 1 || envelope.verify(&[key]).is_empty() {
        return Err(StatementError::BadSignature);
    }
    Ok(VerifiedStatement {
        digest: envelope.digest(),
        statement,
        signer,
    })
}

impl Serialize for CertificateDer {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for CertificateDer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let der = STANDARD.decode(String::deserialize(from)?);
        Ok(Self(der.map_err(serde::de::Error::custom)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{Trust, self_signed_seal};

    fn statement(key: &SigningKey) -> Statement {
        let agent = AgentId::from_bytes([1; 16]);
        let measured = Measured {
            sha256: Digest::of(b"zip"),
            size_bytes: 3,
        };
        let time = Instant::now();
        Statement {
            v: VERSION,
            collection: CollectionId::from_bytes([2; 16]),
            agent,
            part: 1,
            last: true,
            plain: measured,
            ciphertext: Some(measured),
            previous: None,
            order: None,
            wrapping: Wrapping {
                kind: crate::wrap::AGE.to_owned(),
                recipients: Vec::new(),
            },
            certificates: vec![CertificateDer(self_signed_seal(key, agent, time).unwrap())],
            time,
        }
    }

    fn verify_json(json: &[u8]) -> Result<VerifiedStatement, StatementError> {
        let (trust, agent, at) = (&Trust::none(), None, None);
        verify(json, Expected { trust, agent, at })
    }

    #[test]
    fn signed_statement_comes_back() {
        let key = SigningKey::generate().unwrap();
        let said = statement(&key);
        let envelope = said.sign(&key).unwrap();
        let verified = verify_json(&envelope.to_json().unwrap()).unwrap();
        assert_eq!(verified.statement, said);
        assert_eq!(verified.digest, envelope.digest());
        assert!(!verified.signer.is_known);
    }

    #[test]
    fn foreign_key_and_foreign_agent_are_refused() {
        let (key, other) = (
            SigningKey::generate().unwrap(),
            SigningKey::generate().unwrap(),
        );
        let json = statement(&key).sign(&other).unwrap().to_json().unwrap();
        assert!(matches!(
            verify_json(&json),
            Err(StatementError::BadSignature)
        ));
        let mut said = statement(&key);
        said.agent = AgentId::from_bytes([9; 16]);
        let json = said.sign(&key).unwrap().to_json().unwrap();
        assert!(matches!(
            verify_json(&json),
            Err(StatementError::BadCertificate(_))
        ));
    }

    #[test]
    fn later_fields_are_ignored_and_later_versions_named() {
        let key = SigningKey::generate().unwrap();
        let mut value = serde_json::to_value(statement(&key)).unwrap();
        value["later"] = true.into();
        let sign = |value: &serde_json::Value| {
            let envelope = Envelope::sign_document(envelope::STATEMENT, value, &key).unwrap();
            envelope.to_json().unwrap()
        };
        assert!(verify_json(&sign(&value)).is_ok());
        value["v"] = 2.into();
        assert!(matches!(
            verify_json(&sign(&value)),
            Err(StatementError::UnknownVersion(2))
        ));
    }
}
