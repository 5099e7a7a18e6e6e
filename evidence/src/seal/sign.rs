//! Making a seal: CMS SignedData, detached, as plain `openssl cms -verify` takes it.

use cms::builder::{SignedDataBuilder, SignerInfoBuilder};
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::signed_data::{EncapsulatedContentInfo, SignerIdentifier};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{ID_DATA, ID_SIGNING_TIME};
use der::asn1::{OctetString, SetOfVec};
use der::{Any, Decode as _, Encode as _};
use p256::ecdsa::DerSignature;
use x509_cert::Certificate;
use x509_cert::attr::Attribute;

use super::SealError;
use super::certificate::{public_key, x509_time};
use super::signed_data::{
    EssCertIdV2, SIGNING_CERTIFICATE_V2, SigningCertificateV2, sha256_identifier,
};
use crate::digest::Digest;
use crate::instant::Instant;
use crate::keys::SigningKey;

/// Seals `content`: who, by the certificate; what, by its SHA-256; when, by the signer's clock.
///
/// `chain` is the seal certificate and then its issuers, without the root, in DER.
///
/// # Errors
/// The chain is empty, broken, or not for this key.
pub fn sign(
    content: &[u8],
    key: &SigningKey,
    chain: &[Vec<u8>],
    time: Instant,
) -> Result<Vec<u8>, SealError> {
    let certificates = parse_chain(chain, key)?;
    build(content, key, chain, certificates, time)
}

fn parse_chain(chain: &[Vec<u8>], key: &SigningKey) -> Result<Vec<Certificate>, SealError> {
    let mut certificates: Vec<Certificate> = Vec::with_capacity(chain.len());
    for der in chain {
        let one = Certificate::from_der(der).map_err(|_| SealError::NotACertificate)?;
        // The set below may not hold one twice.
        if !certificates.contains(&one) {
            certificates.push(one);
        }
    }
    let first = certificates.first().ok_or(SealError::NotACertificate)?;
    if public_key(first) != Some(key.public()) {
        return Err(SealError::OtherKey);
    }
    Ok(certificates)
}

fn build(
    content: &[u8],
    key: &SigningKey,
    chain: &[Vec<u8>],
    certificates: Vec<Certificate>,
    time: Instant,
) -> Result<Vec<u8>, SealError> {
    let encoding = |_| SealError::Encoding;
    let (Some(first), Some(first_der)) = (certificates.first(), chain.first()) else {
        return Err(SealError::NotACertificate);
    };
    let detached = EncapsulatedContentInfo {
        econtent_type: ID_DATA,
        econtent: None,
    };
    let sid = SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
        issuer: first.tbs_certificate.issuer.clone(),
        serial_number: first.tbs_certificate.serial_number.clone(),
    });
    let digest = Digest::of(content).0;
    let mut signer = SignerInfoBuilder::new(
        key.inner(),
        sid,
        sha256_identifier(),
        &detached,
        Some(&digest),
    )
    .map_err(encoding)?;
    for attribute in [time_attribute(time)?, certificate_attribute(first_der)?] {
        signer.add_signed_attribute(attribute).map_err(encoding)?;
    }
    let mut builder = SignedDataBuilder::new(&detached);
    builder
        .add_digest_algorithm(sha256_identifier())
        .map_err(encoding)?;
    for one in certificates.clone() {
        builder
            .add_certificate(CertificateChoices::Certificate(one))
            .map_err(encoding)?;
    }
    let sealed = builder
        .add_signer_info::<_, DerSignature>(signer)
        .and_then(|builder| builder.build())
        .map_err(encoding)?;
    sealed.to_der().map_err(|_| SealError::Encoding)
}

fn time_attribute(time: Instant) -> Result<Attribute, SealError> {
    let seconds = u64::try_from(time.seconds).map_err(|_| SealError::Clock)?;
    attribute(ID_SIGNING_TIME, Any::encode_from(&x509_time(seconds)?))
}

/// Binds the certificate itself, so that none with the same key can take its place.
fn certificate_attribute(der: &[u8]) -> Result<Attribute, SealError> {
    let hash = OctetString::new(Digest::of(der).0).map_err(|_| SealError::Encoding)?;
    let named = SigningCertificateV2 {
        certs: vec![EssCertIdV2 {
            hash_algorithm: None,
            cert_hash: hash,
            issuer_serial: None,
        }],
        policies: None,
    };
    attribute(SIGNING_CERTIFICATE_V2, Any::encode_from(&named))
}

fn attribute(oid: ObjectIdentifier, value: der::Result<Any>) -> Result<Attribute, SealError> {
    let values = value
        .and_then(|value| SetOfVec::try_from(vec![value]))
        .map_err(|_| SealError::Encoding)?;
    Ok(Attribute { oid, values })
}
