//! CMS SignedData with one signer, as seals and time stamps are (RFC 5652).
//!
//! Parses and checks what the structure itself promises: one signer, its
//! certificate inside, the signed attributes. Who the signer is, and whether
//! anybody trusts it, is asked elsewhere.

use cms::cert::CertificateChoices;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{ID_CONTENT_TYPE, ID_MESSAGE_DIGEST, ID_SIGNED_DATA, ID_SIGNING_TIME};
use const_oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, ID_SHA_1, ID_SHA_256, ID_SHA_384,
    ID_SHA_512, RSA_ENCRYPTION, SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION,
    SHA_512_WITH_RSA_ENCRYPTION,
};
use der::asn1::OctetString;
use der::{Any, Decode, Encode as _, Sequence};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use sha2::Digest as _;
use spki::AlgorithmIdentifierOwned;
use webpki::aws_lc_rs as algorithms;
use x509_cert::Certificate;
use x509_cert::time::Time;

use super::certificate::instant;
use crate::instant::Instant;

/// signingCertificate, RFC 2634 (SHA-1).
const SIGNING_CERTIFICATE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");

/// signingCertificateV2, RFC 5035.
pub(crate) const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

/// More certificates than any honest chain has.
const MAX_CERTIFICATES: usize = 16;

/// One certificate's hash, as signingCertificateV2 has it.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(crate) struct EssCertIdV2 {
    /// Absent means SHA-256.
    #[asn1(optional = "true")]
    pub(crate) hash_algorithm: Option<AlgorithmIdentifierOwned>,
    pub(crate) cert_hash: OctetString,
    #[asn1(optional = "true")]
    pub(crate) issuer_serial: Option<Any>,
}

/// The signed attribute that names the signer's certificate by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(crate) struct SigningCertificateV2 {
    pub(crate) certs: Vec<EssCertIdV2>,
    #[asn1(optional = "true")]
    pub(crate) policies: Option<Any>,
}

#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct EssCertId {
    cert_hash: OctetString,
    #[asn1(optional = "true")]
    issuer_serial: Option<Any>,
}

#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct SigningCertificate {
    certs: Vec<EssCertId>,
    #[asn1(optional = "true")]
    policies: Option<Any>,
}

pub(crate) fn sha256_identifier() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid: ID_SHA_256,
        parameters: None,
    }
}

/// Why a SignedData can't be taken apart at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Malformed(String),
    SignerCount(usize),
    NoCertificate,
    NoSignedAttributes,
}

impl From<der::Error> for Unreadable {
    fn from(error: der::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// What a SignedData promised and does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    Attributes,
    ContentType,
    MessageDigest,
    Certificate,
    Signature,
}

/// A SignedData with one signer, taken apart.
pub(crate) struct Signed {
    data: SignedData,
    info: SignerInfo,
    /// The signer's certificate, parsed and as DER.
    pub(crate) certificate: Certificate,
    pub(crate) certificate_der: Vec<u8>,
    /// The other certificates inside.
    pub(crate) others: Vec<Vec<u8>>,
}

impl Signed {
    /// Takes a ContentInfo apart; bytes behind it are refused.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, Unreadable> {
        Self::from_content(&ContentInfo::from_der(der)?)
    }

    pub(crate) fn from_content(content: &ContentInfo) -> Result<Self, Unreadable> {
        if content.content_type != ID_SIGNED_DATA {
            return Err(Unreadable::Malformed("it is not SignedData".to_owned()));
        }
        let data: SignedData = content.content.decode_as()?;
        let mut infos = data.signer_infos.0.iter();
        let (Some(info), None) = (infos.next(), infos.next()) else {
            return Err(Unreadable::SignerCount(data.signer_infos.0.len()));
        };
        let info = info.clone();
        if info.signed_attrs.is_none() {
            return Err(Unreadable::NoSignedAttributes);
        }
        let (certificate, certificate_der, others) = sort_certificates(&data, &info.sid)?;
        Ok(Self {
            data,
            info,
            certificate,
            certificate_der,
            others,
        })
    }

    /// Whether these bytes are the one DER encoding of what was parsed.
    pub(crate) fn is_encoded_as(&self, der: &[u8]) -> bool {
        let again = Any::encode_from(&self.data).and_then(|content| {
            ContentInfo {
                content_type: ID_SIGNED_DATA,
                content,
            }
            .to_der()
        });
        again.is_ok_and(|again| again == der)
    }

    pub(crate) fn content_type(&self) -> ObjectIdentifier {
        self.data.encap_content_info.econtent_type
    }

    /// The content inside, if it is not detached.
    pub(crate) fn content(&self) -> Option<&[u8]> {
        let content = self.data.encap_content_info.econtent.as_ref()?;
        Some(content.value())
    }

    pub(crate) fn has_unsigned_attributes(&self) -> bool {
        self.info.unsigned_attrs.is_some()
    }

    /// Whether digest and signature are SHA-256 and ECDSA with it, said once and the same everywhere.
    ///
    /// The outer list of algorithms and both versions are not signed: they have
    /// one right value each, so that no byte is free to change.
    pub(crate) fn is_p256_sha256(&self) -> bool {
        let mut listed = self.data.digest_algorithms.iter();
        self.data.version == CmsVersion::V1
            && self.info.version == CmsVersion::V1
            && listed.next() == Some(&self.info.digest_alg)
            && listed.next().is_none()
            && self.data.crls.is_none()
            && self.info.digest_alg == sha256_identifier()
            && self.info.signature_algorithm.parameters.is_none()
            && self.info.signature_algorithm.oid == ECDSA_WITH_SHA_256
            && super::certificate::public_key(&self.certificate).is_some()
    }

    /// The signer's own claim of when it signed.
    pub(crate) fn signing_time(&self) -> Option<Instant> {
        let value = self.attribute(ID_SIGNING_TIME)?.to_der().ok()?;
        let time = Time::from_der(&value).ok()?;
        Some(instant(time.to_unix_duration()))
    }

    /// Everything that the signer promised about `content` and that does not hold.
    pub(crate) fn broken(&self, content: &[u8]) -> Vec<Broken> {
        let mut broken = Vec::new();
        if !self.names_each_attribute_once() {
            broken.push(Broken::Attributes);
        }
        let content_type = self
            .attribute(ID_CONTENT_TYPE)
            .and_then(|value| value.decode_as::<ObjectIdentifier>().ok());
        if content_type != Some(self.content_type()) {
            broken.push(Broken::ContentType);
        }
        let digest = self
            .attribute(ID_MESSAGE_DIGEST)
            .and_then(|value| value.decode_as::<OctetString>().ok());
        let real = hash(self.info.digest_alg.oid, content);
        let same = matches!((&digest, &real), (Some(said), Some(is)) if said.as_bytes() == is);
        if !same {
            broken.push(Broken::MessageDigest);
        }
        if !self.names_its_certificate() {
            broken.push(Broken::Certificate);
        }
        if !self.signature_holds() {
            broken.push(Broken::Signature);
        }
        broken
    }

    /// The only value of a signed attribute.
    fn attribute(&self, oid: ObjectIdentifier) -> Option<&Any> {
        let attributes = self.info.signed_attrs.as_ref()?;
        let found = attributes.iter().find(|one| one.oid == oid)?;
        let mut values = found.values.iter();
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    fn names_each_attribute_once(&self) -> bool {
        let Some(attributes) = self.info.signed_attrs.as_ref() else {
            return false;
        };
        let mut oids: Vec<_> = attributes.iter().map(|one| one.oid).collect();
        let count = oids.len();
        oids.sort();
        oids.dedup();
        oids.len() == count
    }

    /// The first of the named certificates must be the signer's (RFC 5035, 4).
    fn names_its_certificate(&self) -> bool {
        if let Some(value) = self.attribute(SIGNING_CERTIFICATE_V2) {
            let Ok(named) = value.decode_as::<SigningCertificateV2>() else {
                return false;
            };
            return named.certs.first().is_some_and(|first| {
                let algorithm = first
                    .hash_algorithm
                    .as_ref()
                    .map_or(ID_SHA_256, |one| one.oid);
                hash(algorithm, &self.certificate_der)
                    .is_some_and(|real| real == first.cert_hash.as_bytes())
            });
        }
        let Some(value) = self.attribute(SIGNING_CERTIFICATE) else {
            return false;
        };
        let Ok(named) = value.decode_as::<SigningCertificate>() else {
            return false;
        };
        named.certs.first().is_some_and(|first| {
            hash(ID_SHA_1, &self.certificate_der)
                .is_some_and(|real| real == first.cert_hash.as_bytes())
        })
    }

    /// The signature is over the attributes as SET OF (0x31), not as the `[0]` that is stored.
    fn signature_holds(&self) -> bool {
        let Some(Ok(message)) = self.info.signed_attrs.as_ref().map(|all| all.to_der()) else {
            return false;
        };
        let der = CertificateDer::from(self.certificate_der.as_slice());
        let Ok(end) = webpki::EndEntityCert::try_from(&der) else {
            return false;
        };
        let signature = self.info.signature.as_bytes();
        algorithms_for(&self.info)
            .iter()
            .any(|one| end.verify_signature(*one, &message, signature).is_ok())
    }
}

type Sorted = (Certificate, Vec<u8>, Vec<Vec<u8>>);

/// The signer's certificate, and the rest.
fn sort_certificates(data: &SignedData, sid: &SignerIdentifier) -> Result<Sorted, Unreadable> {
    let SignerIdentifier::IssuerAndSerialNumber(wanted) = sid else {
        return Err(Unreadable::NoCertificate);
    };
    let set = data
        .certificates
        .as_ref()
        .ok_or(Unreadable::NoCertificate)?;
    if set.0.len() > MAX_CERTIFICATES {
        let text = format!("it holds more than {MAX_CERTIFICATES} certificates");
        return Err(Unreadable::Malformed(text));
    }
    let (mut signer, mut others) = (None, Vec::new());
    for choice in set.0.iter() {
        let CertificateChoices::Certificate(one) = choice else {
            continue;
        };
        let tbs = &one.tbs_certificate;
        let is_signer = tbs.issuer == wanted.issuer && tbs.serial_number == wanted.serial_number;
        if is_signer && signer.is_none() {
            signer = Some((one.clone(), one.to_der()?));
        } else {
            others.push(one.to_der()?);
        }
    }
    let (certificate, der) = signer.ok_or(Unreadable::NoCertificate)?;
    Ok((certificate, der, others))
}

fn hash(algorithm: ObjectIdentifier, bytes: &[u8]) -> Option<Vec<u8>> {
    match algorithm {
        ID_SHA_1 => Some(sha1::Sha1::digest(bytes).to_vec()),
        ID_SHA_256 => Some(sha2::Sha256::digest(bytes).to_vec()),
        ID_SHA_384 => Some(sha2::Sha384::digest(bytes).to_vec()),
        ID_SHA_512 => Some(sha2::Sha512::digest(bytes).to_vec()),
        _ => None,
    }
}

/// webpki picks by the kind of key; nothing older than SHA-256 is taken.
fn algorithms_for(info: &SignerInfo) -> Vec<&'static dyn SignatureVerificationAlgorithm> {
    let digest = match info.signature_algorithm.oid {
        ECDSA_WITH_SHA_256 | SHA_256_WITH_RSA_ENCRYPTION => ID_SHA_256,
        ECDSA_WITH_SHA_384 | SHA_384_WITH_RSA_ENCRYPTION => ID_SHA_384,
        ECDSA_WITH_SHA_512 | SHA_512_WITH_RSA_ENCRYPTION => ID_SHA_512,
        RSA_ENCRYPTION => info.digest_alg.oid,
        _ => return Vec::new(),
    };
    match digest {
        ID_SHA_256 => vec![
            algorithms::ECDSA_P256_SHA256,
            algorithms::ECDSA_P384_SHA256,
            algorithms::RSA_PKCS1_2048_8192_SHA256,
        ],
        ID_SHA_384 => vec![
            algorithms::ECDSA_P256_SHA384,
            algorithms::ECDSA_P384_SHA384,
            algorithms::RSA_PKCS1_2048_8192_SHA384,
        ],
        ID_SHA_512 => vec![
            algorithms::ECDSA_P256_SHA512,
            algorithms::ECDSA_P384_SHA512,
            algorithms::ECDSA_P521_SHA512,
            algorithms::RSA_PKCS1_2048_8192_SHA512,
        ],
        _ => Vec::new(),
    }
}
