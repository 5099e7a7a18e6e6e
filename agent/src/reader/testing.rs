//! A small deployment for tests: authorities, a policy, people, and what an agent of it is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use evidence::{
    custody::{
        checkpoint::Checkpoint,
        event::{Action, Event},
        leaf_hash,
        note::LogSigner,
        receipt::Receipt,
        tree::Tree,
    },
    digest::Digest,
    envelope::{self, Envelope},
    ids::{AgentId, HostId, OrderId},
    instant::Instant,
    keys::{PublicKey, SigningKey},
    seal::agent_uri,
    wrap::{Identity, Recipient},
};
use protocol::{
    deployment::Deployment,
    enrolment::{EnrolResponse, Token},
    messages::{HandedOrder, Trust},
    order::Order,
    policy::{Class, Person, Policy, Role},
    profile::{self, Limits, Parameters},
    root::Root,
    target::{TargetList, Targets},
    time::SignedTime,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, date_time_ymd,
};

use super::state::{Change, Enrolment, Given};

pub(crate) fn at(seconds: i64) -> Instant {
    Instant { seconds, ns: 0 }
}

pub(crate) fn later(seconds: i64) -> Instant {
    at(Instant::now().seconds + seconds)
}

pub(crate) fn text(envelope: &Envelope) -> String {
    String::from_utf8(envelope.to_json().unwrap()).unwrap()
}

pub(crate) struct World {
    pub(crate) root_key: SigningKey,
    pub(crate) time_key: SigningKey,
    /// Investigator.
    pub(crate) ann: SigningKey,
    /// Approver.
    pub(crate) bob: SigningKey,
    /// Admin.
    pub(crate) eve: SigningKey,
    pub(crate) root: Root,
    pub(crate) policy: Policy,
    pub(crate) vault: Vec<Identity>,
    log: LogSigner,
    root_pem: String,
    issuing_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn person(id: &str, role: Role, key: &SigningKey) -> Person {
    Person {
        id: id.parse().unwrap(),
        name: id.to_uppercase(),
        roles: BTreeSet::from([role]),
        agencies: BTreeSet::from(["lab".parse().unwrap()]),
        signing_key: key.public(),
        tls_key: Digest::of(id.as_bytes()),
        recipient: Identity::generate().recipient(),
    }
}

fn authority(name: &str) -> (CertificateParams, KeyPair) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.use_authority_key_identifier_extension = true;
    (params, key)
}

impl World {
    pub(crate) fn new() -> Self {
        let [root_key, time_key, ann, bob, eve] = [(); 5].map(|()| SigningKey::generate().unwrap());
        let seed = Digest::of(root_key.public().key_id().to_string().as_bytes()).0;
        let log = LogSigner::new(
            "lab.example/log",
            ed25519_dalek::SigningKey::from_bytes(&seed),
        );
        let log = log.unwrap();
        let root = Root {
            v: 1,
            version: 1,
            deployment: "lab".parse().unwrap(),
            keys: vec![root_key.public()],
            threshold: 1,
        };
        let vault: Vec<_> = (0..2).map(|_| Identity::generate()).collect();
        let policy = Policy {
            v: 1,
            version: 3,
            root_version: 1,
            deployment: "lab".parse().unwrap(),
            expires: later(100_000),
            people: vec![
                person("ann", Role::Investigator, &ann),
                person("bob", Role::Approver, &bob),
                person("eve", Role::Admin, &eve),
            ],
            thresholds: BTreeMap::from([(Class::Triage, 1), (Class::Files, 2)]),
            vaults: BTreeMap::from([(
                "lab".parse().unwrap(),
                vault.iter().map(Identity::recipient).collect(),
            )]),
            log_key: log.public().to_string(),
            time_keys: vec![time_key.public()],
        };
        let (root_params, root_pair) = authority("Root");
        let root_pem = root_params.self_signed(&root_pair).unwrap().pem();
        let above = Issuer::from_ca_cert_pem(&root_pem, root_pair).unwrap();
        let (params, pair) = authority("Issuing");
        let issuing_pem = params.signed_by(&pair, &above).unwrap().pem();
        let issuer = Issuer::from_ca_cert_pem(&issuing_pem, pair).unwrap();
        Self {
            root_key,
            time_key,
            ann,
            bob,
            eve,
            root,
            policy,
            vault,
            log,
            root_pem,
            issuing_pem,
            issuer,
        }
    }

    pub(crate) fn root_text(&self) -> String {
        let signed = Envelope::sign_document(envelope::ROOT, &self.root, &self.root_key);
        text(&signed.unwrap())
    }

    pub(crate) fn policy_text(&self, policy: &Policy) -> String {
        let signed = Envelope::sign_document(envelope::POLICY, policy, &self.root_key);
        text(&signed.unwrap())
    }

    /// A `Trust` message with this policy.
    pub(crate) fn trust(&self, policy: &Policy) -> Vec<u8> {
        let trust = Trust {
            v: 1,
            roots: vec![self.root_text()],
            policy: self.policy_text(policy),
        };
        serde_json::to_vec(&trust).unwrap()
    }

    /// The policy that follows the one in force.
    pub(crate) fn next_policy(&self) -> Policy {
        let mut policy = self.policy.clone();
        policy.version += 1;
        policy
    }

    pub(crate) fn token_text(&self) -> String {
        let token = Token {
            v: 1,
            id: "0a".repeat(16),
            deployment: "lab".parse().unwrap(),
            agency: "lab".parse().unwrap(),
            labels: BTreeSet::from(["dc".parse().unwrap()]),
            uses: 1,
            expires: later(1000),
            issuer: "eve".parse().unwrap(),
            networks: BTreeSet::new(),
            held: false,
        };
        let signed = Envelope::sign_document(envelope::TOKEN, &token, &self.eve);
        text(&signed.unwrap())
    }

    /// A deployment file of eve's, to be changed and then signed.
    pub(crate) fn deployment(&self) -> Deployment {
        Deployment {
            v: 1,
            deployment: "lab".parse().unwrap(),
            agency: "lab".parse().unwrap(),
            server: "https://localhost:8443".into(),
            proxy: None,
            root: self.root_text(),
            root_certificate: self.root_pem.clone(),
            token: self.token_text(),
            limits: Limits {
                cpu_percent: 20,
                ..Limits::default()
            },
            expires: later(1000),
            issuer: "eve".parse().unwrap(),
        }
    }

    /// What an administrator hands out.
    pub(crate) fn write_trust(&self, folder: &Path) {
        fs::write(folder.join("root.json"), self.root_text()).unwrap();
        fs::write(folder.join("root.crt"), &self.root_pem).unwrap();
        fs::write(folder.join("token"), self.token_text()).unwrap();
    }

    /// A seal certificate from `from` on, for as many days, and what issued it, PEM.
    pub(crate) fn seal_chain(
        &self,
        agent: AgentId,
        csr_pem: &str,
        from: Instant,
        days: u64,
    ) -> String {
        let csr = CertificateSigningRequestParams::from_pem(csr_pem).unwrap();
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let uri = agent_uri(agent, "seal").try_into().unwrap();
        params.subject_alt_names = vec![SanType::URI(uri)];
        let since = std::time::Duration::from_secs(from.seconds.unsigned_abs());
        params.not_before = date_time_ymd(1970, 1, 1) + since;
        params.not_after = params.not_before + std::time::Duration::from_secs(days * 86_400);
        let made = params.signed_by(&csr.public_key, &self.issuer).unwrap();
        made.pem() + &self.issuing_pem
    }

    /// The receipt of the enrolment of `agent` with this key.
    pub(crate) fn receipt(&self, agent: AgentId, host: HostId, seal_key: &PublicKey) -> String {
        let enrolled = Action::Enrolled {
            agent,
            host,
            token_sha256: Digest::of(b"token"),
            seal_key: seal_key.key_id(),
            tls_key: Digest::of(b"tls"),
            forked_from: None,
        };
        self.receipt_of(enrolled)
    }

    /// The receipt of a leaf that says this.
    pub(crate) fn receipt_of(&self, action: Action) -> String {
        let leaf = Event::sign(action, Instant::now(), &self.time_key).unwrap();
        let leaf = leaf.to_json().unwrap();
        let mut tree = Tree::default();
        tree.push(leaf_hash(&leaf));
        let note = Checkpoint::sign(&self.log, 1, tree.root()).unwrap();
        let receipt = Receipt::new(&tree, &leaf, 0, 1, note).unwrap();
        String::from_utf8(receipt.to_json().unwrap()).unwrap()
    }

    /// A custody log of `size` leaves, numbered from `first` on.
    pub(crate) fn log_of(&self, first: u64, size: u64) -> Tree {
        let mut tree = Tree::default();
        for which in first..first + size {
            tree.push(leaf_hash(&which.to_be_bytes()));
        }
        tree
    }

    /// What the log's key says of `tree`.
    pub(crate) fn checkpoint(&self, tree: &Tree) -> String {
        Checkpoint::sign(&self.log, tree.size(), tree.root()).unwrap()
    }

    /// A receipt for the first leaf of `tree`, which is numbered 0.
    pub(crate) fn part_receipt(&self, tree: &Tree) -> Vec<u8> {
        self.part_receipt_at(tree, 0)
    }

    /// A receipt for the first leaf of `tree`, which is numbered `first`.
    pub(crate) fn part_receipt_at(&self, tree: &Tree, first: u64) -> Vec<u8> {
        let (leaf, note) = (first.to_be_bytes(), self.checkpoint(tree));
        let receipt = Receipt::new(tree, &leaf, 0, tree.size(), note).unwrap();
        receipt.to_json().unwrap()
    }

    pub(crate) fn enrolled(&self, agent: AgentId, host: HostId, csr_pem: &str) -> EnrolResponse {
        let key = csr_key(csr_pem);
        EnrolResponse {
            v: 1,
            agent,
            tls_chain: String::new(),
            seal_chain: self.seal_chain(agent, csr_pem, later(-60), 1000),
            policy: self.policy_text(&self.policy),
            receipt: self.receipt(agent, host, &key),
        }
    }

    /// What the state holds once `agent` is enrolled.
    pub(crate) fn enrolment(&self, agent: AgentId) -> Change {
        let key = SigningKey::generate().unwrap();
        let csr = super::renewal::csr(&key).unwrap();
        let chain = self.seal_chain(agent, &csr, later(-60), 1000);
        let given = Given {
            agent,
            chain: evidence::seal::certificates_from_pem(&chain).unwrap(),
            window: (later(-60), later(1000 * 86_400 - 60)),
            root_certificate: self.root_pem.clone(),
            root_sha256: Envelope::parse(self.root_text().as_bytes())
                .unwrap()
                .digest(),
            token: self.token_text(),
            limits: Limits::default(),
            receipt: String::new(),
            enrolled: Instant::now(),
        };
        Change::Enrolled {
            enrolment: Enrolment::new(&key, given).unwrap(),
            root: self.root_text(),
            more_roots: Vec::new(),
            policy: self.policy_text(&self.policy),
        }
    }

    pub(crate) fn signed_time(&self, nonce: &str, time: Instant) -> String {
        let signed = SignedTime {
            v: 1,
            nonce: nonce.to_owned(),
            time,
        };
        let signed = Envelope::sign_document(envelope::TIME, &signed, &self.time_key);
        text(&signed.unwrap())
    }

    /// An order for whoever is of the agency, to be changed and then signed.
    pub(crate) fn order(&self, id: u8, yaml: &str) -> Order {
        Order {
            v: 1,
            id: OrderId::from_bytes([id; 16]),
            deployment: "lab".parse().unwrap(),
            policy_version: 3,
            profile: yaml.to_owned(),
            profile_digest: profile::digest(yaml),
            parameters: Parameters::default(),
            targets: everybody(),
            not_before: later(-60),
            expires: later(600),
            nonce: "0b".repeat(16),
            case: "2026-1".into(),
            requester: "ann".parse().unwrap(),
            reason: "test".into(),
            recipients: self.recipients(),
            predecessor: None,
            rollout: None,
            recurrence: None,
            kit: None,
        }
    }

    pub(crate) fn recipients(&self) -> Vec<Recipient> {
        self.vault.iter().map(Identity::recipient).collect()
    }

    /// The order as it is handed over, signed by ann.
    pub(crate) fn handed(&self, order: &Order) -> HandedOrder {
        self.handed_by(order, &self.ann)
    }

    pub(crate) fn handed_by(&self, order: &Order, key: &SigningKey) -> HandedOrder {
        let signed = Envelope::sign_document(envelope::ORDER, order, key).unwrap();
        HandedOrder {
            order: text(&signed),
            proof: None,
        }
    }
}

/// The key that a request is for.
pub(crate) fn csr_key(csr_pem: &str) -> PublicKey {
    let csr = CertificateSigningRequestParams::from_pem(csr_pem).unwrap();
    let spki = rcgen::PublicKeyData::subject_public_key_info(&csr.public_key);
    PublicKey::from_spki_der(&spki).unwrap()
}

fn everybody() -> Targets {
    TargetList::new([]).targets("agency=lab".parse().unwrap(), true)
}
