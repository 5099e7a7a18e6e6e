//! The seal certificate: asked for at enrolment and anew at half its life, and judged before it is kept.
//!
//! A renewal keeps the key: the custody log names it once, at enrolment, and whoever verifies
//! evidence compares with that.

use evidence::{
    envelope::EnvelopeError,
    ids::AgentId,
    instant::Instant,
    keys::{KeyError, SigningKey},
    seal::{self, Expected, SEAL_ROLE, SealFault, Window},
};
use protocol::{enrolment::SealRequest, error::DocumentError};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::{
    seal::Seal,
    state::{Change, Enrolment, encode_chain},
};

/// A certificate can't be asked for, or is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// The request can't be made.
    #[error("the certificate request can't be made. This is a fault of ours; please report it.")]
    Request(#[source] rcgen::Error),
    /// The key can't be encoded.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The envelope can't be made or is no text.
    #[error(
        "the certificate request can't be written down. This is a fault of ours; please report it."
    )]
    Encoding,
    /// The answer is no chain of certificates.
    #[error(transparent)]
    Chain(#[from] seal::SealError),
    /// The certificate is not a seal's.
    #[error("the server's seal certificate can't be used: {0}")]
    Fault(SealFault),
    /// The certificate leads nowhere.
    #[error(
        "the server's seal certificate does not lead to the root certificate. Check that --trust is the folder of this server."
    )]
    Foreign,
    /// It is for another key or role.
    #[error("the server's seal certificate is not for this agent's key. Do not use this server.")]
    OtherKey,
    /// It does not hold now.
    #[error(
        "the server's seal certificate does not hold now. Compare the clocks of host and server."
    )]
    NotNow,
}

impl From<EnvelopeError> for RenewalError {
    fn from(_: EnvelopeError) -> Self {
        Self::Encoding
    }
}

impl From<DocumentError> for RenewalError {
    fn from(_: DocumentError) -> Self {
        Self::Encoding
    }
}

/// The request for a certificate over `key`, PEM: its key and nothing else.
///
/// # Errors
/// The key does not sign, which it does.
pub fn csr(key: &SigningKey) -> Result<String, RenewalError> {
    let der = key.to_pkcs8_der()?;
    let pair = KeyPair::try_from(der.as_slice()).map_err(RenewalError::Request)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let made = params.serialize_request(&pair);
    made.and_then(|csr| csr.pem())
        .map_err(RenewalError::Request)
}

/// The request for a renewal, signed by the present seal key, once half of the certificate's life is over.
///
/// # Errors
/// It can't be made.
pub fn request(
    enrolment: &Enrolment,
    seal: &Seal,
    now: Instant,
) -> Result<Option<String>, RenewalError> {
    let (from, until) = (enrolment.seal_from.seconds, enrolment.seal_until.seconds);
    let half = from.saturating_add(until.saturating_sub(from) / 2);
    if now.seconds < half {
        return Ok(None);
    }
    let pem = csr(seal.key())?;
    let envelope = SealRequest::sign(seal.agent(), &pem, seal.key())?;
    let text = String::from_utf8(envelope.to_json()?).map_err(|_| RenewalError::Encoding)?;
    Ok(Some(text))
}

/// Judges the chain of a renewal.
///
/// # Errors
/// It is not one for this agent's seal key under the pinned root certificate.
pub fn judge(
    chain_pem: &str,
    enrolment: &Enrolment,
    seal: &Seal,
    now: Instant,
) -> Result<Change, RenewalError> {
    let trust = seal::Trust::from_pem(&enrolment.root_certificate)?;
    let (chain, window) = judge_chain(chain_pem, &trust, seal.agent(), seal.key(), now)?;
    Ok(Change::Renewed {
        seal_chain: encode_chain(&chain),
        from: window.from,
        until: window.until,
    })
}

/// The chain, DER, and when all of it holds, where it is one for `key` as `agent`'s seal.
///
/// # Errors
/// It is not.
pub fn judge_chain(
    chain_pem: &str,
    trust: &seal::Trust,
    agent: AgentId,
    key: &SigningKey,
    now: Instant,
) -> Result<(Vec<Vec<u8>>, Window), RenewalError> {
    let chain = seal::certificates_from_pem(chain_pem)?;
    let expected = Expected {
        trust,
        agent: Some(agent),
        at: Some(now),
    };
    let report = seal::check_certificates(&chain, expected, now);
    if let Some(fault) = report.faults.into_iter().next() {
        return Err(RenewalError::Fault(fault));
    }
    let signer = report.signer.ok_or(RenewalError::OtherKey)?;
    if !signer.is_known {
        return Err(RenewalError::Foreign);
    }
    let is_ours = signer.key == Some(key.public()) && signer.role.as_deref() == Some(SEAL_ROLE);
    if !is_ours {
        return Err(RenewalError::OtherKey);
    }
    if !signer.is_in_window {
        return Err(RenewalError::NotNow);
    }
    Ok((chain, signer.window))
}
