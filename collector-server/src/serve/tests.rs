//! The loop against honest, silent and wrong clients on loopback.

use std::fs;

use axum::{Extension, routing::get};
use evidence::{ids::AgentId, instant::Instant, keys::SigningKey};
use rustls::{
    pki_types::{CertificateDer, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::oneshot,
    task::JoinHandle,
};

use super::*;
use crate::{
    ca::{self, Authority},
    testing::{Deployment, Identity},
};

struct Running {
    port: u16,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn start(deployment: &Deployment, limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let who = |Extension(peer): Extension<Peer>| async move { format!("{:?}", peer.role) };
    let slow = || async {
        sleep(Duration::from_millis(300)).await;
        "done"
    };
    let router = Router::new()
        .route("/who", get(who))
        .route("/slow", get(slow));
    let (stop, stopped) = oneshot::channel();
    let stopped = async { drop(stopped.await) };
    let folder = deployment.folder();
    let shown = Shown::new(&fs::read_to_string(folder.server_pem()).unwrap()).unwrap();
    let tls = Arc::new(server_config(Arc::new(shown)).unwrap());
    let root = fs::read(folder.root_certificate()).unwrap();
    let root = CertificateDer::from_pem_slice(&root).unwrap();
    let anchor = webpki::anchor_from_trusted_cert(&root).unwrap().to_owned();
    let task = tokio::spawn(serve(listener, tls, anchor, router, limits, stopped));
    Running { port, stop, task }
}

/// An agent's certificate by this authority, which has issued the authority's own.
fn agent(issuing: &Authority, id: AgentId, seal: bool) -> Identity {
    let (key, now_s) = (ca::new_key().unwrap(), Instant::now().seconds);
    let csr = ca::request(&key).unwrap();
    let leaf = match seal {
        true => issuing.sign_agent_seal(id, &csr, now_s),
        false => issuing.sign_agent_tls(id, &csr, now_s),
    };
    Identity {
        chain_pem: leaf.unwrap() + issuing.certificate_pem(),
        key_pem: key.serialize_pem(),
    }
}

fn issuing(d: &Deployment) -> Authority {
    let folder = d.folder();
    Authority::load(&folder.issuing_certificate(), &folder.issuing_key()).unwrap()
}

async fn ask(
    d: &Deployment,
    port: u16,
    who: Option<&Identity>,
    path: &str,
) -> std::io::Result<String> {
    let mut stream = d.connect(port, who, &TLS13).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn each_request_knows_its_peer() {
    let d = Deployment::new().await;
    let server = start(&d, Limits::default()).await;
    let id = AgentId::random().unwrap();
    let ours = agent(&issuing(&d), id, false);
    let answer = ask(&d, server.port, Some(&ours), "/who").await.unwrap();
    assert!(answer.ends_with(&format!("Agent({id})")), "{answer}");
    let answer = ask(&d, server.port, None, "/who").await.unwrap();
    assert!(answer.ends_with("Anonymous"), "{answer}");
}

#[tokio::test]
async fn a_certificate_of_nobody_ours_is_a_key_and_no_more() {
    let d = Deployment::new().await;
    let server = start(&d, Limits::default()).await;
    let (id, now_s) = (AgentId::random().unwrap(), Instant::now().seconds);
    let foreign = Authority::new_root("Foreign", &SigningKey::generate().unwrap(), now_s).unwrap();
    let foreign = foreign.new_issuing("Foreign", now_s).unwrap();
    let (itself, _) = Identity::by_itself();
    for who in [
        agent(&foreign, id, false),
        agent(&issuing(&d), id, true),
        itself,
    ] {
        let answer = ask(&d, server.port, Some(&who), "/who").await.unwrap();
        assert!(answer.ends_with("Key"), "{answer}");
    }
}

#[tokio::test]
async fn old_tls_and_a_certificate_without_its_key_get_nowhere() {
    let d = Deployment::new().await;
    let server = start(&d, Limits::default()).await;
    assert!(d.connect(server.port, None, &TLS12).await.is_err());
    let answer = steal(&d, server.port).await;
    assert!(answer.is_err(), "{answer:?}");
}

/// Shows ann's certificate, with another key behind it.
#[derive(Debug)]
struct Thief(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Thief {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

async fn steal(d: &Deployment, port: u16) -> std::io::Result<String> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = ca::new_key().unwrap().serialize_pem();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let chain = CertificateDer::from_pem_slice(d.person("ann").tls.chain_pem.as_bytes()).unwrap();
    let thief = Thief(Arc::new(rustls::sign::CertifiedKey::new(vec![chain], key)));
    let mut roots = rustls::RootCertStore::empty();
    let root = fs::read(d.folder().root_certificate()).unwrap();
    roots
        .add(CertificateDer::from_pem_slice(&root).unwrap())
        .unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(thief));
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = "localhost".try_into().unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await?;
    stream
        .write_all(b"GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn prefers_the_post_quantum_exchange() {
    let d = Deployment::new().await;
    let server = start(&d, Limits::default()).await;
    let stream = d.connect(server.port, None, &TLS13).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn silent_clients_do_not_keep_others_out() {
    let d = Deployment::new().await;
    let limits = Limits {
        handshakes: 2,
        handshake_ms: 200,
        ..Limits::default()
    };
    let server = start(&d, limits).await;
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(
            TcpStream::connect(("127.0.0.1", server.port))
                .await
                .unwrap(),
        );
    }
    let answer = timeout(Duration::from_secs(20), ask(&d, server.port, None, "/who")).await;
    assert!(answer.unwrap().unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_open_request_is_answered_before_the_end() {
    let d = Deployment::new().await;
    let server = start(&d, Limits::default()).await;
    let mut stream = d.connect(server.port, None, &TLS13).await.unwrap();
    stream
        .write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    // The second connection is answered only after the first's bytes were sent.
    ask(&d, server.port, None, "/who").await.unwrap();
    server.stop.send(()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    server.task.await.unwrap();
    assert!(
        TcpStream::connect(("127.0.0.1", server.port))
            .await
            .is_err()
    );
}
