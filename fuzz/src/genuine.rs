//! Genuine evidence and documents, made by the product's own code: what the fuzzers bend, and what seeds are made of.
//!
//! Keys are fixed, so that a finding can be played again; they protect nothing. Only the certificate's serial number is
//! another one in every run.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Cursor,
    sync::LazyLock,
};

use evidence::{
    archive::{Closing, PartLimits, PartWriter},
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
    gap::{Gap, Reason, Severity},
    ids::{AgentId, CollectionId, OrderId},
    instant::Instant,
    keys::SigningKey,
    names,
    records::{CollectionRecord, FileRecord, FileType, LogLine},
    seal,
    statement::{CertificateDer, Measured, Statement, Wrapping},
};
use protocol::{
    messages::{AgentOrders, HandedOrder},
    name::Name,
    order::Order,
    policy::{Class, Person, Policy, Role},
    profile::{self, Parameters},
    root::Root,
    target::{Subject, TargetList, TargetProof},
};
use serde_json::json;

/// When everything here happened.
pub const NOW: Instant = Instant {
    seconds: 1_800_000_000,
    ns: 5,
};
/// Age recipients whose keys nobody here has.
const VAULT: [&str; 2] = [
    "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
    "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg",
];

/// A P-256 key from a number.
pub fn key(number: u8) -> SigningKey {
    // PKCS#8 of an EC key on P-256, up to the 32 bytes of the secret.
    const HEAD: [u8; 35] = [
        0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02,
        0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25,
        0x02, 0x01, 0x01, 0x04, 0x20,
    ];
    let der = [&HEAD[..], &[number; 32]].concat();
    SigningKey::from_pkcs8_der(&der).expect("a secret of equal bytes is a scalar of P-256")
}

/// The agent that seals.
pub const AGENT: AgentId = AgentId::from_bytes([7; 16]);
/// Its collection.
pub const COLLECTION: CollectionId = CollectionId::from_bytes([3; 16]);

fn name(text: &str) -> Name {
    text.parse().expect("a short word is a name")
}

/// collection.json of the only part.
fn record() -> CollectionRecord {
    let json = json!({
        "v": 1, "collection": COLLECTION, "agent": AGENT, "part": 1, "last": true, "attempt": 1,
        "host_identity": {"hostname": "h", "os": "linux", "arch": "x86_64"},
        "agent_version": "0.1.0", "agent_sha256": Digest::of(b"agent"),
        "limits": {"part_bytes": 1}, "counts": {}, "counts_so_far": {}, "sandbox": "none",
        "started": NOW, "ended": NOW, "unencrypted": true, "refusals": [],
    });
    serde_json::from_value(json).expect("all that collection.json must have")
}

/// A sealed part with two files, a record, a gap and a line of log.
pub static PART: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let certificate = certificate();
    let mut part = PartWriter::new(Vec::new(), PartLimits::default(), NOW);
    part.begin_results("processes").expect("a fresh part");
    part.record(&json!({"pid": 1, "name": "init"}))
        .expect("memory takes it");
    part.end_results().expect("memory takes it");
    for (path, bytes) in [
        (&b"/etc/passwd"[..], &b"root:x:0:0"[..]),
        (b"/etc/a\xFFb", b""),
    ] {
        let entry = names::unix_entry(path);
        let stored = part
            .content(&entry, Cursor::new(bytes))
            .expect("memory takes it");
        let mut record = FileRecord::new("persistence", path, FileType::File);
        record.entry = Some(entry);
        record.size_bytes = Some(stored.size_bytes);
        record.sha256 = Some(stored.sha256);
        part.file(&record).expect("memory takes it");
    }
    part.gap(&Gap {
        artifact: "logs".into(),
        subject: "/var/log/x".into(),
        path_b64: None,
        reason: Reason::PermissionDenied,
        severity: Severity::Ordinary,
        text: String::new(),
        time: NOW,
    })
    .expect("memory takes it");
    part.log(&LogLine {
        time: NOW,
        message: "began".into(),
        artifact: None,
    })
    .expect("memory takes it");
    let mut record = record();
    record.counts = part.counts();
    record.counts_so_far = part.counts();
    let closing = Closing {
        collection: &record,
        order: b"",
        policy: b"",
    };
    let sealed = part
        .seal(&closing, |sums| {
            seal::sign(sums, &key(7), std::slice::from_ref(&certificate), NOW)
        })
        .expect("memory takes it");
    sealed.inner
});

/// The agent's seal certificate, by itself.
pub fn certificate() -> Vec<u8> {
    seal::self_signed_seal(&key(7), AGENT, NOW).expect("a year that X.509 can say")
}

/// The statement of [`PART`].
pub fn statement() -> Vec<u8> {
    let statement = Statement {
        v: 1,
        collection: COLLECTION,
        agent: AGENT,
        part: 1,
        last: true,
        plain: Measured {
            sha256: Digest::of(&PART),
            size_bytes: PART.len() as u64,
        },
        ciphertext: None,
        previous: None,
        order: None,
        wrapping: Wrapping {
            kind: "none".into(),
            recipients: Vec::new(),
        },
        certificates: vec![CertificateDer(certificate())],
        time: NOW,
    };
    json_of(&statement.sign(&key(7)).expect("it can be JSON"))
}

/// An envelope's bytes.
pub fn json_of(envelope: &Envelope) -> Vec<u8> {
    envelope.to_json().expect("an envelope can be JSON")
}

/// The custody log's key.
pub fn log_signer() -> LogSigner {
    let secret = [9; 32];
    LogSigner::new("log.example", (&secret).into()).expect("a plain name")
}

/// A custody event, signed.
pub fn event() -> Vec<u8> {
    let action = Action::Fetched {
        part: serde_json::from_value(json!({
            "collection": COLLECTION, "part": 1, "stored_sha256": Digest::of(b"part"),
        }))
        .expect("all that a stored part must have"),
        by_key: key(2).public().key_id(),
    };
    json_of(&Event::sign(action, NOW, &key(2)).expect("it can be JSON"))
}

/// A log of one leaf, and its checkpoint.
pub fn checkpoint() -> (Tree, String) {
    let mut tree = Tree::default();
    tree.push(leaf_hash(&event()));
    let note = Checkpoint::sign(&log_signer(), 1, tree.root()).expect("a plain checkpoint");
    (tree, note)
}

/// The receipt of [`event`].
pub fn receipt() -> Vec<u8> {
    let (tree, note) = checkpoint();
    let receipt = Receipt::new(&tree, &event(), 0, 1, note).expect("the leaf is in the tree");
    receipt.to_json().expect("a receipt can be JSON")
}

/// A deployment: its root, its policy, an agent of it, and an order to that agent.
pub struct Deployment {
    /// The root.
    pub root: Root,
    /// The policy.
    pub policy: Policy,
    /// The agent.
    pub subject: Subject,
    /// The order.
    pub order: Order,
    /// That the order is meant for the agent.
    pub proof: TargetProof,
}

/// The one that all documents here belong to.
pub static DEPLOYMENT: LazyLock<Deployment> = LazyLock::new(|| {
    let root = Root {
        v: 1,
        version: 1,
        deployment: name("lab"),
        keys: vec![key(1).public()],
        threshold: 1,
    };
    let vault = || VAULT.map(|r| r.parse().expect("an age recipient")).to_vec();
    let policy = Policy {
        v: 1,
        version: 1,
        root_version: 1,
        deployment: name("lab"),
        expires: Instant {
            seconds: NOW.seconds + 1000,
            ns: 0,
        },
        people: vec![Person {
            id: name("ann"),
            name: "Ann".into(),
            roles: BTreeSet::from([Role::Investigator]),
            agencies: BTreeSet::from([name("lab")]),
            signing_key: key(2).public(),
            tls_key: Digest::of(b"ann"),
            recipient: VAULT[0].parse().expect("an age recipient"),
        }],
        thresholds: Class::ALL.iter().map(|class| (*class, 1)).collect(),
        vaults: BTreeMap::from([(name("lab"), vault())]),
        log_key: log_signer().public().to_string(),
        time_keys: vec![key(3).public()],
    };
    let subject = Subject {
        id: AGENT,
        agency: name("lab"),
        labels: BTreeSet::from([name("dc")]),
        os: name("linux"),
        arch: name("x86_64"),
    };
    let list = TargetList::new([AGENT, AgentId::from_bytes([8; 16])]);
    let yaml = profile::BUILT_IN[0].yaml;
    let order = Order {
        v: 1,
        id: OrderId::from_bytes([5; 16]),
        deployment: name("lab"),
        policy_version: 1,
        profile: yaml.to_owned(),
        profile_digest: profile::digest(yaml),
        parameters: Parameters::default(),
        targets: list.targets("agency=lab".parse().expect("an expression"), false),
        not_before: NOW,
        expires: Instant {
            seconds: NOW.seconds + 100,
            ns: 0,
        },
        nonce: "0a".repeat(16),
        case: "1".into(),
        requester: name("ann"),
        reason: "test".into(),
        recipients: vault(),
        predecessor: None,
        rollout: None,
        recurrence: None,
        kit: None,
    };
    Deployment {
        proof: list.prove(&AGENT).expect("the agent is in the list"),
        root,
        policy,
        subject,
        order,
    }
});

/// The payload of a document, as its signer writes it.
pub fn payload(kind: &str, document: &impl serde::Serialize) -> Vec<u8> {
    let envelope = Envelope::sign_document(kind, document, &key(1)).expect("it can be JSON");
    envelope.payload().to_vec()
}

/// What each target starts from: its name, a name for the seed, the bytes.
pub fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let world = &*DEPLOYMENT;
    let policy = Envelope::sign_document(envelope::POLICY, &world.policy, &key(1));
    vec![
        ("archive", "part", PART.clone()),
        ("part", "part", PART.clone()),
        (
            "records",
            "files",
            b"\x00{\"path\":\"/etc/passwd\"}\n".to_vec(),
        ),
        ("seal", "seal", sealed()),
        ("beside", "statement", statement()),
        ("beside", "receipt", receipt()),
        (
            "envelope",
            "policy",
            json_of(&policy.expect("it can be JSON")),
        ),
        ("envelope", "event", event()),
        ("statement", "statement", statement()),
        ("root", "root", payload(envelope::ROOT, &world.root)),
        ("policy", "policy", payload(envelope::POLICY, &world.policy)),
        ("order", "order", payload(envelope::ORDER, &world.order)),
        ("profile", "triage", profile::BUILT_IN[0].yaml.into()),
        ("receipt", "receipt", receipt()),
        ("note", "checkpoint", checkpoint().1.into_bytes()),
        ("event", "fetched", event()),
        ("messages", "orders", orders()),
        ("names", "bytes", b"/etc/a\xFFb;1/%41".to_vec()),
    ]
}

/// The answer to an agent that asks for orders.
fn orders() -> Vec<u8> {
    let world = &*DEPLOYMENT;
    let order = Envelope::sign_document(envelope::ORDER, &world.order, &key(2));
    let order = json_of(&order.expect("it can be JSON"));
    let message = AgentOrders {
        v: 1,
        policy_version: 1,
        cancels: Vec::new(),
        orders: vec![HandedOrder {
            order: String::from_utf8_lossy(&order).into_owned(),
            proof: Some(world.proof.clone()),
        }],
    };
    serde_json::to_vec(&message).expect("it can be JSON")
}

/// What was sealed, by the fuzzers.
pub const CONTENT: &[u8] = b"0123 *fs/file\n";

fn sealed() -> Vec<u8> {
    let certificate = certificate();
    seal::sign(CONTENT, &key(7), std::slice::from_ref(&certificate), NOW).expect("it is the key's")
}
