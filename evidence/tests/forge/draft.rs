//! A part before it is sealed: what it stores and what its records say, each open to change.

use evidence::{
    digest::Digest,
    envelope::{self, Envelope},
    records::{FileRecord, FileType, Times},
    seal,
    statement::{self, CertificateDer, Measured, Previous, Statement, Wrapping},
    wrap::{self, Recipient},
};
use serde_json::{Value, json};

use super::{
    Files, at, authority,
    deployment::{AGENT, COLLECTION, Deployment, HOST, ORDER, SECOND_VAULT, Sealer},
    zip::{self, Item},
};

/// Entries in their order.
pub(crate) type Entries = Vec<(String, Vec<u8>)>;

/// When parts of this deployment are sealed, in seconds around the moment.
pub(crate) const SEALED: i64 = 30;

/// A part that can still be changed.
#[derive(Clone)]
pub(crate) struct Draft {
    /// fs/, pieces/ and results/.
    pub(crate) content: Entries,
    /// files.jsonl.
    pub(crate) files: Vec<u8>,
    /// gaps.jsonl.
    pub(crate) gaps: Vec<u8>,
    /// log.jsonl.
    pub(crate) log: Vec<u8>,
    /// order.json.
    pub(crate) order: Vec<u8>,
    /// policy.json.
    pub(crate) policy: Vec<u8>,
    /// collection.json, but for what [`Draft::entries`] counts.
    pub(crate) record: Value,
    /// Put over the counted figures.
    pub(crate) counts: Value,
}

/// One line of files.jsonl for an entry, as JSON.
pub(crate) fn file_record(path: &str, entry: &str, bytes: &[u8]) -> Value {
    let kind = if entry.ends_with('/') {
        FileType::Folder
    } else {
        FileType::File
    };
    let mut record = FileRecord::new("tiny", path.as_bytes(), kind);
    record.entry = Some(entry.to_owned());
    if kind == FileType::File {
        record.size_bytes = Some(bytes.len() as u64);
        record.sha256 = Some(Digest::of(bytes));
    }
    record.mode = Some(0o100_644);
    record.times = Times {
        modified: Some(at(-500)),
        accessed: Some(at(-400)),
        ..Times::default()
    };
    serde_json::to_value(record).unwrap()
}

/// A line of JSON.
pub(crate) fn line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

impl Draft {
    /// A local part without order and policy, of an enrolled agent.
    pub(crate) fn local() -> Self {
        let mut draft = Self {
            content: Vec::new(),
            files: Vec::new(),
            gaps: Vec::new(),
            log: line(&json!({"time": at(1), "message": "began"})),
            order: Vec::new(),
            policy: Vec::new(),
            record: record(),
            counts: Value::Null,
        };
        draft.store("/etc/", b"");
        draft.store("/etc/hostname", b"host-1\n");
        let processes = b"{\"pid\":1,\"name\":\"init\"}\n{\"pid\":2,\"name\":\"sshd\"}\n";
        draft
            .content
            .push(("results/processes.jsonl".into(), processes.to_vec()));
        draft
    }

    /// A part on an order.
    pub(crate) fn ordered(world: &Deployment) -> Self {
        let mut draft = Self::local();
        draft.put_order(&authority::order(), &world.ann());
        draft.put_policy(world, &world.root.key);
        let ann = json!({"name": "ann", "key_sha256": world.ann().public().key_id()});
        draft.record["requester"] = ann.clone();
        draft.record["signers"] = json!([ann]);
        draft.record["case"] = "2026-1".into();
        draft.record["profile"] =
            json!({"name": "tiny", "sha256": Digest::of(authority::PROFILE.as_bytes())});
        draft
    }

    /// Puts another order in, and its digest into collection.json.
    pub(crate) fn put_order(&mut self, order: &Value, by: &evidence::keys::SigningKey) {
        self.put_order_by(order, &[by]);
    }

    /// The same, signed by several, each time anew.
    pub(crate) fn put_order_by(&mut self, order: &Value, by: &[&evidence::keys::SigningKey]) {
        let mut envelope = authority::signed_order(order, by[0]);
        by[1..].iter().for_each(|key| envelope.add_signature(key));
        self.order = envelope.to_json().unwrap();
        self.record["order"] = json!(ORDER);
        self.record["order_sha256"] = json!(envelope.digest());
    }

    /// Puts the policy in, signed by whom.
    pub(crate) fn put_policy(&mut self, world: &Deployment, by: &evidence::keys::SigningKey) {
        self.put_policy_of(&authority::policy(world), by);
    }

    /// Puts another policy in.
    pub(crate) fn put_policy_of(&mut self, policy: &Value, by: &evidence::keys::SigningKey) {
        let envelope = Envelope::sign_document(envelope::POLICY, policy, by).unwrap();
        self.policy = envelope.to_json().unwrap();
        self.record["policy_sha256"] = json!(envelope.digest());
    }

    /// Stores a file or, with a final `/`, a folder, and records it.
    pub(crate) fn store(&mut self, path: &str, bytes: &[u8]) {
        let entry = format!("fs/$rootfs${path}");
        self.files.extend(line(&file_record(path, &entry, bytes)));
        self.content.push((entry, bytes.to_vec()));
    }

    /// The part as it follows `before`.
    pub(crate) fn follow(mut self, number: u32, before: &[u8], so_far: Value) -> Self {
        self.record["part"] = number.into();
        self.record["previous_sha256"] = json!(Digest::of(before));
        self.record["counts_so_far"] = so_far;
        self
    }

    /// Not the last part.
    pub(crate) fn not_last(mut self) -> Self {
        self.record["last"] = false.into();
        self
    }

    /// The counts of this part.
    pub(crate) fn counted(&self) -> Value {
        let files: Vec<_> = self
            .content
            .iter()
            .filter(|(name, _)| !name.starts_with("results/") && !name.ends_with('/'))
            .collect();
        let bytes: usize = files.iter().map(|(_, b)| b.len()).sum();
        let lines = |bytes: &[u8]| bytes.iter().filter(|&&b| b == b'\n').count();
        let results = self
            .content
            .iter()
            .filter(|(n, _)| n.starts_with("results/"));
        let serious = String::from_utf8_lossy(&self.gaps)
            .matches("\"serious\"")
            .count();
        json!({
            "files": files.len(), "file_records": lines(&self.files),
            "records": results.map(|(_, b)| lines(b)).sum::<usize>(),
            "gaps": lines(&self.gaps), "serious_gaps": serious, "file_bytes": bytes,
        })
    }

    /// All entries but the list and the seal.
    pub(crate) fn entries(&self) -> Entries {
        let mut record = self.record.clone();
        record["counts"] = self.counted();
        if record["counts_so_far"].is_null() {
            record["counts_so_far"] = self.counted();
        }
        for (name, value) in self.counts.as_object().into_iter().flatten() {
            record["counts"][name] = value.clone();
        }
        let mut json = serde_json::to_vec_pretty(&record).unwrap();
        json.push(b'\n');
        let mut entries = self.content.clone();
        for (name, bytes) in [
            ("files.jsonl", &self.files),
            ("gaps.jsonl", &self.gaps),
            ("log.jsonl", &self.log),
            ("order.json", &self.order),
            ("policy.json", &self.policy),
            ("collection.json", &json),
        ] {
            entries.push((name.to_owned(), bytes.clone()));
        }
        entries
    }

    /// All entries, listed and sealed.
    pub(crate) fn sealed(&self, by: &Sealer) -> Entries {
        seal_entries(self.entries(), by, SEALED)
    }

    /// The part's bytes.
    pub(crate) fn zip(&self, by: &Sealer) -> Vec<u8> {
        written(&self.sealed(by))
    }

    /// The statement over these bytes.
    pub(crate) fn statement(
        &self,
        plain: &[u8],
        cipher: Option<&[u8]>,
        before: Option<&[u8]>,
        by: &Sealer,
    ) -> Statement {
        let measured = |bytes: &[u8]| Measured {
            sha256: Digest::of(bytes),
            size_bytes: bytes.len() as u64,
        };
        let recipients = match cipher {
            Some(_) => vec![authority::recipient(), SECOND_VAULT.to_owned()],
            None => Vec::new(),
        };
        Statement {
            v: statement::VERSION,
            collection: COLLECTION,
            agent: by.agent,
            part: u32::try_from(self.record["part"].as_u64().unwrap()).unwrap(),
            last: self.record["last"].as_bool().unwrap(),
            plain: measured(plain),
            ciphertext: cipher.map(measured),
            previous: before.map(|bytes| Previous {
                plain: Digest::of(bytes),
                ciphertext: None,
            }),
            order: serde_json::from_value(self.record["order_sha256"].clone()).unwrap(),
            wrapping: Wrapping {
                kind: if cipher.is_some() {
                    wrap::AGE
                } else {
                    wrap::NONE
                }
                .to_owned(),
                recipients,
            },
            certificates: by.chain.iter().cloned().map(CertificateDer).collect(),
            time: at(SEALED),
        }
    }

    /// The plain part and its statement, as a folder.
    pub(crate) fn folder(&self, by: &Sealer) -> Files {
        let zip = self.zip(by);
        let statement = self.statement(&zip, None, None, by);
        folder(1, zip, &statement, by)
    }
}

/// `part-NNNN.zip` and its statement.
pub(crate) fn folder(number: u32, zip: Vec<u8>, statement: &Statement, by: &Sealer) -> Files {
    let json = statement.sign(&by.key).unwrap().to_json().unwrap();
    Files::from([
        (format!("part-{number:04}.zip"), zip),
        (format!("part-{number:04}.statement.json"), json),
    ])
}

/// Adds the list and the seal over it.
pub(crate) fn seal_entries(mut entries: Entries, by: &Sealer, seconds: i64) -> Entries {
    let sums = sums(&entries);
    let seal = seal::sign(&sums, &by.key, &by.chain, at(seconds)).unwrap();
    entries.push(("SHA256SUMS".into(), sums));
    entries.push(("SHA256SUMS.p7s".into(), seal));
    entries
}

/// What SHA256SUMS must hold.
pub(crate) fn sums(entries: &Entries) -> Vec<u8> {
    let sealed = entries
        .iter()
        .filter(|(name, _)| !name.ends_with('/') && !name.starts_with("SHA256SUMS"));
    let lines: String = sealed
        .map(|(name, bytes)| format!("{}  {name}\n", Digest::of(bytes)))
        .collect();
    lines.into_bytes()
}

/// The entries as a ZIP of the ordinary form.
pub(crate) fn written(entries: &Entries) -> Vec<u8> {
    zip::write(&items(entries)).bytes
}

/// The entries as items to change.
pub(crate) fn items(entries: &Entries) -> Vec<Item> {
    entries.iter().map(|(n, b)| Item::new(n, b)).collect()
}

/// Encrypted to the vault.
pub(crate) fn encrypted(plain: &[u8]) -> Vec<u8> {
    let to = [authority::recipient(), SECOND_VAULT.to_owned()];
    let to: Vec<Recipient> = to.iter().map(|r| r.parse().unwrap()).collect();
    wrap::wrap(&to, plain).unwrap()
}

fn record() -> Value {
    let host = json!({"hostname": "host-1", "os": "linux", "arch": "x86_64"});
    json!({
        "v": 1, "collection": COLLECTION, "agent": AGENT, "host": HOST, "order": null,
        "order_sha256": null, "policy_sha256": null, "requester": null, "signers": [],
        "case": null, "host_identity": host,
        "clock": {"offset_ms": 12, "bound_ms": 5, "measured": at(0)}, "boot_time": at(-9000),
        "agent_version": "0.1.0", "agent_sha256": Digest::of(b"agent"), "profile": null,
        "limits": {}, "part": 1, "previous_sha256": null, "last": true, "attempt": 1,
        "ended_early": null, "counts": null, "counts_so_far": null, "sandbox": "none",
        "started": at(0), "ended": at(SEALED), "unencrypted": true, "refusals": [],
    })
}
