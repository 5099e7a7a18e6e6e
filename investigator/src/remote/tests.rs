//! The client against a small TLS server that answers by script.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, ServerConnection, SignatureScheme,
    StreamOwned,
    client::danger::HandshakeSignatureValid,
    crypto::verify_tls13_signature,
    pki_types::{PrivatePkcs8KeyDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use protocol::messages::Hosts;

use super::*;
use crate::{keys, testing::World};

/// Takes any client whose handshake is signed, as the real server does before it looks at the policy.
#[derive(Debug)]
struct AnyKey;

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = aws_lc_rs::default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = aws_lc_rs::default_provider().signature_verification_algorithms;
        known.supported_schemes()
    }
}

/// What the server heard in one request.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    line: String,
    range: Option<String>,
    peer: Option<Vec<u8>>,
    group: String,
}

/// A server that gives its answers one after the other, each on a connection of its own.
struct Server {
    root: Vec<u8>,
    at: SocketAddr,
    heard: mpsc::Receiver<Heard>,
}

fn serve(answers: &[&'static str]) -> Server {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(Arc::new(AnyKey))
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    config.send_tls13_tickets = 0;
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let (tell, heard) = mpsc::channel();
    let answers = Mutex::new(answers.iter().copied().collect::<VecDeque<_>>());
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let Some(answer) = answers.lock().unwrap().pop_front() else {
                return;
            };
            // A client that leaves in mid-handshake is one of the cases.
            if let Some(heard) = answer_one(&config, socket, answer) {
                let _gone = tell.send(heard);
            }
        }
    });
    Server {
        root: certificate.der().to_vec(),
        at,
        heard,
    }
}

fn answer_one(config: &Arc<ServerConfig>, socket: TcpStream, answer: &str) -> Option<Heard> {
    let connection = ServerConnection::new(config.clone()).unwrap();
    let mut reader = BufReader::new(StreamOwned::new(connection, socket));
    let (mut line, mut range) = (String::new(), None);
    reader.read_line(&mut line).ok()?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("range") {
            range = Some(value.trim().to_owned());
        }
    }
    let mut stream = reader.into_inner();
    // One answer a connection, and said: else the next question may go into this one while it ends.
    let answer = answer.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    stream.write_all(answer.as_bytes()).ok()?;
    stream.flush().ok()?;
    let certificates = stream.conn.peer_certificates();
    let heard = Heard {
        line: line.trim_end().to_owned(),
        range,
        peer: certificates.map(|c| c[0].to_vec()),
        group: format!("{:?}", stream.conn.negotiated_key_exchange_group()?.name()),
    };
    stream.conn.send_close_notify();
    let _gone = stream.flush();
    Some(heard)
}

impl Server {
    fn remote(&self, who: Option<Credentials<'_>>) -> Remote {
        let server = format!("https://localhost:{}", self.at.port());
        Remote::new(&server, std::slice::from_ref(&self.root), who).unwrap()
    }
}

const NO_HOSTS: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 31\r\n\r\n{\"v\":1,\"hosts\":[],\"more\":false}";

#[test]
fn speaks_tls13_with_the_persons_own_certificate_and_a_post_quantum_key_exchange() {
    let dir = tempfile::tempdir().unwrap();
    let new = keys::NewPerson {
        id: "ann".parse().unwrap(),
        name: "Ann".into(),
        roles: [protocol::policy::Role::Investigator].into(),
        agencies: ["lab".parse().unwrap()].into(),
    };
    let now = evidence::instant::Instant::now().seconds;
    keys::create(&dir.path().join("ann"), new, None, now).unwrap();
    let keys = keys::Keys::load(&dir.path().join("ann")).unwrap();
    let server = serve(&[NO_HOSTS]);
    assert_eq!(
        server
            .remote(Some(keys.credentials()))
            .hosts()
            .unwrap()
            .hosts,
        []
    );
    let heard = server.heard.recv().unwrap();
    assert_eq!(heard.line, "GET /v1/hosts HTTP/1.1");
    assert_eq!(heard.peer.as_deref(), Some(&keys.tls_certificate[..]));
    assert_eq!(heard.group, "X25519MLKEM768");
}

#[test]
fn a_long_list_is_asked_for_page_by_page() {
    let page = |first: u8, more: bool| {
        let hosts = (first..first + 2).map(|n| World::host(n, "web")).collect();
        let page = serde_json::to_string(&Hosts { v: 1, hosts, more }).unwrap();
        let length = page.len();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{page}")
    };
    let server = serve(&[page(1, true), page(3, true), page(5, false)].map(|p| &*p.leak()));
    let all = server.remote(None).hosts().unwrap();
    assert_eq!((all.hosts.len(), all.more), (6, false));
    let asked: Vec<_> = server.heard.iter().take(3).map(|h| h.line).collect();
    for (line, last) in asked[1..].iter().zip([1, 3]) {
        let beyond = all.hosts[last].agent;
        let path = format!("GET /v1/hosts?after_agent={beyond} HTTP/1.1");
        assert_eq!(*line, path);
    }
}

#[test]
fn a_server_under_another_root_is_refused() {
    let (server, other) = (serve(&[NO_HOSTS]), serve(&[]));
    let address = format!("https://localhost:{}", server.at.port());
    let remote = Remote::new(&address, std::slice::from_ref(&other.root), None).unwrap();
    let error = remote.hosts().unwrap_err();
    assert!(
        matches!(error, RemoteError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(server.heard.try_recv().is_err(), "no request may leave");
}

#[test]
fn a_refusal_keeps_its_number_and_words_and_says_whether_to_retry() {
    let server = serve(&[
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n\r\nnot yours",
        "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n",
    ]);
    let remote = server.remote(None);
    let error = remote.hosts().unwrap_err();
    assert_eq!(error.status(), Some(403));
    assert!(
        error.is_permanent() && error.to_string().contains("not yours"),
        "{error}"
    );
    assert!(!remote.hosts().unwrap_err().is_permanent());
}

#[test]
fn an_answer_out_of_the_protocol_or_cut_is_refused() {
    let server = serve(&[
        "HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n{\"v\":1,\"hosts\":[],\"x\":1}",
        "HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{\"v\":2,\"hosts\":[]}",
        "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"v\":1",
        "HTTP/1.1 302 Found\r\nlocation: https://localhost:1/\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{",
    ]);
    let remote = server.remote(None);
    for (at, permanent) in [true, true, false, true, false].into_iter().enumerate() {
        let error = remote.hosts().unwrap_err();
        assert_eq!(error.is_permanent(), permanent, "{at}: {error:?}");
    }
}

#[test]
fn a_part_is_asked_for_from_where_it_stopped() {
    let server = serve(&[
        "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 3-5/6\r\ncontent-length: 3\r\n\r\ndef",
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef",
    ]);
    let remote = server.remote(None);
    let collection = evidence::ids::CollectionId::from_bytes([1; 16]);
    let digest = evidence::digest::Digest::of(b"abcdef");
    for (from, text) in [(3, "def"), (0, "abcdef")] {
        let mut got = remote.part(collection, 1, digest, 3).unwrap();
        let mut body = String::new();
        got.body.read_to_string(&mut body).unwrap();
        assert_eq!((got.from, body.as_str()), (from, text));
        let heard = server.heard.recv().unwrap();
        assert_eq!(heard.range.as_deref(), Some("bytes=3-"));
        assert_eq!(
            heard.line,
            format!("GET /v1/parts/{collection}/1/{digest} HTTP/1.1")
        );
    }
}

#[test]
fn an_address_is_https_and_nothing_more() {
    for good in [
        "https://localhost:8443",
        "https://[::1]:1/",
        "https://a.example",
    ] {
        assert!(check_address(good).is_ok(), "{good}");
    }
    for bad in [
        "http://localhost",
        "https://u:p@localhost",
        "https://localhost/x",
        "https://localhost?x",
        "https://localhost#x",
        "localhost:8443",
        "",
    ] {
        assert!(check_address(bad).is_err(), "{bad}");
    }
}
