//! A small deployment for tests: a root, three people, one agency, and an order that is obeyed.

use std::collections::{BTreeMap, BTreeSet};

use evidence::{
    digest::Digest,
    envelope::{self, Envelope},
    ids::{AgentId, OrderId},
    instant::Instant,
    keys::SigningKey,
    wrap::Identity,
};

use crate::{
    name::Name,
    order::Order,
    policy::{Class, Person, Policy, Role},
    profile::{self, Parameters},
    root::Root,
    target::{Subject, TargetList, TargetProof},
};

pub(crate) fn at(seconds: i64) -> Instant {
    Instant { seconds, ns: 0 }
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn subject(id: AgentId) -> Subject {
    Subject {
        id,
        agency: name("lab"),
        labels: BTreeSet::from([name("dc")]),
        os: name("linux"),
        arch: name("x86_64"),
    }
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
    pub(crate) subject: Subject,
    pub(crate) order: Order,
    pub(crate) proof: TargetProof,
}

fn person(id: &str, role: Role, key: &SigningKey) -> Person {
    Person {
        id: name(id),
        name: id.to_uppercase(),
        roles: BTreeSet::from([role]),
        agencies: BTreeSet::from([name("lab")]),
        signing_key: key.public(),
        tls_key: Digest::of(id.as_bytes()),
        recipient: Identity::generate().recipient(),
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let [root_key, time_key, ann, bob, eve] = [(); 5].map(|()| SigningKey::generate().unwrap());
        let root = Root {
            v: 1,
            version: 1,
            deployment: name("lab"),
            keys: vec![root_key.public()],
            threshold: 1,
        };
        let vault = [(); 2].map(|()| Identity::generate().recipient()).to_vec();
        let policy = Policy {
            v: 1,
            version: 3,
            root_version: 1,
            deployment: name("lab"),
            expires: at(10_000),
            people: vec![
                person("ann", Role::Investigator, &ann),
                person("bob", Role::Approver, &bob),
                person("eve", Role::Admin, &eve),
            ],
            thresholds: BTreeMap::from([(Class::Triage, 1), (Class::Files, 2)]),
            vaults: BTreeMap::from([(name("lab"), vault.clone())]),
            log_key: "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".into(),
            time_keys: vec![time_key.public()],
        };
        let subject = subject(AgentId::from_bytes([1; 16]));
        let list = TargetList::new((0..5).map(|i| AgentId::from_bytes([i; 16])));
        let yaml = profile::BUILT_IN[0].yaml;
        let order = Order {
            v: 1,
            id: OrderId::from_bytes([7; 16]),
            deployment: name("lab"),
            policy_version: 3,
            profile: yaml.to_owned(),
            profile_digest: profile::digest(yaml),
            parameters: Parameters::default(),
            targets: list.targets("agency=lab".parse().unwrap(), false),
            not_before: at(100),
            expires: at(200),
            nonce: "0a".repeat(16),
            case: "2026-1".into(),
            requester: name("ann"),
            reason: "test".into(),
            recipients: vault,
            predecessor: None,
            rollout: None,
            recurrence: None,
            kit: None,
        };
        let proof = list.prove(&subject.id).unwrap();
        Self {
            root_key,
            time_key,
            ann,
            bob,
            eve,
            root,
            policy,
            subject,
            order,
            proof,
        }
    }

    pub(crate) fn sign_policy(&self, policy: &Policy) -> Envelope {
        Envelope::sign_document(envelope::POLICY, policy, &self.root_key).unwrap()
    }

    pub(crate) fn sign_order(&self, order: &Order, keys: &[&SigningKey]) -> Envelope {
        let mut envelope = Envelope::sign_document(envelope::ORDER, order, keys[0]).unwrap();
        keys[1..].iter().for_each(|key| envelope.add_signature(key));
        envelope
    }
}
