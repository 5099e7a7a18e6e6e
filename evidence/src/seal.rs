//! The seal over SHA256SUMS: a detached CMS signature by an agent's seal key.
//!
//! Making one ([`sign()`]), and finding every reason why one can't be believed
//! ([`check`]). OpenSSL's `cms -verify` comes to the same answer about signature
//! and chain; that the certificate is a *seal's*, and whose, is asked only here.

pub(crate) mod certificate;
mod sign;
pub(crate) mod signed_data;

use const_oid::db::rfc5911::ID_DATA;

use self::certificate::{Chain, Purpose, follow_chain, named_agent, public_key, window_of};
pub use self::certificate::{
    SEAL_ROLE, Trust, Window, agent_uri, certificates_from_pem, parse_agent_uri, self_signed_seal,
};
pub use self::sign::sign;
use self::signed_data::{Broken, Signed, Unreadable};
use crate::digest::Digest;
use crate::ids::AgentId;
use crate::instant::Instant;
use crate::keys::PublicKey;

/// Why a seal or its certificate can't be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// No certificate.
    #[error("this is not an X.509 certificate. Give a certificate as PEM or DER.")]
    NotACertificate,
    /// The certificate is another key's.
    #[error("the certificate is not for this key. Give the certificate that was issued for it.")]
    OtherKey,
    /// Out of X.509's range.
    #[error("the clock is outside the years that a certificate can name. Set the host's clock.")]
    Clock,
    /// The structure could not be written.
    #[error("the seal could not be encoded. This is a fault of the program; please report it.")]
    Encoding,
    /// No random numbers.
    #[error("the system gave no random numbers. Try again once it has fully started.")]
    Random(#[source] getrandom::Error),
}

/// One reason why a seal is not genuine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealFault {
    /// It can't be parsed.
    #[error("the seal can't be read ({0}). It was damaged or made by something else.")]
    Malformed(String),
    /// It can be parsed and is not the one DER encoding.
    #[error("the seal is not in DER. It was rewritten after signing.")]
    NotDer,
    /// It must have exactly one signer.
    #[error("the seal has {0} signers where exactly one is allowed. It was not made by an agent.")]
    SignerCount(usize),
    /// The signer's certificate is not in it.
    #[error("the seal does not hold its signer's certificate. Nobody can tell who signed it.")]
    CertificateMissing,
    /// It must be detached and over plain data.
    #[error("the seal carries content or a content type of its own. A seal must be detached.")]
    NotDetached,
    /// ECDSA on P-256 with SHA-256 only.
    #[error("the seal is not ECDSA on P-256 with SHA-256. It was not made by an agent.")]
    Algorithm,
    /// An attribute is missing, doubled or unsigned.
    #[error("the seal's attributes are not those of a seal: {0}. It was not made by an agent.")]
    Attributes(&'static str),
    /// The sealed content has changed.
    #[error("what the seal covers has changed since it was sealed. Do not rely on it.")]
    ContentChanged,
    /// The signature is wrong.
    #[error("the seal's signature does not hold. It was forged or damaged.")]
    BadSignature,
    /// The certificate was swapped.
    #[error("the seal was made with another certificate than the one inside. It was swapped.")]
    CertificateSwapped,
    /// The certificate is not for seals.
    #[error("the signer's certificate is not for seals (no emailProtection). Its key was misused.")]
    NotForSeals,
    /// The certificate names no agent.
    #[error("the signer's certificate names no agent. Its key was misused.")]
    NoAgent,
    /// The certificate has another role.
    #[error("the signer's certificate has the role {0:?} and not \"seal\". Its key was misused.")]
    WrongRole(String),
    /// Another agent's seal.
    #[error(
        "the seal is by agent {found}, and the evidence says that it is by {wanted}. One of them was swapped."
    )]
    OtherAgent {
        /// Who sealed.
        found: AgentId,
        /// Who should have.
        wanted: AgentId,
    },
    /// The chain claims a trusted root and does not hold.
    #[error(
        "the signer's certificate claims an issuer that did not issue it so ({0}). It was forged."
    )]
    BadChain(String),
}

/// Who made a signature, as far as its certificate tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The agent, if the certificate names one.
    pub agent: Option<AgentId>,
    /// What the key is for, as the certificate says.
    pub role: Option<String>,
    /// SHA-256 of the certificate.
    pub fingerprint: Digest,
    /// The key, if it is a P-256 key.
    pub key: Option<PublicKey>,
    /// When, by the signer's own clock.
    pub signed_at: Option<Instant>,
    /// When its certificate, and every one up to a trusted root, holds.
    pub window: Window,
    /// Whether the chain leads to a trusted root. `false` is no fault: the signer is unknown.
    pub is_known: bool,
    /// Whether the time that was asked about lies in the window.
    pub is_in_window: bool,
    /// The certificate, then the others that came with it, in DER.
    pub certificates: Vec<Vec<u8>>,
}

/// What a seal says and every reason not to believe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealReport {
    /// Who sealed; `None` when the seal can't be read.
    pub signer: Option<Signer>,
    /// Every fault found. Empty with a known signer means: genuine.
    pub faults: Vec<SealFault>,
}

impl SealReport {
    /// Whether nothing speaks against the seal; the signer may still be unknown.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

/// What a seal is held against.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The roots that the reader trusts.
    pub trust: &'a Trust,
    /// The agent that the evidence says it is by.
    pub agent: Option<AgentId>,
    /// The time at which the certificates must hold; the signer's claim if `None`.
    pub at: Option<Instant>,
}

/// Checks a seal over `content` and reports every fault rather than the first.
///
/// A signer whose chain leads to no trusted root is no fault, and neither is a
/// certificate that has ended: both stand in [`Signer`].
pub fn check(seal: &[u8], content: &[u8], expected: Expected<'_>) -> SealReport {
    let signed = match Signed::parse(seal) {
        Ok(signed) => signed,
        Err(why) => {
            return SealReport {
                signer: None,
                faults: vec![why.into()],
            };
        }
    };
    let mut faults = form_faults(&signed, seal);
    faults.extend(signed.broken(content).into_iter().map(SealFault::from));
    let signed_at = signed.signing_time();
    if signed_at.is_none() {
        faults.push(SealFault::Attributes("no signing time"));
    }
    let (mut signer, chain_faults) = check_chain(
        &signed.certificate_der,
        &signed.others,
        expected,
        signed_at.unwrap_or(window_of(&signed.certificate).from),
    );
    faults.extend(chain_faults);
    if let Some(signer) = &mut signer {
        signer.signed_at = signed_at;
    }
    SealReport { signer, faults }
}

/// Checks a seal certificate by itself, as a statement carries it.
///
/// `chain` is the seal certificate and then its issuers, in DER.
pub fn check_certificates(
    chain: &[Vec<u8>],
    expected: Expected<'_>,
    claimed: Instant,
) -> SealReport {
    let Some((leaf, others)) = chain.split_first() else {
        return SealReport {
            signer: None,
            faults: vec![SealFault::CertificateMissing],
        };
    };
    let (signer, faults) = check_chain(leaf, others, expected, claimed);
    SealReport { signer, faults }
}

fn form_faults(signed: &Signed, seal: &[u8]) -> Vec<SealFault> {
    let mut faults = Vec::new();
    if !signed.is_encoded_as(seal) {
        faults.push(SealFault::NotDer);
    }
    if signed.content_type() != ID_DATA || signed.content().is_some() {
        faults.push(SealFault::NotDetached);
    }
    if !signed.is_p256_sha256() {
        faults.push(SealFault::Algorithm);
    }
    if signed.has_unsigned_attributes() {
        faults.push(SealFault::Attributes("unsigned ones"));
    }
    faults
}

fn check_chain(
    leaf: &[u8],
    others: &[Vec<u8>],
    expected: Expected<'_>,
    claimed: Instant,
) -> (Option<Signer>, Vec<SealFault>) {
    let certificate = match der::Decode::from_der(leaf) {
        Ok(certificate) => certificate,
        Err(why) => {
            let why: der::Error = why;
            return (None, vec![SealFault::Malformed(why.to_string())]);
        }
    };
    let mut faults = name_faults(&certificate, expected.agent);
    let at = expected.at.unwrap_or(claimed);
    let (mut window, mut is_known) = (window_of(&certificate), false);
    match follow_chain(leaf, others, expected.trust, Purpose::Seal, at) {
        Chain::Trusted { window: common } => (window, is_known) = (common, true),
        Chain::Unknown => {}
        Chain::Broken(why) => faults.push(SealFault::BadChain(why)),
    }
    let (agent, role) = named_agent(&certificate).unzip();
    let mut certificates = vec![leaf.to_vec()];
    certificates.extend_from_slice(others);
    let signer = Signer {
        agent,
        role,
        fingerprint: Digest::of(leaf),
        key: public_key(&certificate),
        signed_at: None,
        window,
        is_known,
        is_in_window: window.contains(at),
        certificates,
    };
    (Some(signer), faults)
}

fn name_faults(certificate: &x509_cert::Certificate, wanted: Option<AgentId>) -> Vec<SealFault> {
    let mut faults = Vec::new();
    if !Purpose::Seal.is_named_by(certificate) {
        faults.push(SealFault::NotForSeals);
    }
    let Some((found, role)) = named_agent(certificate) else {
        faults.push(SealFault::NoAgent);
        return faults;
    };
    if role != SEAL_ROLE {
        faults.push(SealFault::WrongRole(role.chars().take(40).collect()));
    }
    if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
        faults.push(SealFault::OtherAgent { found, wanted });
    }
    faults
}

impl From<Unreadable> for SealFault {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::Malformed(text) => Self::Malformed(text),
            Unreadable::SignerCount(count) => Self::SignerCount(count),
            Unreadable::NoCertificate => Self::CertificateMissing,
            Unreadable::NoSignedAttributes => Self::Attributes("no signed ones"),
        }
    }
}

impl From<Broken> for SealFault {
    fn from(what: Broken) -> Self {
        match what {
            Broken::Attributes => Self::Attributes("one stands twice"),
            Broken::ContentType => Self::Attributes("another content type"),
            Broken::MessageDigest => Self::ContentChanged,
            Broken::Certificate => Self::CertificateSwapped,
            Broken::Signature => Self::BadSignature,
        }
    }
}

#[cfg(test)]
mod tests;
