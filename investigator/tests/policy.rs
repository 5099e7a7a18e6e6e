//! The offline machine: root keys are made, drafts are said in words and signed, without a server and a home folder.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use ed25519_dalek::SigningKey as LogSecret;
use evidence::{
    custody::note::LogSigner,
    digest::Digest,
    envelope::{self, Envelope},
    instant::Instant,
    keys::SigningKey,
    wrap::Identity,
};
use protocol::{
    policy::{Class, Person, Policy, Role},
    root::Root,
};

const PASSPHRASE: &str = "correct horse";

/// The offline machine's folder: `root.key`, `root.json`, and `policy.json`, which is in force.
struct Offline(tempfile::TempDir);

impl Offline {
    fn new() -> Self {
        let offline = Self(tempfile::tempdir().unwrap());
        offline.must(0, &["root-key", "--output", "root.key"]);
        let key = offline.key("root.key");
        let root = Root {
            v: 1,
            version: 1,
            deployment: "lab".parse().unwrap(),
            keys: vec![key.public()],
            threshold: 1,
        };
        offline.write(
            "root.json",
            &Envelope::sign_document(envelope::ROOT, &root, &key).unwrap(),
        );
        offline.write(
            "policy.json",
            &Envelope::sign_document(envelope::POLICY, &policy(), &key).unwrap(),
        );
        offline
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, envelope: &Envelope) {
        fs::write(self.at(name), envelope.to_json().unwrap()).unwrap();
    }

    fn key(&self, name: &str) -> SigningKey {
        let pem = fs::read_to_string(self.at(name)).unwrap();
        SigningKey::from_encrypted_pem(&pem, PASSPHRASE).unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fieldseal"));
        command
            .current_dir(self.0.path())
            .arg("policy")
            .args(args)
            .env_remove("HOME")
            .env_remove("FIELDSEAL_HOME")
            .env("FIELDSEAL_PASSPHRASE", PASSPHRASE);
        command.output().unwrap()
    }

    /// Runs it, and gives what it said, which must hold together with this exit code.
    fn must(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        said
    }
}

fn policy() -> Policy {
    let key = || SigningKey::generate().unwrap().public();
    let recipient = || Identity::generate().recipient();
    let log = LogSigner::new("lab.example/log", LogSecret::from_bytes(&[7; 32])).unwrap();
    Policy {
        v: 1,
        version: 1,
        root_version: 1,
        deployment: "lab".parse().unwrap(),
        expires: Instant {
            seconds: Instant::now().seconds + 86_400,
            ns: 0,
        },
        people: vec![Person {
            id: "ann".parse().unwrap(),
            name: "Ann".into(),
            roles: BTreeSet::from([Role::Investigator, Role::Admin]),
            agencies: BTreeSet::from(["lab".parse().unwrap()]),
            signing_key: key(),
            tls_key: Digest::of(b"ann"),
            recipient: recipient(),
        }],
        thresholds: Class::ALL.iter().map(|c| (*c, 1)).collect(),
        vaults: BTreeMap::from([("lab".parse().unwrap(), vec![recipient(), recipient()])]),
        log_key: log.public().to_string(),
        time_keys: vec![key()],
    }
}

#[test]
fn what_is_signed_is_said_and_a_changed_draft_is_judged() {
    let offline = Offline::new();
    let draft = ["draft", "--from", "policy.json", "--output", "draft.json"];
    let said = offline.must(0, &draft);
    assert!(said.contains("policy 1 becomes 2"), "{said}");
    offline.must(1, &draft);
    let beside = ["--root", "root.json", "--against", "policy.json"];
    let sign = |code, more: &[&str]| {
        let args: Vec<_> = ["sign", "draft.json"]
            .iter()
            .chain(&beside)
            .chain(more)
            .copied()
            .collect();
        offline.must(code, &args)
    };
    let said = sign(0, &[]);
    assert!(said.contains("Nothing is signed without --key"), "{said}");
    for told in ["policy 2 of lab", "person ann (Ann)", "What changes"] {
        assert!(said.contains(told), "{told}: {said}");
    }
    let key = ["--key", "root.key", "--output", "next.json"];
    // By hand: another time key of the server's, and nobody else would notice.
    let good = fs::read_to_string(offline.at("draft.json")).unwrap();
    let mut policy: Policy = serde_json::from_str(&good).unwrap();
    policy.time_keys = vec![SigningKey::generate().unwrap().public()];
    fs::write(
        offline.at("draft.json"),
        serde_json::to_vec(&policy).unwrap(),
    )
    .unwrap();
    let said = sign(1, &key);
    assert!(said.contains("The server's own keys change"), "{said}");
    assert!(!offline.at("next.json").exists());
    fs::write(offline.at("draft.json"), &good).unwrap();
    offline.must(0, &["root-key", "--output", "other.key"]);
    let said = sign(64, &["--key", "other.key", "--output", "next.json"]);
    assert!(said.contains("is no key of the root"), "{said}");
    let said = sign(0, &key);
    assert!(said.contains("1 of 1 signatures of root 1"), "{said}");
    let root = Envelope::parse(&fs::read(offline.at("root.json")).unwrap()).unwrap();
    let root = Root::open(&root).unwrap();
    let next = Envelope::parse(&fs::read(offline.at("next.json")).unwrap()).unwrap();
    assert_eq!(Policy::open(&next, &root).unwrap().version, 2);
}

/// A policy before that nobody signed would hide who is added, and let the server's keys change.
#[test]
fn a_policy_before_that_is_not_the_roots_proves_nothing() {
    let offline = Offline::new();
    let forger = SigningKey::generate().unwrap();
    let held = Envelope::parse(&fs::read(offline.at("policy.json")).unwrap()).unwrap();
    let root = Envelope::parse(&fs::read(offline.at("root.json")).unwrap()).unwrap();
    let mut next = Policy::open(&held, &Root::open(&root).unwrap()).unwrap();
    next.version = 2;
    let mut mallory = next.people[0].clone();
    mallory.id = "mallory".parse().unwrap();
    mallory.signing_key = forger.public();
    mallory.tls_key = Digest::of(b"mallory");
    next.people.push(mallory);
    next.time_keys = vec![SigningKey::generate().unwrap().public()];
    fs::write(offline.at("draft.json"), serde_json::to_vec(&next).unwrap()).unwrap();
    let forged = |change: &dyn Fn(&mut Policy)| {
        let mut old = next.clone();
        old.version = 1;
        change(&mut old);
        let signed = Envelope::sign_document(envelope::POLICY, &old, &forger).unwrap();
        offline.write("forged.json", &signed);
    };
    let key = ["--key", "root.key", "--output", "next.json"];
    let sign = |code, more: &[&str]| {
        let begin = ["sign", "draft.json", "--against", "forged.json"];
        let args: Vec<_> = begin.iter().chain(more).chain(&key).copied().collect();
        offline.must(code, &args)
    };
    let root = &["--root", "root.json"][..];
    forged(&|_| ());
    let said = sign(1, root);
    assert!(said.contains("is not the root's"), "{said}");
    // A root that was not given proves nothing, and the one that was does not vouch for it.
    forged(&|p| p.root_version = 7);
    let said = sign(1, root);
    assert!(said.contains("root 7, which was not given"), "{said}");
    // A root of the forger's own does not help, where one between is left out.
    let own = |version| Root {
        v: 1,
        version,
        deployment: "lab".parse().unwrap(),
        keys: vec![forger.public()],
        threshold: 1,
    };
    let signed = Envelope::sign_document(envelope::ROOT, &own(7), &forger).unwrap();
    offline.write("root-7.json", &signed);
    let said = sign(1, &["--root", "root.json", "root-7.json"]);
    assert!(said.contains("one is missing"), "{said}");
    forged(&|p| p.time_keys.clear());
    let said = sign(1, &[]);
    assert!(said.contains("is not sound"), "{said}");
    assert!(!offline.at("next.json").exists());
    forged(&|_| ());
    let said = sign(0, &[]);
    assert!(said.contains("is UNPROVEN"), "{said}");
}

#[test]
fn a_root_of_several_keys_is_signed_by_one_after_the_other() {
    let offline = Offline::new();
    for name in ["b.key", "c.key"] {
        offline.must(0, &["root-key", "--output", name]);
    }
    let public = offline.key("root.key").public().key_id().to_string();
    let draft = [
        "root-draft",
        "--from",
        "root.json",
        "--add",
        "b.key.pub",
        "--add",
        "c.key.pub",
        "--remove",
        &public,
        "--threshold",
        "2",
        "--output",
        "root-draft.json",
    ];
    let said = offline.must(0, &draft);
    assert!(
        said.contains("2 root keys must sign instead of 1"),
        "{said}"
    );
    let sign = |code, from: &str, key: &str, to: &str, roots: &[&str]| {
        let mut args = vec!["sign", from, "--key", key, "--output", to, "--root"];
        args.extend(roots);
        offline.must(code, &args)
    };
    let old = &["root.json"][..];
    sign(2, "root-draft.json", "b.key", "root-2.json", old);
    // The new keys alone are not enough: the old root must let go.
    let said = sign(2, "root-2.json", "c.key", "root-2.json", old);
    assert!(said.contains("0 of 1 signatures of root 1"), "{said}");
    assert!(said.contains("2 of 2 signatures of root 2"), "{said}");
    sign(0, "root-2.json", "root.key", "root-2.json", old);
    let draft = [
        "draft",
        "--from",
        "policy.json",
        "--root",
        "root-2.json",
        "--output",
        "draft.json",
    ];
    offline.must(0, &draft);
    let both = &["root.json", "root-2.json"][..];
    let said = sign(2, "draft.json", "b.key", "next.json", both);
    assert!(said.contains("1 of 2 signatures of root 2"), "{said}");
    // The same key once more is not another.
    sign(2, "next.json", "b.key", "next.json", both);
    sign(64, "next.json", "root.key", "next.json", both);
    sign(0, "next.json", "c.key", "next.json", both);
}
