//! A deployment in a folder for tests: authorities, a server's key, agents' keys.

use std::{fs, path::PathBuf, sync::Arc};

use evidence::{ids::AgentId, instant::Instant};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    ca::{self, Authority},
    serve,
};

/// Authorities and a server's TLS settings, in a folder that goes with the value.
pub(crate) struct Deployment {
    pub(crate) dir: tempfile::TempDir,
    root: Authority,
    issuing: Authority,
}

/// One side's certificate chain and key in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain_pem: String,
    pub(crate) key_pem: String,
}

pub(crate) fn now_s() -> i64 {
    Instant::now().seconds
}

impl Deployment {
    pub(crate) fn new() -> Self {
        let root = Authority::new_root("Test root", now_s()).unwrap();
        let issuing = root.new_issuing("Test issuing", now_s()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("root.crt"), root.certificate_pem()).unwrap();
        Self { dir, root, issuing }
    }

    pub(crate) fn server(&self) -> Arc<rustls::ServerConfig> {
        let key = ca::new_key().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = self
            .issuing
            .sign_server_tls(&names, &ca::request(&key).unwrap(), now_s());
        let chain = leaf.unwrap() + self.issuing.certificate_pem();
        let root = self.root.certificate_pem().as_bytes();
        let config = serve::server_config(chain.as_bytes(), key.serialize_pem().as_bytes(), root);
        Arc::new(config.unwrap())
    }

    pub(crate) fn agent(&self, agent: AgentId) -> Identity {
        let key = ca::new_key().unwrap();
        let leaf = self
            .issuing
            .sign_agent_tls(agent, &ca::request(&key).unwrap(), now_s());
        Identity {
            chain_pem: leaf.unwrap() + self.issuing.certificate_pem(),
            key_pem: key.serialize_pem(),
        }
    }

    pub(crate) fn seal(&self, agent: AgentId) -> Identity {
        let key = ca::new_key().unwrap();
        let leaf = self
            .issuing
            .sign_agent_seal(agent, &ca::request(&key).unwrap(), now_s());
        Identity {
            chain_pem: leaf.unwrap() + self.issuing.certificate_pem(),
            key_pem: key.serialize_pem(),
        }
    }

    /// Writes an identity as one PEM file each and says where.
    pub(crate) fn write(&self, name: &str, identity: &Identity) -> (PathBuf, PathBuf) {
        let (chain, key) = (format!("{name}.crt"), format!("{name}.key"));
        let (chain, key) = (self.dir.path().join(chain), self.dir.path().join(key));
        fs::write(&chain, &identity.chain_pem).unwrap();
        fs::write(&key, &identity.key_pem).unwrap();
        (chain, key)
    }

    /// A TLS connection to the server on this loopback port.
    pub(crate) async fn connect(
        &self,
        port: u16,
        identity: Option<&Identity>,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let root = self.root.certificate_pem().as_bytes();
        roots
            .add(CertificateDer::from_pem_slice(root).unwrap())
            .unwrap();
        let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(of) => {
                let chain = CertificateDer::pem_slice_iter(of.chain_pem.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(of.key_pem.as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(chain.map(Result::unwrap).collect(), key)
                    .unwrap()
            }
        };
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let name = "localhost".try_into().unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }
}
