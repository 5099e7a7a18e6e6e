//! One connection under a pinned root: TLS 1.3, and HTTP/1.1 in it.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::TLS13,
};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::TlsConnector;

/// A server, and as whom it is spoken to.
pub(super) struct Pinned {
    address: SocketAddr,
    roots: Arc<RootCertStore>,
    tls: Arc<ClientConfig>,
}

impl Pinned {
    /// As nobody.
    pub(super) fn new(address: SocketAddr, root_pem: &str) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root_pem.as_bytes())?)?;
        let roots = Arc::new(roots);
        let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots.clone());
        Ok(Self {
            address,
            roots,
            tls: Arc::new(builder.with_no_client_auth()),
        })
    }

    /// As whoever holds this key.
    pub(super) fn as_client(&self, chain_pem: &str, key_pem: &str) -> anyhow::Result<Self> {
        let chain =
            CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())?;
        let provider = self.tls.crypto_provider().clone();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(self.roots.clone());
        Ok(Self {
            address: self.address,
            roots: self.roots.clone(),
            tls: Arc::new(builder.with_client_auth_cert(chain, key)?),
        })
    }
}

/// A connection; it ends when this is dropped.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Connects and shakes hands.
    pub(super) async fn open(to: &Pinned) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(to.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let stream = TlsConnector::from(to.tls.clone())
            .connect(name, stream)
            .await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            // Whoever asks on it hears that it broke.
            let _ = connection.await;
        });
        Ok(Self { sender, driver })
    }

    pub(super) async fn get(&mut self, path: &str) -> anyhow::Result<(u16, Bytes)> {
        let request = Request::get(path).header(HOST, "localhost");
        self.send(request.body(Full::default())?).await
    }

    pub(super) async fn post(&mut self, path: &str, body: Vec<u8>) -> anyhow::Result<(u16, Bytes)> {
        let request = Request::post(path).header(HOST, "localhost");
        self.send(request.body(Full::from(body))?).await
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<(u16, Bytes)> {
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await;
        Ok((status, body.context("an answer broke off")?.to_bytes()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
