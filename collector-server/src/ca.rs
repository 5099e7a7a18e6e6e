//! The deployment's certificates: a root, an issuing authority, and what it signs.
//!
//! A request gives its public key and nothing else; names, usages and times are
//! ours. It keeps no list of what was issued: that is the index's business. Whose key
//! signs is the caller's: the root's is meant to be taken offline.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use evidence::{digest::Digest, ids::AgentId, keys::SigningKey};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKey, PublicKeyData as _, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use zeroize::Zeroizing;

const DAY_S: i64 = 86_400;
/// TLS certificates are renewed often; the key may stay the same.
pub const TLS_DAYS: i64 = 90;
/// Seal certificates outlive the evidence's first years.
pub const SEAL_DAYS: i64 = 3 * 365;
const ROOT_DAYS: i64 = 20 * 365;
const ISSUING_DAYS: i64 = 10 * 365;
/// Hosts with a clock that is slow by less than this accept a new certificate.
const BACKDATE_S: i64 = 3_600;
/// A P-256 request takes some 500 bytes; anything near this is no honest one.
const MAX_CSR_BYTES: usize = 16 * 1024;

/// What can go wrong in issuing or loading.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The request is not one that we sign.
    #[error(
        "The certificate request is refused: {0}. Send a PKCS#10 request in PEM, signed by its own P-256 key."
    )]
    Request(String),
    /// The authority itself failed.
    #[error("The certificate could not be made. Check the authority's key and certificate.")]
    Make(#[source] rcgen::Error),
    /// A key or certificate file could not be read or written.
    #[error(
        "{path} could not be read or written. Check that it exists and belongs to the server's user."
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key can't be used.
    #[error("The authority's key can't be used: {0}. Restore it from the backup.")]
    Key(String),
    /// No random bytes.
    #[error("The system's random source does not answer. Try again when the machine is up.")]
    Random,
    /// The time lies outside what a certificate can hold.
    #[error("The clock shows a time that no certificate can hold. Set the clock.")]
    Clock,
}

/// A certificate authority: its certificate and the key that signs.
pub struct Authority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A root certificate by `key` for itself, fit for one level of issuing authorities below it.
    ///
    /// # Errors
    /// The key does not fit, or the clock fails.
    pub fn new_root(name: &str, key: &SigningKey, now_s: i64) -> Result<Self, CaError> {
        let pem = key.to_pem().map_err(|e| CaError::Key(e.to_string()))?;
        let key = KeyPair::from_pem(&pem).map_err(CaError::Make)?;
        let params = authority_params(name, 1, now_s, ROOT_DAYS)?;
        let certificate_pem = params.self_signed(&key).map_err(CaError::Make)?.pem();
        Self::from_parts(certificate_pem, key)
    }

    /// A new authority under `self` that certifies agents and servers only.
    ///
    /// # Errors
    /// As for [`Authority::new_root`].
    pub fn new_issuing(&self, name: &str, now_s: i64) -> Result<Self, CaError> {
        let key = new_key()?;
        let params = authority_params(name, 0, now_s, ISSUING_DAYS)?;
        let made = params
            .signed_by(&key, &self.issuer)
            .map_err(CaError::Make)?;
        Self::from_parts(made.pem(), key)
    }

    /// Reads a certificate and the key behind it.
    ///
    /// # Errors
    /// A file is missing or is not what its name says.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, CaError> {
        let read = |path: &Path| {
            let path = path.to_owned();
            fs::read_to_string(&path).map_err(|source| CaError::File { path, source })
        };
        let key = KeyPair::from_pem(&Zeroizing::new(read(key)?)).map_err(CaError::Make)?;
        Self::from_parts(read(certificate)?, key)
    }

    /// The key that signs, in PEM.
    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// The authority's own certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// An agent's TLS certificate for the key of the request `csr_pem`.
    ///
    /// # Errors
    /// The request is refused.
    pub fn sign_agent_tls(
        &self,
        agent: AgentId,
        csr_pem: &str,
        now_s: i64,
    ) -> Result<String, CaError> {
        let mut params = leaf_params(&agent.to_string(), now_s, TLS_DAYS)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![agent_uri(agent, "tls")?];
        self.sign(&params, csr_pem)
    }

    /// An agent's seal certificate: the name that stands behind its archives.
    ///
    /// emailProtection is what plain `openssl cms -verify` demands of a signer.
    ///
    /// # Errors
    /// The request is refused.
    pub fn sign_agent_seal(
        &self,
        agent: AgentId,
        csr_pem: &str,
        now_s: i64,
    ) -> Result<String, CaError> {
        let mut params = leaf_params(&agent.to_string(), now_s, SEAL_DAYS)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        params.subject_alt_names = vec![agent_uri(agent, "seal")?];
        self.sign(&params, csr_pem)
    }

    /// A server's TLS certificate for these DNS names and addresses.
    ///
    /// # Errors
    /// The request is refused, or a name is not a DNS name.
    pub fn sign_server_tls(
        &self,
        names: &[String],
        csr_pem: &str,
        now_s: i64,
    ) -> Result<String, CaError> {
        let named = CertificateParams::new(names).map_err(|e| CaError::Request(e.to_string()))?;
        let mut params = leaf_params("Fieldseal server", now_s, TLS_DAYS)?;
        params.subject_alt_names = named.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params, csr_pem)
    }

    fn sign(&self, params: &CertificateParams, csr_pem: &str) -> Result<String, CaError> {
        let key = public_key_of(csr_pem)?;
        let made = params
            .signed_by(&key, &self.issuer)
            .map_err(CaError::Make)?;
        Ok(made.pem())
    }

    fn from_parts(certificate_pem: String, key: KeyPair) -> Result<Self, CaError> {
        check_pair(&certificate_pem, &key)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(CaError::Make)?;
        Ok(Self {
            certificate_pem,
            issuer,
        })
    }
}

/// A new P-256 key.
///
/// # Errors
/// The random source fails.
pub fn new_key() -> Result<KeyPair, CaError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CaError::Make)
}

/// A request for `key` that says nothing but its key, in PEM.
///
/// # Errors
/// The key does not sign.
pub fn request(key: &KeyPair) -> Result<String, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let made = params.serialize_request(key).map_err(CaError::Make)?;
    made.pem().map_err(CaError::Make)
}

/// SHA-256 of the SubjectPublicKeyInfo that a request asks a certificate for.
///
/// # Errors
/// The request is refused.
pub fn requested_key(csr_pem: &str) -> Result<Digest, CaError> {
    Ok(Digest::of(
        &public_key_of(csr_pem)?.subject_public_key_info(),
    ))
}

fn check_pair(certificate_pem: &str, key: &KeyPair) -> Result<(), CaError> {
    let wrong = || CaError::Key("it does not belong to the certificate".into());
    let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|_| wrong())?;
    let certificate = webpki::EndEntityCert::try_from(&der).map_err(|_| wrong())?;
    match certificate.subject_public_key_info()[..] == key.subject_public_key_info() {
        true => Ok(()),
        false => Err(wrong()),
    }
}

fn public_key_of(csr_pem: &str) -> Result<PublicKey, CaError> {
    if csr_pem.len() > MAX_CSR_BYTES {
        return Err(CaError::Request("it is too long".into()));
    }
    // from_pem checks the request's own signature: proof that its sender holds the key.
    let csr = CertificateSigningRequestParams::from_pem(csr_pem)
        .map_err(|e| CaError::Request(e.to_string()))?;
    if csr.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
        return Err(CaError::Request("its key is not on P-256".into()));
    }
    Ok(csr.public_key)
}

fn agent_uri(agent: AgentId, role: &str) -> Result<SanType, CaError> {
    let uri = format!("fieldseal:agent:{agent}:{role}");
    Ok(SanType::URI(uri.try_into().map_err(CaError::Make)?))
}

fn authority_params(
    name: &str,
    depth: u8,
    now_s: i64,
    days: i64,
) -> Result<CertificateParams, CaError> {
    let mut params = leaf_params(name, now_s, days)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(depth));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn leaf_params(name: &str, now_s: i64, days: i64) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Off by default in rcgen; without it OpenSSL builds paths by name only.
    params.use_authority_key_identifier_extension = true;
    // rcgen's own choice comes from the key: a renewal would repeat the old number.
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|_| CaError::Random)?;
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(serial.to_vec().into());
    let since_epoch = |s: i64| {
        // 9999-12-31 is the last day that X.509 can write.
        (0..253_370_764_800)
            .contains(&s)
            .then(|| date_time_ymd(1970, 1, 1) + Duration::from_secs(s.unsigned_abs()))
    };
    params.not_before = since_epoch(now_s.saturating_sub(BACKDATE_S)).ok_or(CaError::Clock)?;
    params.not_after = since_epoch(now_s.saturating_add(days * DAY_S)).ok_or(CaError::Clock)?;
    Ok(params)
}

#[cfg(test)]
mod tests;
