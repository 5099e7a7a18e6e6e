//! A small deployment for tests: root, policy, people and their keys, a custody log.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey as LogSecret;
use evidence::{
    custody::note::LogSigner,
    digest::Digest,
    envelope::{self, Envelope},
    ids::{AgentId, HostId},
    instant::Instant,
    keys::SigningKey,
    wrap::Identity,
};
use protocol::{
    messages::{HostRow, Trust},
    policy::{Class, Person, Policy, Role},
    root::Root,
};

pub(crate) fn at(seconds: i64) -> Instant {
    Instant { seconds, ns: 0 }
}

/// The deployment `lab` with the investigator ann, the admin eve, and agency `lab`.
pub(crate) struct World {
    pub(crate) root_key: SigningKey,
    pub(crate) root: Root,
    pub(crate) time_key: SigningKey,
    pub(crate) log: LogSigner,
    pub(crate) ann: SigningKey,
    pub(crate) eve: SigningKey,
    pub(crate) policy: Policy,
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

impl World {
    pub(crate) fn new() -> Self {
        let [root_key, time_key, ann, eve] = [(); 4].map(|()| SigningKey::generate().unwrap());
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).unwrap();
        let log = LogSigner::new("lab.example/log", LogSecret::from_bytes(&secret)).unwrap();
        let policy = Policy {
            v: 1,
            version: 3,
            root_version: 1,
            deployment: "lab".parse().unwrap(),
            expires: at(10_000),
            people: vec![
                person("ann", Role::Investigator, &ann),
                person("eve", Role::Admin, &eve),
            ],
            thresholds: BTreeMap::from([(Class::Triage, 1), (Class::Files, 1)]),
            vaults: BTreeMap::from([(
                "lab".parse().unwrap(),
                [(); 2].map(|()| Identity::generate().recipient()).to_vec(),
            )]),
            log_key: log.public().to_string(),
            time_keys: vec![time_key.public()],
        };
        let root = Root {
            v: 1,
            version: 1,
            deployment: "lab".parse().unwrap(),
            keys: vec![root_key.public()],
            threshold: 1,
        };
        Self {
            root_key,
            root,
            time_key,
            log,
            ann,
            eve,
            policy,
        }
    }

    pub(crate) fn root_envelope(&self) -> Envelope {
        // A signature differs each time, the digest does not.
        Envelope::sign_document(envelope::ROOT, &self.root, &self.root_key).unwrap()
    }

    pub(crate) fn trust(&self) -> Trust {
        let policy = Envelope::sign_document(envelope::POLICY, &self.policy, &self.root_key);
        let text = |e: Envelope| String::from_utf8(e.to_json().unwrap()).unwrap();
        Trust {
            v: 1,
            roots: vec![text(self.root_envelope())],
            policy: text(policy.unwrap()),
        }
    }

    /// The next policy, with another key for the server.
    pub(crate) fn rotate_time_key(&mut self) {
        self.time_key = SigningKey::generate().unwrap();
        self.policy.time_keys = vec![self.time_key.public()];
        self.policy.version += 1;
    }

    pub(crate) fn host(number: u8, hostname: &str) -> HostRow {
        HostRow {
            agent: AgentId::from_bytes([number; 16]),
            host: HostId::from_bytes([number; 16]),
            hostname: hostname.into(),
            os: "linux".parse().unwrap(),
            arch: "x86_64".parse().unwrap(),
            system: "Debian 12".into(),
            agent_version: "0.1.0".into(),
            agency: "lab".parse().unwrap(),
            labels: vec!["dc".parse().unwrap()],
            enrolled: at(1),
            last_seen: Some(at(50)),
            revoked: None,
            removed: None,
            removal_reason: None,
            cloned: None,
            forked_from: None,
            forked_into: Vec::new(),
            health: None,
            health_told: None,
            seal_chain: String::new(),
            kit: None,
        }
    }
}

/// A certificate as PEM.
pub(crate) fn pem(der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let body = lines.collect::<Vec<_>>().join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}
