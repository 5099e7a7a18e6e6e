//! A server of the protocol's endpoints over real TLS that can be told to misbehave: it refuses, cuts connections in
//! the middle of a body, forgets uploads, lies, and vanishes.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, BufReader, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use evidence::{
    custody::{
        event::{Action, Event, StoredPart},
        leaf_hash,
        receipt::Receipt,
        tree::Tree,
    },
    digest::Digest,
    ids::AgentId,
    instant::Instant,
    keys::SigningKey,
};
use protocol::{
    enrolment::{EnrolRequest, EnrolResponse, ForkRequest, RenewRequest, RenewResponse},
    live::SendLogPiece,
    messages::{
        AgentHealth, AgentOrders, AgentReport, Consistency, HandedOrder, Health, Report,
        TimeRequest, Trust,
    },
};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};

use super::{
    http::{Head, Said},
    pki::Pki,
};
use crate::courier::tls::Identity;

/// Something that goes wrong, once.
#[derive(Debug, Clone)]
pub(in crate::courier) struct Fault {
    /// The request's method.
    pub(in crate::courier) method: &'static str,
    /// A piece of its path.
    pub(in crate::courier) path: &'static str,
    /// What happens.
    pub(in crate::courier) act: Act,
}

#[derive(Debug, Clone)]
pub(in crate::courier) enum Act {
    /// This status, before the body, with Retry-After where given.
    Refuse(u16, Option<u64>),
    /// The connection ends after so many bytes of the body, which are kept.
    CutAfter(usize),
    /// All is done, and the connection ends before the answer.
    CutAnswer,
    /// All uploads are forgotten, and then it is answered.
    Forget,
    /// This body.
    Lie(Vec<u8>),
}

/// One upload.
#[derive(Debug, Clone, Default)]
pub(in crate::courier) struct Upload {
    pub(in crate::courier) metadata: BTreeMap<String, Vec<u8>>,
    pub(in crate::courier) length: usize,
    pub(in crate::courier) bytes: Vec<u8>,
}

/// What the server knows and was told.
#[derive(Default)]
pub(in crate::courier) struct State {
    pub(in crate::courier) faults: VecDeque<Fault>,
    pub(in crate::courier) uploads: BTreeMap<String, Upload>,
    pub(in crate::courier) created: usize,
    pub(in crate::courier) orders: Vec<HandedOrder>,
    pub(in crate::courier) policy_version: u64,
    pub(in crate::courier) reports: Vec<Report>,
    pub(in crate::courier) log_pieces: Vec<SendLogPiece>,
    pub(in crate::courier) health: Vec<Health>,
    pub(in crate::courier) requests: Vec<String>,
    pub(in crate::courier) renewals: usize,
    /// The requests to enrol that a token came with.
    pub(in crate::courier) enrolments: Vec<EnrolRequest>,
    /// The agent was revoked: whatever it asks as an agent is refused.
    pub(in crate::courier) is_revoked: bool,
    /// It knows of no errors in a health report.
    pub(in crate::courier) is_older: bool,
    /// The agent's identity was met on two machines: its questions for orders are refused.
    pub(in crate::courier) is_cloned: bool,
    /// Who asked for an identity of its own.
    pub(in crate::courier) forks: Vec<ForkRequest>,
    /// Protocol version and key exchange of each connection.
    pub(in crate::courier) handshakes: Vec<(String, String)>,
}

struct Inner {
    pki: Arc<Pki>,
    config: Arc<ServerConfig>,
    key: SigningKey,
    state: Mutex<State>,
    changed: Condvar,
    is_gone: AtomicBool,
    has_ended: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

/// The running server; it ends with the value.
pub(in crate::courier) struct Server {
    inner: Arc<Inner>,
    pub(in crate::courier) port: u16,
}

impl Server {
    pub(in crate::courier) fn start(pki: &Arc<Pki>) -> Self {
        Self::start_as(pki, &pki.server())
    }

    pub(in crate::courier) fn start_as(pki: &Arc<Pki>, identity: &Identity) -> Self {
        // Older versions too: it is the courier that must not speak them.
        Self::start_with(pki, identity, rustls::ALL_VERSIONS)
    }

    pub(in crate::courier) fn start_with(
        pki: &Arc<Pki>,
        identity: &Identity,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = Arc::new(Inner {
            pki: pki.clone(),
            config: Arc::new(config(&pki.root_pem, identity, versions)),
            key: SigningKey::generate().unwrap(),
            state: Mutex::default(),
            changed: Condvar::new(),
            is_gone: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        let shared = inner.clone();
        thread::spawn(move || accept(&shared, &listener));
        Self { inner, port }
    }

    pub(in crate::courier) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Looks at the state, or changes it.
    pub(in crate::courier) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let out = act(&mut self.inner.state.lock().unwrap());
        self.inner.changed.notify_all();
        out
    }

    pub(in crate::courier) fn fault(&self, method: &'static str, path: &'static str, act: Act) {
        self.with(|s| s.faults.push_back(Fault { method, path, act }));
    }

    /// Whether all that should go wrong has gone wrong.
    pub(in crate::courier) fn is_faultless(&self) -> bool {
        self.with(|s| s.faults.is_empty())
    }

    /// Cuts every connection, and every one that comes, until it comes back.
    pub(in crate::courier) fn vanish(&self) {
        self.inner.is_gone.store(true, Ordering::SeqCst);
        self.inner.cut_all();
    }

    pub(in crate::courier) fn come_back(&self) {
        self.inner.is_gone.store(false, Ordering::SeqCst);
    }

    /// The bytes of a part that arrived whole and as promised.
    pub(in crate::courier) fn part(&self, part: u32) -> Option<Vec<u8>> {
        self.with(|s| {
            let mut all = s.uploads.values();
            let found = all.find(|u| {
                u.metadata["part"] == part.to_string().as_bytes() && u.bytes.len() == u.length
            })?;
            let promised = String::from_utf8(found.metadata["sha256"].clone()).unwrap();
            assert_eq!(Digest::of(&found.bytes).to_string(), promised);
            Some(found.bytes.clone())
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.inner.has_ended.store(true, Ordering::SeqCst);
        self.inner.cut_all();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn config(
    root_pem: &str,
    identity: &Identity,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(root_pem.as_bytes()).unwrap();
    roots.add(root).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .unwrap();
    let chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap()
}

fn accept(inner: &Arc<Inner>, listener: &TcpListener) {
    for stream in listener.incoming() {
        if inner.has_ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if inner.is_gone.load(Ordering::SeqCst) {
            continue;
        }
        inner
            .streams
            .lock()
            .unwrap()
            .push(stream.try_clone().unwrap());
        if inner.is_gone.load(Ordering::SeqCst) {
            // It went between the two looks: none of its connections may outlive it.
            inner.cut_all();
        }
        let inner = inner.clone();
        thread::spawn(move || {
            // A connection that breaks is what these tests are about.
            let _ = inner.converse(stream);
        });
    }
}

/// Ends a connection as a machine does that goes: reset at its close, not left with a window that never opens again.
fn cut(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Both);
}

type Tls = BufReader<StreamOwned<ServerConnection, TcpStream>>;

/// Reads buffered, writes through.
struct Duplex(Tls);

impl io::Read for Duplex {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl io::BufRead for Duplex {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.0.consume(count);
    }
}

impl Write for Duplex {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}

impl Inner {
    fn cut_all(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            cut(&stream);
        }
        self.changed.notify_all();
    }

    fn converse(&self, tcp: TcpStream) -> io::Result<()> {
        let connection = ServerConnection::new(self.config.clone()).map_err(io::Error::other)?;
        let mut stream = Duplex(BufReader::new(StreamOwned::new(connection, tcp)));
        let mut is_new = true;
        while let Some(head) = Head::read(&mut stream)? {
            let tls = &stream.0.get_ref().conn;
            let has_certificate = tls.peer_certificates().is_some();
            if std::mem::take(&mut is_new) {
                let version = format!("{:?}", tls.protocol_version());
                let group = tls.negotiated_key_exchange_group().map(|g| g.name());
                let mut state = self.state.lock().unwrap();
                state.handshakes.push((version, format!("{group:?}")));
            }
            let fault = self.fault_for(&head);
            let most = match fault {
                Some(Act::CutAfter(bytes)) => bytes,
                Some(Act::Refuse(status, retry_after)) => {
                    let mut said = Said::of(status);
                    if let Some(seconds) = retry_after {
                        said = said.with("retry-after", seconds);
                    }
                    said.with("connection", "close").write(&mut stream, false)?;
                    return Ok(());
                }
                Some(Act::Forget) => {
                    self.state.lock().unwrap().uploads.clear();
                    usize::MAX
                }
                _ => usize::MAX,
            };
            let body = head.body(&mut stream, most)?;
            let is_revoked =
                self.state.lock().unwrap().is_revoked && head.path.starts_with("/v1/agent/");
            let is_cloned =
                self.state.lock().unwrap().is_cloned && head.path.starts_with("/v1/agent/orders");
            let said = if is_cloned {
                Said::of(409).with("fieldseal-reason", "cloned")
            } else if is_revoked {
                Said {
                    body: b"This agent was revoked. Ask an admin why.".to_vec(),
                    ..Said::of(403)
                }
                .with("fieldseal-reason", "revoked")
            } else if has_certificate || matches!(&*head.path, "/v1/enrol" | "/v1/trust") {
                self.answer(&head, body)
            } else {
                Said::of(403)
            };
            match fault {
                Some(Act::CutAfter(_) | Act::CutAnswer) => {
                    cut(&stream.0.get_ref().sock);
                    return Ok(());
                }
                Some(Act::Lie(body)) => Said {
                    body,
                    ..Said::of(200)
                }
                .write(&mut stream, false)?,
                _ => said.write(&mut stream, head.method == "HEAD")?,
            }
        }
        Ok(())
    }

    fn fault_for(&self, head: &Head) -> Option<Act> {
        let mut state = self.state.lock().unwrap();
        state
            .requests
            .push(format!("{} {}", head.method, head.path));
        let is_due = |f: &Fault| f.method == head.method && head.path.contains(f.path);
        let at = state.faults.iter().position(is_due)?;
        Some(state.faults.remove(at).unwrap().act)
    }

    fn answer(&self, head: &Head, body: Vec<u8>) -> Said {
        let path = head.path.split('?').next().unwrap();
        match (head.method.as_str(), path) {
            ("POST", "/v1/enrol") => self.enrol(&body),
            ("POST", "/v1/time") => self.time(&body),
            ("GET", "/v1/trust") => Said::json(&Trust {
                v: 1,
                roots: vec!["root".into()],
                policy: "policy".into(),
            }),
            ("GET", "/v1/agent/orders") => self.orders(&head.path),
            ("POST", "/v1/agent/reports") => {
                let report: AgentReport = serde_json::from_slice(&body).unwrap();
                self.state.lock().unwrap().reports.push(report.report);
                Said::of(204)
            }
            ("POST", "/v1/agent/log") => {
                let piece = serde_json::from_slice(&body).unwrap();
                self.state.lock().unwrap().log_pieces.push(piece);
                Said::of(204)
            }
            ("POST", "/v1/agent/health") => {
                let told: AgentHealth = serde_json::from_slice(&body).unwrap();
                let mut state = self.state.lock().unwrap();
                if state.is_older && !told.health.errors.is_empty() {
                    return Said::of(400);
                }
                state.health.push(told.health);
                Said::of(204)
            }
            ("POST", "/v1/agent/renew") => self.renew(&body),
            ("POST", "/v1/agent/fork") => self.fork(&body),
            ("POST", "/v1/parts") => self.create(head),
            ("HEAD", _) => self.show(path),
            ("PATCH", _) => self.patch(head, path, body),
            ("GET", _) if path.ends_with("/receipt") => self.receipt(path),
            ("GET", "/v1/custody/checkpoint") => Said {
                body: b"the log's note".to_vec(),
                ..Said::of(200)
            },
            ("GET", "/v1/custody/consistency") => match head.path.as_str() {
                "/v1/custody/consistency?from=3&to=8" => Said::json(&Consistency {
                    v: 1,
                    proof: vec![Digest::of(b"node")],
                }),
                _ => Said::of(422),
            },
            _ => Said::of(404),
        }
    }

    fn enrol(&self, body: &[u8]) -> Said {
        let asked: EnrolRequest = serde_json::from_slice(body).unwrap();
        if asked.token != "token" {
            return Said {
                body: b"The token is not known. Ask for another.".to_vec(),
                ..Said::of(422)
            };
        }
        let agent = AgentId::from_bytes([7; 16]);
        self.state.lock().unwrap().enrolments.push(asked.clone());
        Said::json(&EnrolResponse {
            v: 1,
            agent,
            tls_chain: self.pki.sign(agent, "tls", &asked.tls_csr, true),
            seal_chain: "seal".into(),
            policy: "policy".into(),
            receipt: "receipt".into(),
        })
    }

    fn time(&self, body: &[u8]) -> Said {
        let asked: TimeRequest = serde_json::from_slice(body).unwrap();
        Said {
            body: format!("signed {}", asked.nonce).into_bytes(),
            ..Said::of(200)
        }
    }

    fn orders(&self, path: &str) -> Said {
        let known = path.split("known=").nth(1).unwrap_or_default().to_owned();
        let policy = path.split("policy=").nth(1).unwrap().split('&').next();
        let policy: u64 = policy.unwrap().parse().unwrap();
        let mut state = self.state.lock().unwrap();
        loop {
            let is_news = |o: &HandedOrder| !known.contains(&o.digest().to_string());
            if state.policy_version > policy || state.orders.iter().any(is_news) {
                return Said::json(&AgentOrders {
                    v: 1,
                    policy_version: state.policy_version,
                    orders: state.orders.clone(),
                    cancels: Vec::new(),
                });
            }
            let is_over =
                self.is_gone.load(Ordering::SeqCst) || self.has_ended.load(Ordering::SeqCst);
            if is_over {
                return Said::of(204);
            }
            let wait = Duration::from_secs(50);
            let (next, waited) = self.changed.wait_timeout(state, wait).unwrap();
            state = next;
            if waited.timed_out() {
                return Said::of(204);
            }
        }
    }

    fn renew(&self, body: &[u8]) -> Said {
        let asked: RenewRequest = serde_json::from_slice(body).unwrap();
        self.state.lock().unwrap().renewals += 1;
        let agent = AgentId::from_bytes([7; 16]);
        let signed = asked
            .tls_csr
            .map(|csr| self.pki.sign(agent, "tls", &csr, true));
        Said::json(&RenewResponse {
            v: 1,
            tls_chain: signed,
            seal_chain: asked
                .seal_csr
                .map(|envelope| format!("chain for {envelope}")),
        })
    }

    /// The same request gets the same agent.
    fn fork(&self, body: &[u8]) -> Said {
        let asked: ForkRequest = serde_json::from_slice(body).unwrap();
        let id = Digest::of(asked.fork.as_bytes()).0;
        let agent = AgentId::from_bytes(id[..16].try_into().unwrap());
        let tls_chain = self.pki.sign(agent, "tls", &asked.tls_csr, true);
        self.state.lock().unwrap().forks.push(asked);
        Said::json(&EnrolResponse {
            v: 1,
            agent,
            tls_chain,
            seal_chain: "seal".into(),
            policy: "policy".into(),
            receipt: "receipt".into(),
        })
    }

    fn create(&self, head: &Head) -> Said {
        let metadata = head.header("upload-metadata").unwrap();
        let metadata = metadata.split(',').map(|pair| {
            let (key, value) = pair.split_once(' ').unwrap();
            (key.to_owned(), STANDARD.decode(value).unwrap())
        });
        let upload = Upload {
            metadata: metadata.collect(),
            length: head.number("upload-length").unwrap(),
            bytes: Vec::new(),
        };
        let mut state = self.state.lock().unwrap();
        state.created += 1;
        let place = format!("/v1/parts/upload-{}", state.created);
        state.uploads.insert(place.clone(), upload);
        Said::of(201).with("location", place)
    }

    fn show(&self, path: &str) -> Said {
        let state = self.state.lock().unwrap();
        match state.uploads.get(path) {
            Some(upload) => Said::of(200).with("upload-offset", upload.bytes.len()),
            None => Said::of(404),
        }
    }

    fn patch(&self, head: &Head, path: &str, body: Vec<u8>) -> Said {
        let mut state = self.state.lock().unwrap();
        let Some(upload) = state.uploads.get_mut(path) else {
            return Said::of(404);
        };
        if head.number("upload-offset") != Some(upload.bytes.len()) {
            return Said::of(409);
        }
        let is_whole = head.number("content-length") == Some(body.len());
        let sum = format!("sha256 {}", STANDARD.encode(Digest::of(&body).0));
        if is_whole && head.header("upload-checksum") != Some(&sum) {
            return Said::of(460);
        }
        upload.bytes.extend_from_slice(&body);
        Said::of(204).with("upload-offset", upload.bytes.len())
    }

    fn receipt(&self, path: &str) -> Said {
        let words: Vec<&str> = path.split('/').collect();
        let [_, _, _, collection, part, sha256, _] = words[..] else {
            return Said::of(404);
        };
        let state = self.state.lock().unwrap();
        let found = state
            .uploads
            .values()
            .find(|u| u.metadata["sha256"] == sha256.as_bytes() && u.bytes.len() == u.length);
        let Some(upload) = found else {
            return Said::of(404);
        };
        let part = StoredPart {
            collection: collection.parse().unwrap(),
            part: part.parse().unwrap(),
            stored_sha256: sha256.parse().unwrap(),
        };
        let receipt = receipt_for(part, upload.length as u64, &self.key);
        Said {
            body: receipt,
            ..Said::of(200)
        }
    }
}

/// A receipt that says that `part` was received.
pub(in crate::courier) fn receipt_for(
    part: StoredPart,
    size_bytes: u64,
    key: &SigningKey,
) -> Vec<u8> {
    let action = Action::Received {
        part,
        agent: AgentId::from_bytes([7; 16]),
        size_bytes,
        statement_sha256: Digest::of(b""),
    };
    let leaf = Event::sign(action, Instant::now(), key)
        .unwrap()
        .to_json()
        .unwrap();
    let mut tree = Tree::default();
    tree.push(leaf_hash(&leaf));
    let receipt = Receipt::new(&tree, &leaf, 0, 1, "note".into()).unwrap();
    receipt.to_json().unwrap()
}
