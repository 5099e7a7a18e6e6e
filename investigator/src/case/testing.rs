//! Real archives for tests: parts of agents that are trusted, and of strangers, sealed and, where wanted, encrypted.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use evidence::{
    archive::{Closing, Lines, PartLimits, PartWriter},
    digest::Digest,
    gap::{Gap, Reason, Severity},
    ids::{AgentId, CollectionId, HostId},
    instant::Instant,
    keys::SigningKey,
    names,
    records::{
        CollectionRecord, Counts, FileRecord, FileType, HostIdentity, LogLine, Times, VERSION,
    },
    seal,
    verify::{Options, Trust},
    wrap::{self, Identity},
};
use serde_json::value::RawValue;

use super::load::{Loader, Outcome, Place};

/// 2026-11-20 10:00:00 UTC.
pub(crate) const NOW: Instant = Instant {
    seconds: 1_795_168_800,
    ns: 0,
};

pub(crate) fn at(seconds: i64) -> Instant {
    Instant {
        seconds: NOW.seconds + seconds,
        ns: 0,
    }
}

/// The agents that are trusted, by number: each its own key and certificate.
static AGENTS: LazyLock<Vec<(SigningKey, Vec<u8>)>> =
    LazyLock::new(|| (0..=9).map(key_of).collect());

fn key_of(number: u8) -> (SigningKey, Vec<u8>) {
    let key = SigningKey::generate().unwrap();
    let certificate = seal::self_signed_seal(&key, agent(number), NOW).unwrap();
    (key, certificate)
}

/// Trusts the agents.
pub(crate) fn trust() -> Trust {
    let all: String = AGENTS
        .iter()
        .map(|(_, der)| crate::testing::pem(der))
        .collect();
    Trust::from_pem(&all).unwrap()
}

/// A part before it is sealed.
pub(crate) struct Draft {
    pub(crate) collection: u8,
    pub(crate) host: u8,
    /// Who seals, up to 9; the others are strangers, each with a key for this one part.
    pub(crate) agent: u8,
    pub(crate) hostname: String,
    pub(crate) case: Option<String>,
    pub(crate) part: u32,
    pub(crate) previous: Option<Digest>,
    pub(crate) before: Counts,
    pub(crate) last: bool,
    pub(crate) results: Vec<(String, Vec<String>)>,
    pub(crate) files: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) gaps: u32,
    pub(crate) vault: Option<Identity>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            collection: 1,
            host: 1,
            agent: 1,
            hostname: "web-1".to_owned(),
            case: Some("C-1".to_owned()),
            part: 1,
            previous: None,
            before: Counts::default(),
            last: true,
            results: Vec::new(),
            files: Vec::new(),
            gaps: 0,
            vault: None,
        }
    }
}

/// Where a part lies, and its digest.
pub(crate) struct Made {
    pub(crate) path: PathBuf,
    pub(crate) sha256: Digest,
    pub(crate) counts: Counts,
}

impl Draft {
    pub(crate) fn result(mut self, artifact: &str, lines: &[&str]) -> Self {
        let lines = lines.iter().map(|l| (*l).to_owned()).collect();
        self.results.push((artifact.to_owned(), lines));
        self
    }

    pub(crate) fn file(mut self, path: &[u8], bytes: &[u8]) -> Self {
        self.files.push((path.to_owned(), bytes.to_owned()));
        self
    }

    pub(crate) fn id(&self) -> String {
        CollectionId::from_bytes([self.collection; 16]).to_string()
    }

    /// Seals it into the collection's folder below `folder`.
    pub(crate) fn make(&self, folder: &Path) -> Made {
        let mut part = PartWriter::new(Vec::new(), PartLimits::default(), NOW);
        for (artifact, lines) in &self.results {
            part.begin_results(artifact).unwrap();
            let mut all = Lines::default();
            for line in lines {
                all.push(&RawValue::from_string(line.clone()).unwrap())
                    .unwrap();
            }
            part.records(&all).unwrap();
            part.end_results().unwrap();
        }
        for (path, bytes) in &self.files {
            store(&mut part, path, bytes);
        }
        for number in 0..self.gaps {
            part.gap(&gap(number)).unwrap();
        }
        let (time, message) = (at(1), "began".to_owned());
        part.log(&LogLine {
            time,
            message,
            artifact: None,
        })
        .unwrap();
        let record = self.record(part.counts());
        let closing = Closing {
            collection: &record,
            order: b"",
            policy: b"",
        };
        let stranger = key_of(self.agent);
        let (key, certificate) = AGENTS.get(usize::from(self.agent)).unwrap_or(&stranger);
        let chain = std::slice::from_ref(certificate);
        let sealed = part
            .seal(&closing, |sums| seal::sign(sums, key, chain, at(30)))
            .unwrap();
        let folder = folder.join(self.id());
        fs::create_dir_all(&folder).unwrap();
        let mut path = folder.join(format!("part-{:04}.zip", self.part));
        let mut bytes = sealed.inner;
        if let Some(vault) = &self.vault {
            path.set_extension("zip.age");
            bytes = wrap::wrap(&[vault.recipient()], &bytes).unwrap();
        }
        fs::write(&path, bytes).unwrap();
        Made {
            path,
            counts: record.counts,
            sha256: sealed.sha256,
        }
    }

    fn record(&self, counts: Counts) -> CollectionRecord {
        CollectionRecord {
            v: VERSION,
            collection: CollectionId::from_bytes([self.collection; 16]),
            agent: Some(agent(self.agent)),
            host: Some(HostId::from_bytes([self.host; 16])),
            order: None,
            order_sha256: None,
            policy_sha256: None,
            requester: None,
            signers: Vec::new(),
            case: self.case.clone(),
            host_identity: HostIdentity {
                hostname: self.hostname.clone(),
                os: "linux".to_owned(),
                arch: "x86_64".to_owned(),
                ..HostIdentity::default()
            },
            clock: None,
            boot_time: None,
            monotonic_ns: None,
            agent_version: "0.1.0".to_owned(),
            agent_sha256: None,
            profile: None,
            limits: BTreeMap::new(),
            part: self.part,
            previous_sha256: self.previous,
            last: self.last,
            attempt: 1,
            ended_early: None,
            counts,
            counts_so_far: self.before.plus(counts),
            sandbox: String::new(),
            started: NOW,
            ended: at(30),
            unencrypted: self.vault.is_none(),
            refusals: Vec::new(),
            capture: None,
            dead_disk: None,
            field: None,
        }
    }
}

fn agent(number: u8) -> AgentId {
    AgentId::from_bytes([number; 16])
}

fn store(part: &mut PartWriter<Vec<u8>>, path: &[u8], bytes: &[u8]) {
    let name = names::unix_entry(path);
    let stored = part.content(&name, bytes).unwrap();
    let mut record = FileRecord::new("logs", path, FileType::File);
    record.entry = Some(name);
    record.size_bytes = Some(stored.size_bytes);
    record.sha256 = Some(stored.sha256);
    record.times = Times {
        modified: Some(at(-100)),
        accessed: Some(at(-50)),
        ..Times::default()
    };
    part.file(&record).unwrap();
}

fn gap(number: u32) -> Gap {
    Gap {
        artifact: "logs".to_owned(),
        subject: format!("/root/{number}"),
        path_b64: None,
        reason: Reason::PermissionDenied,
        severity: Severity::Ordinary,
        text: "EACCES".to_owned(),
        time: at(2),
    }
}

/// Loads what lies in `folder` into one file.
pub(crate) fn load(folder: &Path, database: &Path, options: &Options) -> Outcome {
    load_from(folder, database, options, false)
}

/// The same, where strangers may be let in.
pub(crate) fn load_from(
    folder: &Path,
    database: &Path,
    options: &Options,
    allow_unknown: bool,
) -> Outcome {
    let found = crate::commands::files::parts(&[folder.to_owned()]).unwrap();
    let place = Place::File(database.to_owned());
    let loader = Loader::new(place, None, options).allow_unknown(allow_unknown);
    loader.load(&found.parts, &mut |_| Ok(())).unwrap()
}
