//! Certificates of seals: whom they name, how long they hold, and to whom they chain.

use std::str::FromStr as _;
use std::time::Duration;

use const_oid::db::rfc5280::{ID_KP_EMAIL_PROTECTION, ID_KP_TIME_STAMPING};
use der::asn1::{GeneralizedTime, Ia5String, OctetString, UtcTime};
use der::flagset::FlagSet;
use der::{Decode as _, DecodePem as _, Encode as _};
use p256::ecdsa::DerSignature;
use rustls_pki_types::{CertificateDer, UnixTime};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::Certificate;
use x509_cert::builder::{Builder as _, CertificateBuilder, Profile};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

use super::SealError;
use crate::digest::Digest;
use crate::ids::AgentId;
use crate::instant::Instant;
use crate::keys::{PublicKey, SigningKey};

/// How long a certificate made for one run holds.
const RUN_DAYS: u64 = 3 * 365;

/// DER of the object identifiers that webpki compares.
const EMAIL_PROTECTION: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 4];
const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];

/// The role of a certificate that may seal.
pub const SEAL_ROLE: &str = "seal";

/// The URI by which a certificate names an agent and what the key is for.
pub fn agent_uri(agent: AgentId, role: &str) -> String {
    format!("fieldseal:agent:{agent}:{role}")
}

/// The agent and the role that a certificate's URI names.
pub fn parse_agent_uri(uri: &str) -> Option<(AgentId, &str)> {
    let (agent, role) = uri.strip_prefix("fieldseal:agent:")?.split_once(':')?;
    Some((agent.parse().ok()?, role))
}

/// The root certificates that a reader trusts; none makes every signer unknown.
#[derive(Debug, Clone, Default)]
pub struct Trust(Vec<CertificateDer<'static>>);

impl Trust {
    /// Trusts nobody.
    pub fn none() -> Self {
        Self::default()
    }

    /// Trusts one root certificate in DER.
    ///
    /// # Errors
    /// It is no certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, SealError> {
        let der = CertificateDer::from(der.to_vec());
        webpki::anchor_from_trusted_cert(&der).map_err(|_| SealError::NotACertificate)?;
        Ok(Self(vec![der]))
    }

    /// Trusts every certificate of a PEM file.
    ///
    /// # Errors
    /// It holds no certificate, or a broken one.
    pub fn from_pem(pem: &str) -> Result<Self, SealError> {
        let mut roots = Vec::new();
        for der in certificates_from_pem(pem)? {
            roots.extend(Self::from_der(&der)?.0);
        }
        Ok(Self(roots))
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the trusted certificates has this fingerprint (SHA-256).
    pub fn names(&self, fingerprint: Digest) -> bool {
        self.0.iter().any(|der| Digest::of(der) == fingerprint)
    }

    /// The fingerprints (SHA-256) of the trusted certificates.
    pub fn fingerprints(&self) -> Vec<Digest> {
        self.0.iter().map(|der| Digest::of(der)).collect()
    }

    /// The P-256 keys of the trusted authorities: a deployment's root signs its documents by the same key.
    ///
    /// A seal certificate that is trusted by itself is none: its key seals, and says nothing on who may order.
    pub fn keys(&self) -> Vec<PublicKey> {
        let certificates = self.0.iter().map(|der| Certificate::from_der(der));
        let authorities = certificates.filter_map(Result::ok).filter(is_authority);
        authorities.filter_map(|one| public_key(&one)).collect()
    }
}

fn is_authority(certificate: &Certificate) -> bool {
    let constraints = certificate.tbs_certificate.get::<BasicConstraints>();
    matches!(
        constraints,
        Ok(Some((_, BasicConstraints { ca: true, .. })))
    )
}

/// The certificates of a PEM file, as DER, in their order.
///
/// # Errors
/// It holds no certificate, or a broken one.
pub fn certificates_from_pem(pem: &str) -> Result<Vec<Vec<u8>>, SealError> {
    const END: &str = "-----END CERTIFICATE-----";
    let mut found = Vec::new();
    for piece in pem.split_inclusive(END) {
        let Some(start) = piece.find("-----BEGIN CERTIFICATE-----") else {
            continue;
        };
        let parsed = Certificate::from_pem(&piece.as_bytes()[start..])
            .map_err(|_| SealError::NotACertificate)?;
        found.push(parsed.to_der().map_err(|_| SealError::NotACertificate)?);
    }
    if found.is_empty() {
        return Err(SealError::NotACertificate);
    }
    Ok(found)
}

/// From when to when a certificate, or every one of a chain, holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first moment.
    pub from: Instant,
    /// The last moment.
    pub until: Instant,
}

impl Window {
    /// Whether `time` lies inside; both ends, whole seconds.
    pub fn contains(&self, time: Instant) -> bool {
        (self.from.seconds..=self.until.seconds).contains(&time.seconds)
    }

    fn of(certificate: &Certificate) -> Self {
        let validity = &certificate.tbs_certificate.validity;
        Self {
            from: instant(validity.not_before.to_unix_duration()),
            until: instant(validity.not_after.to_unix_duration()),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            from: self.from.max(other.from),
            until: self.until.min(other.until),
        }
    }
}

pub(crate) fn instant(since_epoch: Duration) -> Instant {
    Instant {
        seconds: i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX),
        ns: since_epoch.subsec_nanos(),
    }
}

/// What a certificate is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Seal,
    TimeStamp,
}

impl Purpose {
    /// Whether the certificate says that it is for this purpose.
    pub(crate) fn is_named_by(self, certificate: &Certificate) -> bool {
        let Ok(Some((critical, usage))) = certificate.tbs_certificate.get::<ExtendedKeyUsage>()
        else {
            return false;
        };
        match self {
            Self::Seal => usage.0.contains(&ID_KP_EMAIL_PROTECTION),
            // RFC 3161, 2.3: critical, and this one alone.
            Self::TimeStamp => critical && usage.0 == [ID_KP_TIME_STAMPING],
        }
    }

    fn webpki(self) -> webpki::KeyUsage {
        webpki::KeyUsage::required_if_present(match self {
            Self::Seal => EMAIL_PROTECTION,
            Self::TimeStamp => TIME_STAMPING,
        })
    }
}

/// The agent and role that a certificate names in its only URI of ours.
pub(crate) fn named_agent(certificate: &Certificate) -> Option<(AgentId, String)> {
    let (_, names) = certificate.tbs_certificate.get::<SubjectAltName>().ok()??;
    let mut ours = names.0.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) => parse_agent_uri(uri.as_str()),
        _ => None,
    });
    let (agent, role) = ours.next()?;
    // Two names would let two readers choose differently.
    ours.next().is_none().then(|| (agent, role.to_owned()))
}

/// The P-256 key of a certificate.
pub(crate) fn public_key(certificate: &Certificate) -> Option<PublicKey> {
    let spki = &certificate.tbs_certificate.subject_public_key_info;
    PublicKey::from_spki_der(&spki.to_der().ok()?).ok()
}

/// What became of the way from a certificate to the trusted roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chain {
    /// It leads to a trusted root; every certificate on it holds in `window`.
    Trusted { window: Window },
    /// It leads to none of them.
    Unknown,
    /// It claims a root and does not hold.
    Broken(String),
}

/// Follows the chain from `leaf`, at `at` or, outside the chain's window, within it.
///
/// A certificate that has ended is no forgery: the caller compares the window
/// with the time that the signature rests on, and says so.
pub(crate) fn follow_chain(
    leaf: &[u8],
    others: &[Vec<u8>],
    trust: &Trust,
    purpose: Purpose,
    at: Instant,
) -> Chain {
    match follow_at(leaf, others, trust, purpose, at) {
        Err(webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }) => {}
        answer => return answer.unwrap_or_else(chain_fault),
    }
    let Some(window) = common_window(leaf, others) else {
        return Chain::Broken("a certificate is malformed".to_owned());
    };
    if window.from > window.until {
        return Chain::Broken("the certificates never held at the same time".to_owned());
    }
    follow_at(leaf, others, trust, purpose, window.from).unwrap_or_else(chain_fault)
}

fn chain_fault(error: webpki::Error) -> Chain {
    match error {
        webpki::Error::UnknownIssuer => Chain::Unknown,
        error => Chain::Broken(in_words(&error)),
    }
}

/// The library's own texts are for programmers.
fn in_words(error: &webpki::Error) -> String {
    let words = match error {
        webpki::Error::RequiredEkuNotFoundContext(_) => "the certificate is for another use",
        webpki::Error::InvalidSignatureForPublicKey => "the issuer's key did not sign it",
        webpki::Error::CaUsedAsEndEntity => "it is an authority's own certificate",
        webpki::Error::EndEntityUsedAsCa => "its issuer is no authority",
        webpki::Error::PathLenConstraintViolated => "its issuer may not certify authorities",
        webpki::Error::BadDer | webpki::Error::BadDerTime => "a certificate is malformed",
        other => return other.to_string(),
    };
    words.to_owned()
}

fn follow_at(
    leaf: &[u8],
    others: &[Vec<u8>],
    trust: &Trust,
    purpose: Purpose,
    at: Instant,
) -> Result<Chain, webpki::Error> {
    let leaf_der = CertificateDer::from(leaf);
    let end = webpki::EndEntityCert::try_from(&leaf_der)?;
    let between: Vec<_> = others
        .iter()
        .map(|der| CertificateDer::from(der.as_slice()))
        .collect();
    let anchors = trust
        .0
        .iter()
        .map(webpki::anchor_from_trusted_cert)
        .collect::<Result<Vec<_>, _>>()?;
    let seconds = u64::try_from(at.seconds).unwrap_or(0);
    let path = end.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &anchors,
        &between,
        UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        purpose.webpki(),
        None,
        None,
    )?;
    let used: Vec<Vec<u8>> = path
        .intermediate_certificates()
        .map(|one| one.der().as_ref().to_vec())
        .collect();
    let window = common_window(leaf, &used).ok_or(webpki::Error::BadDer)?;
    Ok(Chain::Trusted { window })
}

fn common_window(leaf: &[u8], others: &[Vec<u8>]) -> Option<Window> {
    let mut window = Window::of(&Certificate::from_der(leaf).ok()?);
    for other in others {
        window = window.and(Window::of(&Certificate::from_der(other).ok()?));
    }
    Some(window)
}

/// The window of one certificate.
pub(crate) fn window_of(certificate: &Certificate) -> Window {
    Window::of(certificate)
}

/// A certificate by `key` for itself: for a collection without enrolment.
///
/// It names the agent and the role like an issued one, and whoever verifies it
/// is told that the signer is unknown.
///
/// # Errors
/// The clock is out of X.509's range, or there are no random numbers.
pub fn self_signed_seal(
    key: &SigningKey,
    agent: AgentId,
    now: Instant,
) -> Result<Vec<u8>, SealError> {
    let built = |_| SealError::Encoding;
    let spki_der = key.public().to_spki_der();
    let spki = SubjectPublicKeyInfoOwned::from_der(&spki_der).map_err(|_| SealError::Encoding)?;
    let subject =
        Name::from_str(&format!("CN=Fieldseal {agent}")).map_err(|_| SealError::Encoding)?;
    let mut builder = CertificateBuilder::new(
        Profile::Manual { issuer: None },
        random_serial()?,
        run_validity(now)?,
        subject,
        spki,
        key.inner(),
    )
    .map_err(built)?;
    let key_hash = OctetString::new(&crate::digest::Digest::of(&spki_der).0[..20])
        .map_err(|_| SealError::Encoding)?;
    let uri = Ia5String::new(&agent_uri(agent, SEAL_ROLE)).map_err(|_| SealError::Encoding)?;
    let usage: FlagSet<KeyUsages> = KeyUsages::DigitalSignature.into();
    let extend = |builder: &mut CertificateBuilder<'_, _>| {
        builder.add_extension(&BasicConstraints {
            ca: false,
            path_len_constraint: None,
        })?;
        builder.add_extension(&KeyUsage(usage))?;
        builder.add_extension(&ExtendedKeyUsage(vec![ID_KP_EMAIL_PROTECTION]))?;
        builder.add_extension(&SubjectAltName(vec![
            GeneralName::UniformResourceIdentifier(uri),
        ]))?;
        builder.add_extension(&SubjectKeyIdentifier(key_hash.clone()))?;
        builder.add_extension(&AuthorityKeyIdentifier {
            key_identifier: Some(key_hash),
            ..AuthorityKeyIdentifier::default()
        })
    };
    extend(&mut builder).map_err(built)?;
    let certificate = builder.build::<DerSignature>().map_err(built)?;
    certificate.to_der().map_err(|_| SealError::Encoding)
}

fn random_serial() -> Result<SerialNumber, SealError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(SealError::Random)?;
    // Positive, and never shortened: the first byte is 0x40 to 0x7f.
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::new(&bytes).map_err(|_| SealError::Encoding)
}

fn run_validity(now: Instant) -> Result<Validity, SealError> {
    let from = u64::try_from(now.seconds).map_err(|_| SealError::Clock)?;
    let until = from + RUN_DAYS * 86_400;
    Ok(Validity {
        not_before: x509_time(from)?,
        not_after: x509_time(until)?,
    })
}

/// UTCTime up to 2049, GeneralizedTime after it, as RFC 5280 has it.
pub(crate) fn x509_time(seconds: u64) -> Result<Time, SealError> {
    let since = Duration::from_secs(seconds);
    if let Ok(time) = UtcTime::from_unix_duration(since) {
        return Ok(Time::UtcTime(time));
    }
    let time = GeneralizedTime::from_unix_duration(since).map_err(|_| SealError::Clock)?;
    Ok(Time::GeneralTime(time))
}
