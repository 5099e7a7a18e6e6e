//! The courier's TLS: version 1.3 alone, post-quantum key exchange first, the deployment's root as the only anchor;
//! its key, requests for certificates, and what it asks of a certificate before it keeps it.

use std::sync::Arc;

use evidence::{
    ids::AgentId,
    instant::Instant,
    keys::PublicKey,
    seal::{self, Expected, Trust, Window},
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, UnixTime, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};
use zeroize::Zeroizing;

/// The role of the courier's certificate.
const ROLE: &str = "tls";

/// Why a key or a certificate is of no use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM text does not hold what it should.
    #[error("the {0} is not PEM of its kind. Restore the file, or enrol this host again.")]
    Pem(&'static str),
    /// The key could not be made or used.
    #[error("the TLS key can't be used. Enrol this host again.")]
    Key(#[source] rcgen::Error),
    /// The certificate is not what was asked for.
    #[error("the TLS certificate {0}. Check that the server is the deployment's own.")]
    Certificate(&'static str),
    /// It does not lead to the root.
    #[error(
        "the TLS certificate doesn't lead to root.crt. Check root.crt, the server and this host's clock."
    )]
    Chain(#[source] rustls::Error),
    /// The root certificate is no anchor.
    #[error("root.crt can't serve as an anchor. Take the deployment's own.")]
    Root(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A key and the chain that certifies it, PEM. What the client makes of the key it keeps as long as it is there.
#[derive(Clone)]
pub struct Identity {
    /// The key; wiped out of memory with the value.
    pub key_pem: Zeroizing<String>,
    /// The certificate, then its issuers.
    pub chain_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// A new P-256 key, PEM.
///
/// # Errors
/// The system gives no random numbers.
pub fn new_key() -> Result<Zeroizing<String>, TlsError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(TlsError::Key)?;
    let key = Zeroizing::new(key);
    Ok(Zeroizing::new(key.serialize_pem()))
}

/// The key of a PEM text.
fn pair(key_pem: &str) -> Result<Zeroizing<KeyPair>, TlsError> {
    let key = KeyPair::from_pem(key_pem).map_err(TlsError::Key)?;
    Ok(Zeroizing::new(key))
}

/// A request for a certificate for `key_pem`; the issuer alone decides what stands in it.
///
/// # Errors
/// The key is none.
pub fn request(key_pem: &str) -> Result<String, TlsError> {
    let key = pair(key_pem)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let made = params.serialize_request(&*key).map_err(TlsError::Key)?;
    made.pem().map_err(TlsError::Key)
}

/// From when to when the first certificate of a chain holds.
///
/// # Errors
/// It is no certificate.
pub fn window(chain_pem: &str) -> Result<Window, TlsError> {
    Ok(leaf(chain_pem)?.window)
}

/// Checks what the server issued: our key, our agent, our role, under the root, now.
///
/// # Errors
/// One of these does not hold.
pub fn check(
    identity: &Identity,
    agent: AgentId,
    root_pem: &str,
    now: Instant,
) -> Result<(), TlsError> {
    let signer = leaf(&identity.chain_pem)?;
    if signer.agent != Some(agent) || signer.role.as_deref() != Some(ROLE) {
        return Err(TlsError::Certificate("names another agent or purpose"));
    }
    let key = pair(&identity.key_pem)?;
    let ours = PublicKey::from_pem(&key.public_key_pem()).map_err(|_| TlsError::Pem("TLS key"))?;
    if signer.key != Some(ours) {
        return Err(TlsError::Certificate("is for another key"));
    }
    check_chain(&identity.chain_pem, root_pem, now)
}

/// Follows the chain as the server will.
fn check_chain(chain_pem: &str, root_pem: &str, now: Instant) -> Result<(), TlsError> {
    let chain = certificates(chain_pem, "TLS certificate")?;
    let (leaf, between) = chain
        .split_first()
        .ok_or(TlsError::Pem("TLS certificate"))?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(root_pem)?), provider())
            .build()
            .map_err(|e| TlsError::Root(Box::new(e)))?;
    let seconds = u64::try_from(now.seconds).unwrap_or(0);
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    verifier
        .verify_client_cert(leaf, between, now)
        .map_err(TlsError::Chain)?;
    Ok(())
}

fn leaf(chain_pem: &str) -> Result<seal::Signer, TlsError> {
    let bad = || TlsError::Pem("TLS certificate");
    let chain = seal::certificates_from_pem(chain_pem).map_err(|_| bad())?;
    let (trust, now) = (Trust::none(), Instant::now());
    let expected = Expected {
        trust: &trust,
        agent: None,
        at: None,
    };
    // Its faults are those of a seal's certificate, which this is not.
    seal::check_certificates(&chain, expected, now)
        .signer
        .ok_or_else(bad)
}

fn roots(root_pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for one in certificates(root_pem, "root certificate")? {
        roots.add(one).map_err(|e| TlsError::Root(Box::new(e)))?;
    }
    Ok(roots)
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::Pem(what))?;
    if all.is_empty() {
        return Err(TlsError::Pem(what));
    }
    Ok(all)
}

/// aws-lc-rs, with the suites of TLS 1.3 alone: what no suite is for can't be spoken.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .retain(|suite| suite.tls13().is_some());
    Arc::new(provider)
}

/// The settings of a client that trusts `root_pem` and shows `identity`.
///
/// # Errors
/// A text is not what it should be, or key and certificate don't belong together.
pub(super) fn config(root_pem: &str, identity: Option<&Identity>) -> Result<TlsConfig, TlsError> {
    roots(root_pem)?;
    let anchors = certificates(root_pem, "root certificate")?;
    let anchors: Vec<_> = anchors.iter().map(to_ureq).collect();
    let client = identity.map(client_certificate).transpose()?;
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(provider())
        .root_certs(RootCerts::Specific(Arc::new(anchors)))
        .client_cert(client)
        .build())
}

fn client_certificate(identity: &Identity) -> Result<ClientCert, TlsError> {
    let chain = certificates(&identity.chain_pem, "TLS certificate")?;
    let key = PrivateKey::from_pem(identity.key_pem.as_bytes())
        .map_err(|_| TlsError::Pem("TLS key"))?
        .to_owned();
    // The client can't report a pair that doesn't fit, so it is tried here.
    let fits = pair(&identity.key_pem)?;
    let ours = PublicKey::from_pem(&fits.public_key_pem()).map_err(|_| TlsError::Pem("TLS key"))?;
    if leaf(&identity.chain_pem)?.key != Some(ours) {
        return Err(TlsError::Certificate("is for another key"));
    }
    let chain: Vec<_> = chain.iter().map(to_ureq).collect();
    Ok(ClientCert::new_with_certs(&chain, key))
}

fn to_ureq(der: &CertificateDer<'static>) -> Certificate<'static> {
    Certificate::from_der(der.as_ref()).to_owned()
}
