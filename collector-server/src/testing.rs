//! A whole deployment for tests: `init` in a folder, people with keys, a server on loopback, agents that enrol.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Arc,
};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
};
use evidence::{
    digest::Digest,
    envelope::{self, Envelope},
    ids::{AgentId, CollectionId, HostId, OrderId},
    instant::Instant,
    keys::SigningKey,
    seal::certificates_from_pem,
    statement::{CertificateDer as InStatement, Measured, Previous, Statement, Wrapping},
    wrap::{self, Identity as Vault, Recipient},
};
use protocol::{
    enrolment::{EnrolRequest, EnrolResponse, HostFacts, Token},
    name::Name,
    order::Order,
    policy::{Class, Person, Policy, Role},
    profile::{self, Parameters},
    target::TargetList,
    version::{self, VERSION},
};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    version::TLS13,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::ServiceExt as _;

use crate::{
    ca, certificate,
    config::Config,
    folder::Folder,
    init::{self, Plan},
    metrics,
    router::router,
    serve::{self, Shown},
    state::Server,
};

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn later(seconds: i64) -> Instant {
    let now = Instant::now();
    Instant {
        seconds: now.seconds + seconds,
        ns: 0,
    }
}

/// One side's certificate chain and key in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain_pem: String,
    pub(crate) key_pem: String,
}

impl Identity {
    /// A key with a certificate by itself.
    pub(crate) fn by_itself() -> (Self, Digest) {
        let key = ca::new_key().unwrap();
        let made = CertificateParams::new(vec!["me".to_owned()]).unwrap();
        let certificate = made.self_signed(&key).unwrap();
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        let identity = Self {
            chain_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        };
        (identity, Digest::of(&spki))
    }
}

/// Somebody whom the policy knows.
pub(crate) struct TestPerson {
    pub(crate) signing: SigningKey,
    pub(crate) tls: Identity,
    pub(crate) person: Person,
}

impl TestPerson {
    pub(crate) fn new(id: &str, roles: &[Role], agency: &str) -> Self {
        let signing = SigningKey::generate().unwrap();
        let (tls, tls_key) = Identity::by_itself();
        let person = Person {
            id: name(id),
            name: id.to_uppercase(),
            roles: roles.iter().copied().collect(),
            agencies: BTreeSet::from([name(agency)]),
            signing_key: signing.public(),
            tls_key,
            recipient: Vault::generate().recipient(),
        };
        Self {
            signing,
            tls,
            person,
        }
    }
}

/// An initialised folder that goes with the value.
pub(crate) struct Deployment {
    dir: tempfile::TempDir,
    people: Vec<TestPerson>,
    pub(crate) vaults: BTreeMap<Name, Vec<Recipient>>,
}

impl Deployment {
    /// Agencies `lab` (ann investigates, bob approves, aud audits, eve administers) and `navy` (nan, ned, nic, nell
    /// likewise, and nat does it all).
    pub(crate) async fn new() -> Self {
        let all = [
            Role::Investigator,
            Role::Approver,
            Role::Auditor,
            Role::Admin,
        ];
        let people = vec![
            TestPerson::new("ann", &[Role::Investigator], "lab"),
            TestPerson::new("bob", &[Role::Approver], "lab"),
            TestPerson::new("aud", &[Role::Auditor], "lab"),
            TestPerson::new("eve", &[Role::Admin], "lab"),
            TestPerson::new("nat", &all, "navy"),
            TestPerson::new("nan", &[Role::Investigator], "navy"),
            TestPerson::new("ned", &[Role::Approver], "navy"),
            TestPerson::new("nic", &[Role::Auditor], "navy"),
            TestPerson::new("nell", &[Role::Admin], "navy"),
        ];
        let vault = || [(); 2].map(|()| Vault::generate().recipient()).to_vec();
        let vaults = BTreeMap::from([(name("lab"), vault()), (name("navy"), vault())]);
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan {
            deployment: name("test"),
            names: vec!["localhost".into(), "127.0.0.1".into()],
            listen: "127.0.0.1:0".parse().unwrap(),
            people: people.iter().map(|p| p.person.clone()).collect(),
            vaults: vaults.clone(),
            thresholds: BTreeMap::from([(Class::Triage, 1), (Class::Files, 1)]),
        };
        init::init(&dir.path().join("server"), &plan).await.unwrap();
        Self {
            dir,
            people,
            vaults,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("server")
    }

    pub(crate) fn folder(&self) -> Folder {
        Folder::new(&self.path())
    }

    pub(crate) fn person(&self, id: &str) -> &TestPerson {
        let found = self.people.iter().find(|p| p.person.id.as_str() == id);
        found.unwrap()
    }

    pub(crate) fn policy(&self) -> Policy {
        let json = fs::read(self.folder().policy()).unwrap();
        let envelope = Envelope::parse(&json).unwrap();
        version::read(&envelope, envelope::POLICY, "policy").unwrap()
    }

    /// A config for tests: small limits where tests reach them.
    pub(crate) fn config(&self) -> Config {
        Config {
            min_free_bytes: 0,
            ..Config::load(&self.path()).unwrap()
        }
    }

    pub(crate) async fn start(&self) -> Running<'_> {
        self.start_with(self.config()).await
    }

    pub(crate) async fn start_with(&self, config: Config) -> Running<'_> {
        let server = Server::open(&self.path(), &config).await.unwrap();
        let tls = self.tls(&server, &config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = oneshot::channel::<()>();
        let ending = server.clone();
        let stopped = async move {
            let _ = stopped.await;
            ending.stopping.send_replace(true);
        };
        let anchor = server.anchors.anchor.clone();
        let urls = router(server.clone());
        let limits = config.limits();
        let task = tokio::spawn(serve::serve(listener, tls, anchor, urls, limits, stopped));
        Running {
            deployment: self,
            server,
            port,
            stop,
            task,
        }
    }

    fn tls(&self, server: &Server, config: &Config) -> Arc<rustls::ServerConfig> {
        let folder = self.folder();
        let now = Instant::now();
        let shown: Shown = certificate::load(&folder, &server.issuing, &config.names, now).unwrap();
        Arc::new(serve::server_config(Arc::new(shown)).unwrap())
    }

    /// A token by eve for `lab`, or by nat for `navy`.
    pub(crate) fn token(&self, agency: &str, uses: u64) -> String {
        let issuer = if agency == "lab" { "eve" } else { "nat" };
        let plan = crate::token::Plan {
            issuer: name(issuer),
            agency: name(agency),
            labels: BTreeSet::from([name("dc")]),
            uses,
            days: 1,
            networks: BTreeSet::new(),
            held: false,
        };
        let key = &self.person(issuer).signing;
        crate::token::make(&plan, key, &self.policy(), Instant::now()).unwrap()
    }

    pub(crate) fn token_named(&self, change: impl Fn(&mut Token), by: &str) -> String {
        let json = self.token("lab", 1);
        let envelope = Envelope::parse(json.as_bytes()).unwrap();
        let mut token: Token = envelope.document(envelope::TOKEN).unwrap();
        change(&mut token);
        let signed = Envelope::sign_document(envelope::TOKEN, &token, &self.person(by).signing);
        String::from_utf8(signed.unwrap().to_json().unwrap()).unwrap()
    }

    /// Writes an identity as one PEM file each and says where.
    pub(crate) fn write(&self, name: &str, identity: &Identity) -> (PathBuf, PathBuf) {
        let at = |ext: &str| self.dir.path().join(format!("{name}.{ext}"));
        fs::write(at("crt"), &identity.chain_pem).unwrap();
        fs::write(at("key"), &identity.key_pem).unwrap();
        (at("crt"), at("key"))
    }

    /// A TLS connection to the server on this loopback port.
    pub(crate) async fn connect(
        &self,
        port: u16,
        identity: Option<&Identity>,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let root = fs::read(self.folder().root_certificate()).unwrap();
        roots
            .add(CertificateDer::from_pem_slice(&root).unwrap())
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

/// What the server said.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
        let (head, body) = match end {
            Some(end) => (&bytes[..end], &bytes[end + 4..]),
            None => (bytes, &[][..]),
        };
        let head = String::from_utf8_lossy(head).into_owned();
        Self {
            status: head.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0),
            head,
            body: body.to_vec(),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = |l: &'_ str| l.strip_prefix(name).is_some_and(|r| r.starts_with(": "));
        let found = self.head.lines().find(|l| line(l))?;
        Some(found[name.len() + 2..].trim())
    }

    /// The message, of an answer that must be 200.
    pub(crate) fn message<T: DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, 200, "{} {}", self.head, self.text());
        version::read_message(&self.body, "answer").unwrap()
    }
}

/// A server that serves; it stops with the value.
pub(crate) struct Running<'d> {
    pub(crate) deployment: &'d Deployment,
    pub(crate) server: Arc<Server>,
    pub(crate) port: u16,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running<'_> {
    /// Ends the server as SIGTERM does, and waits until it has ended.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap();
        self.server.close().await;
    }

    pub(crate) async fn send(
        &self,
        who: Option<&Identity>,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Answer {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             {headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.raw(who, &[head.as_bytes(), body].concat()).await
    }

    pub(crate) async fn raw(&self, who: Option<&Identity>, bytes: &[u8]) -> Answer {
        let stream = self.deployment.connect(self.port, who, &TLS13).await;
        let mut stream = stream.unwrap();
        // A refusal may come, and the connection end, before all was sent.
        let _ = stream.write_all(bytes).await;
        // The end of it may still wait inside TLS.
        let _ = stream.flush().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        Answer::read(&answer)
    }

    /// Posts the message and goes away once `is_met`; the server has let go of the connection when this returns, and has
    /// not answered.
    pub(crate) async fn hang_up(
        &self,
        who: Option<&Identity>,
        path: &str,
        message: &impl Serialize,
        is_met: impl Fn() -> bool,
    ) {
        let body = serde_json::to_vec(message).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let stream = self.deployment.connect(self.port, who, &TLS13).await;
        let mut stream = stream.unwrap();
        let request = [head.as_bytes(), &body].concat();
        stream.write_all(&request).await.unwrap();
        stream.flush().await.unwrap();
        while !is_met() {
            tokio::task::yield_now().await;
        }
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // An end without TLS's farewell is one too.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "{}", Answer::read(&answer).head);
    }

    pub(crate) async fn get(&self, who: Option<&Identity>, path: &str) -> Answer {
        self.send(who, "GET", path, "", &[]).await
    }

    pub(crate) async fn post(
        &self,
        who: Option<&Identity>,
        path: &str,
        message: &impl Serialize,
    ) -> Answer {
        let body = serde_json::to_vec(message).unwrap();
        self.send(who, "POST", path, "", &body).await
    }

    /// What Prometheus is told.
    pub(crate) async fn metrics(&self) -> String {
        let request = Request::get("/metrics").body(Body::empty()).unwrap();
        let answer = metrics::router(self.server.clone()).oneshot(request).await;
        let body = to_bytes(answer.unwrap().into_body(), 1 << 20).await;
        String::from_utf8(body.unwrap().to_vec()).unwrap()
    }

    pub(crate) async fn get_as(&self, person: &str, path: &str) -> Answer {
        self.get(Some(&self.deployment.person(person).tls), path)
            .await
    }

    pub(crate) async fn post_as(
        &self,
        person: &str,
        path: &str,
        message: &impl Serialize,
    ) -> Answer {
        let tls = &self.deployment.person(person).tls;
        self.post(Some(tls), path, message).await
    }

    /// Gives the answer, the TLS key and the seal key.
    pub(crate) async fn try_enrol(&self, token: String) -> (Answer, KeyPair, SigningKey) {
        let (answer, tls, seal, _) = self.try_enrol_as(token, facts()).await;
        (answer, tls, seal)
    }

    async fn try_enrol_as(
        &self,
        token: String,
        host: HostFacts,
    ) -> (Answer, KeyPair, SigningKey, HostId) {
        let (mut request, tls, seal) = self.request(token);
        request.host = host;
        let id = request.host.id;
        (self.post(None, "/v1/enrol", &request).await, tls, seal, id)
    }

    /// What a new host asks with, its TLS key and its seal key.
    pub(crate) fn request(&self, token: String) -> (EnrolRequest, KeyPair, SigningKey) {
        let (tls, seal) = (ca::new_key().unwrap(), SigningKey::generate().unwrap());
        let sealing = KeyPair::from_pem(&seal.to_pem().unwrap()).unwrap();
        let request = EnrolRequest {
            v: VERSION,
            token,
            tls_csr: ca::request(&tls).unwrap(),
            seal_csr: ca::request(&sealing).unwrap(),
            host: facts(),
        };
        (request, tls, seal)
    }

    /// Enrols a host of this agency.
    pub(crate) async fn enrol(&self, agency: &str) -> TestAgent {
        let token = self.deployment.token(agency, 1);
        let (answer, tls, seal, host) = self.try_enrol_as(token, facts()).await;
        let response: EnrolResponse = answer.message();
        TestAgent {
            id: response.agent,
            tls: Identity {
                chain_pem: response.tls_chain.clone(),
                key_pem: tls.serialize_pem(),
            },
            seal,
            host,
            response,
        }
    }
}

pub(crate) fn facts() -> HostFacts {
    HostFacts {
        id: HostId::random().unwrap(),
        hostname: "web-1".into(),
        os: name("linux"),
        arch: name("x86_64"),
        system: "Debian 12".into(),
        agent_version: "0.1.0".into(),
    }
}

/// An enrolled host's keys.
pub(crate) struct TestAgent {
    pub(crate) id: AgentId,
    pub(crate) tls: Identity,
    pub(crate) seal: SigningKey,
    pub(crate) host: HostId,
    pub(crate) response: EnrolResponse,
}

/// A part with its signed statement, as an agent would upload it.
#[derive(Clone)]
pub(crate) struct TestPart {
    pub(crate) bytes: Vec<u8>,
    pub(crate) said: Statement,
    pub(crate) statement: Vec<u8>,
}

impl TestPart {
    pub(crate) fn digest(&self) -> Digest {
        self.said.stored().sha256
    }

    pub(crate) fn url(&self) -> String {
        let said = &self.said;
        format!(
            "/v1/parts/{}/{}/{}",
            said.collection,
            said.part,
            self.digest()
        )
    }
}

impl TestAgent {
    pub(crate) fn part(&self, size: usize) -> TestPart {
        self.part_of(CollectionId::random().unwrap(), size, None, true, None)
    }

    /// The next part of a collection, after `before`.
    pub(crate) fn part_of(
        &self,
        collection: CollectionId,
        size: usize,
        before: Option<&TestPart>,
        last: bool,
        order: Option<Digest>,
    ) -> TestPart {
        let number = before.map_or(1, |b| b.said.part + 1);
        let seed = number as usize + collection.as_bytes()[0] as usize;
        let bytes: Vec<u8> = (0..size).map(|i| ((i + seed) * 31 % 251) as u8).collect();
        let sha256 = Digest::of(&bytes);
        let size_bytes = size as u64;
        let said = Statement {
            v: evidence::statement::VERSION,
            collection,
            agent: self.id,
            part: number,
            last,
            plain: Measured {
                sha256: Digest::of(&sha256.0),
                size_bytes,
            },
            ciphertext: Some(Measured { sha256, size_bytes }),
            previous: before.map(|b| Previous {
                plain: b.said.plain.sha256,
                ciphertext: Some(b.digest()),
            }),
            order,
            wrapping: Wrapping {
                kind: wrap::AGE.to_owned(),
                recipients: Vec::new(),
            },
            certificates: self.seal_der().into_iter().map(InStatement).collect(),
            time: Instant::now(),
        };
        self.stated(bytes, said)
    }

    pub(crate) fn stated(&self, bytes: Vec<u8>, said: Statement) -> TestPart {
        let statement = said.sign(&self.seal).unwrap().to_json().unwrap();
        TestPart {
            bytes,
            said,
            statement,
        }
    }

    pub(crate) fn seal_der(&self) -> Vec<Vec<u8>> {
        certificates_from_pem(&self.response.seal_chain).unwrap()
    }
}

/// An order by ann for these agents of `lab`, signed by the people named.
pub(crate) fn order(
    deployment: &Deployment,
    targets: &[AgentId],
    change: impl FnOnce(&mut Order),
    signers: &[&str],
) -> (Order, Envelope) {
    let yaml = profile::BUILT_IN[0].yaml;
    let list = TargetList::new(targets.iter().copied());
    let mut order = Order {
        v: VERSION,
        id: OrderId::random().unwrap(),
        deployment: name("test"),
        policy_version: deployment.policy().version,
        profile: yaml.to_owned(),
        profile_digest: profile::digest(yaml),
        parameters: Parameters::default(),
        targets: list.targets("agency=lab".parse().unwrap(), false),
        not_before: later(-10),
        expires: later(3_600),
        nonce: "0a".repeat(16),
        case: "2026-1".into(),
        requester: name("ann"),
        reason: "test".into(),
        recipients: deployment.vaults[&name("lab")].clone(),
        predecessor: None,
        rollout: None,
        recurrence: None,
        kit: None,
    };
    change(&mut order);
    let key = |id: &&str| deployment.person(id).signing.clone();
    let mut keys = signers.iter().map(key);
    let first = keys.next().unwrap();
    let mut envelope = Envelope::sign_document(envelope::ORDER, &order, &first).unwrap();
    keys.for_each(|key| envelope.add_signature(&key));
    (order, envelope)
}

pub(crate) fn text(envelope: &Envelope) -> String {
    String::from_utf8(envelope.to_json().unwrap()).unwrap()
}
