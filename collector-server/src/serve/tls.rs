//! The server's TLS rules: version 1.3 only, post-quantum key exchange first.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
    version::TLS13,
};

/// The TLS settings could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM text does not hold what it should.
    #[error(
        "The {what} in PEM could not be read. Restore it from the backup, or run `init` in a new folder."
    )]
    Pem {
        /// Which of the texts.
        what: &'static str,
        /// What the reader said.
        source: rustls::pki_types::pem::Error,
    },
    /// rustls refuses the parts together.
    #[error(
        "The TLS certificate, key or root was refused. Check that the certificate belongs to the key."
    )]
    Refused(#[from] rustls::Error),
    /// The verifier of clients refuses the root.
    #[error(
        "The root certificate was refused as an anchor. Check that root.crt is the deployment's."
    )]
    Root(#[from] rustls::server::VerifierBuilderError),
}

/// A server that shows `chain_pem` and takes clients with a certificate under
/// `root_pem`, or with none: an agent that enrols has none yet.
///
/// # Errors
/// A text is no PEM of its kind, or the key is not the certificate's.
pub fn server_config(
    chain_pem: &[u8],
    key_pem: &[u8],
    root_pem: &[u8],
) -> Result<ServerConfig, TlsError> {
    let bad = |what| move |source| TlsError::Pem { what, source };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root_pem).map_err(bad("root certificate"))?)?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem).collect();
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(bad("TLS key"))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.map_err(bad("TLS certificate"))?, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would skip the certificate's expiry; agents keep connections open anyway.
    config.send_tls13_tickets = 0;
    Ok(config)
}
