//! The seal key at work: it seals each part and signs the statement beside it.
//!
//! An enrolled reader holds one with its certificate. A local collection makes one for the run,
//! which lives in memory only; verify calls its signer unknown.

use data_encoding::BASE64;
use evidence::{
    digest::Digest,
    envelope::EnvelopeError,
    ids::AgentId,
    instant::Instant,
    keys::{KeyError, SigningKey},
    records::CollectionRecord,
    seal,
    statement::{self, CertificateDer, Measured, Previous, Statement, Wrapping},
    wrap::{self, Recipient},
};

use super::part::Written;

/// A seal could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No certificate or no signature.
    #[error(transparent)]
    Seal(#[from] seal::SealError),
    /// The statement can't be put into its envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The envelope is no text, which JSON always is.
    #[error("the statement is no text. This is a fault of ours; please report it.")]
    NotText,
    /// No id.
    #[error("the system gave no random numbers. Try again once it has fully started.")]
    Random(#[from] getrandom::Error),
}

/// The part before, as the next one names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartBefore {
    /// Over its plain ZIP.
    pub plain_sha256: Digest,
    /// Over its file as stored.
    pub stored_sha256: Digest,
}

/// A seal key, the agent that it stands for, and its certificate with what issued it.
#[derive(Debug, Clone)]
pub struct Seal {
    key: SigningKey,
    agent: AgentId,
    chain: Vec<Vec<u8>>,
}

impl Seal {
    /// A new key and its certificate.
    ///
    /// # Errors
    /// No random numbers, or a clock outside what X.509 can say.
    pub fn for_run() -> Result<Self, SealError> {
        let key = SigningKey::generate()?;
        let agent = AgentId::random()?;
        let certificate = seal::self_signed_seal(&key, agent, Instant::now())?;
        Ok(Self {
            key,
            agent,
            chain: vec![certificate],
        })
    }

    /// The key of an enrolled agent; `chain` is its certificate and then its issuers, DER, without the root.
    pub fn enrolled(key: SigningKey, agent: AgentId, chain: Vec<Vec<u8>>) -> Self {
        Self { key, agent, chain }
    }

    /// The key, for what else the reader signs.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The id under which it seals.
    pub fn agent(&self) -> AgentId {
        self.agent
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> Digest {
        self.chain
            .first()
            .map_or(Digest::of(&[]), |der| Digest::of(der))
    }

    /// The certificate for people's tools.
    pub fn certificate_pem(&self) -> String {
        self.chain.iter().map(|der| pem(der)).collect()
    }

    /// Seals `sums`.
    ///
    /// # Errors
    /// The clock is outside what X.509 can say.
    pub fn sign(&self, sums: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(seal::sign(sums, &self.key, &self.chain, Instant::now())?)
    }

    /// The signed statement that lies beside the part `record` describes.
    ///
    /// # Errors
    /// It can't be put into JSON.
    pub(super) fn statement(
        &self,
        record: &CollectionRecord,
        written: &Written,
        before: Option<&PartBefore>,
        recipients: &[Recipient],
    ) -> Result<String, SealError> {
        let is_wrapped = !recipients.is_empty();
        let plain = Measured {
            sha256: written.plain_sha256,
            size_bytes: written.plain_bytes,
        };
        let stored = Measured {
            sha256: written.stored_sha256,
            size_bytes: written.stored_bytes,
        };
        let statement = Statement {
            v: statement::VERSION,
            collection: record.collection,
            agent: self.agent,
            part: record.part,
            last: record.last,
            plain,
            ciphertext: is_wrapped.then_some(stored),
            previous: before.map(|b| Previous {
                plain: b.plain_sha256,
                ciphertext: is_wrapped.then_some(b.stored_sha256),
            }),
            order: record.order_sha256,
            wrapping: Wrapping {
                kind: if is_wrapped { wrap::AGE } else { wrap::NONE }.to_owned(),
                recipients: recipients.iter().map(ToString::to_string).collect(),
            },
            certificates: self.chain.iter().cloned().map(CertificateDer).collect(),
            time: record.ended,
        };
        let json = statement.sign(&self.key)?.to_json()?;
        String::from_utf8(json).map_err(|_| SealError::NotText)
    }
}

fn pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for start in (0..text.len()).step_by(64) {
        pem.push_str(&text[start..text.len().min(start + 64)]);
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
