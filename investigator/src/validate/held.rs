//! Holds a collection against the known answers, one matter a row.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use evidence::{
    gap::Reason,
    records::FileRecord,
    verify::{Code, Options, Verdict, Weight},
    wrap::Identity,
};
use serde_json::{Map, Value, json};

use super::{
    answers::{Answers, Content, Item, KnownGap},
    compare::{self, Held, Row},
    disk,
    found::Found,
    run::BY_PATH,
};
use crate::{check, commands::files, fetch};

/// Fields of a file's record that say how it was read and not what it is.
const HOW: &[&str] = &["atime_kept", "xattrs", "xattrs_b64"];
/// An altered part is made in so many ways.
const ALTERATIONS: u64 = 16;
/// A text of so many bytes is in no ciphertext by chance.
const TELLING_BYTES: usize = 16;
/// The artifact that walks the whole disk.
const WALK: &str = "file_hashes";

type Record = Map<String, Value>;

/// What is known of a disk, taken down before anything has read it.
pub(super) struct Known<'a> {
    answers: &'a Answers,
    /// What the system says of each thing, by its path as text.
    facts: BTreeMap<String, Record>,
}

impl<'a> Known<'a> {
    /// Of the disk at `root`.
    ///
    /// # Errors
    /// Something is not there.
    pub(super) fn of(root: &Path, answers: &'a Answers) -> anyhow::Result<Self> {
        let mut places = BTreeSet::new();
        for item in &answers.disk {
            let place = item.place(root);
            let above = place.ancestors().take_while(|above| *above != root);
            places.extend(above.map(Path::to_owned));
        }
        let mut facts = BTreeMap::new();
        for place in places {
            let told = disk::facts(root, &place)?;
            let path = told["path"].as_str().unwrap_or_default().to_owned();
            facts.insert(path, told);
        }
        Ok(Self { answers, facts })
    }

    /// A row for each artifact that says anything.
    pub(super) fn artifacts(&self, found: &Found) -> Vec<Row> {
        let nothing = Vec::new();
        let of = |name: &str| found.records.get(name).unwrap_or(&nothing);
        let mut rows: Vec<_> = self
            .answers
            .records
            .iter()
            .map(|(name, records)| {
                let expected: Vec<_> = records.iter().map(|r| self.with_facts(r)).collect();
                compare::records(&format!("{name}: records"), &expected, of(name), HOW)
            })
            .collect();
        rows.push(self.walk(of(WALK)));
        let known = |name: &&String| *name == WALK || self.answers.records.contains_key(*name);
        for name in found.records.keys().filter(|name| !known(name)) {
            rows.push(compare::records(
                &format!("{name}: records"),
                &[],
                of(name),
                HOW,
            ));
        }
        rows
    }

    /// A record of a way to persist has the file's own facts beside.
    fn with_facts(&self, record: &Record) -> Record {
        let mut whole = record.clone();
        let path = record.get("path").filter(|_| record.contains_key("way"));
        if let Some(facts) = path.and_then(Value::as_str).and_then(|p| self.facts.get(p)) {
            whole.extend(facts.clone());
        }
        whole
    }

    /// Everything on the disk, with its digests.
    fn walk(&self, found: &[Record]) -> Row {
        let expected: Vec<_> = self
            .facts
            .iter()
            .map(|(path, facts)| self.walked(path, facts))
            .collect();
        // The access time of a link moves when it is followed, which no system can be asked not to do.
        let no_link_time = |record: &Record| {
            let mut record = record.clone();
            if record.get("type") == Some(&json!("link")) {
                record.remove("accessed");
            }
            record
        };
        let (expected, found): (Vec<_>, Vec<_>) = (
            expected.iter().map(no_link_time).collect(),
            found.iter().map(no_link_time).collect(),
        );
        compare::records(&format!("{WALK}: records"), &expected, &found, HOW)
    }

    fn walked(&self, path: &str, facts: &Record) -> Record {
        let mut record = facts.clone();
        if let Some(digests) = self
            .answers
            .item(path)
            .and_then(|item| item.digests.as_ref())
        {
            record.insert("sha256".into(), json!(digests.sha256));
            record.insert("md5".into(), json!(digests.md5));
            record.insert("sha1".into(), json!(digests.sha1));
            record.insert("read_bytes".into(), facts["size_bytes"].clone());
            record.insert("changed_while_read".into(), false.into());
        }
        record
    }

    /// A row for each artifact that takes files: which, each field of each record, and what is stored of them.
    pub(super) fn taken(&self, found: &Found) -> Vec<Row> {
        let artifacts: BTreeSet<&str> = (self.answers.taken.keys().map(String::as_str))
            .chain(collected(found).map(|file| file.artifact.as_str()))
            .collect();
        artifacts
            .into_iter()
            .map(|name| self.taken_by(name, found))
            .collect()
    }

    fn taken_by(&self, artifact: &str, found: &Found) -> Row {
        let nothing = BTreeSet::new();
        let expected = self.answers.taken.get(artifact).unwrap_or(&nothing);
        let taken: Vec<_> = collected(found)
            .filter(|file| file.artifact == artifact)
            .collect();
        let paths = taken.iter().map(|file| file.path.clone()).collect();
        let mut row = compare::sets(&format!("{artifact}: files"), expected, &paths);
        row.differences
            .extend(taken.iter().flat_map(|file| self.file(file, found)));
        for path in &self.answers.left_out {
            let held = taken.iter().find(|f| f.path == *path && f.entry.is_some());
            row.differences
                .extend(held.map(|_| format!("{path}: its contents are there")));
        }
        row
    }

    /// The files that were asked for by their paths.
    pub(super) fn whole_files(&self, found: &Found, asked: &[&str]) -> Row {
        let expected: BTreeSet<_> = (asked.iter())
            .filter(|path| !self.leads_nowhere(path))
            .map(|path| (*path).to_owned())
            .collect();
        let taken: Vec<_> = collected(found).collect();
        let paths = taken.iter().map(|file| file.path.clone());
        let paths = paths
            .filter(|path| asked.contains(&path.as_str()))
            .collect();
        let mut row = compare::sets("files taken by their paths", &expected, &paths);
        let of_links = |file: &&&FileRecord| file.target.is_none();
        let told = taken
            .iter()
            .filter(of_links)
            .flat_map(|file| self.file(file, found));
        row.differences.extend(told);
        row
    }

    /// What there is not of the files that were asked for by their paths.
    pub(super) fn whole_gaps(&self, asked: &[&str]) -> Vec<KnownGap> {
        let missing = asked.iter().filter(|path| self.leads_nowhere(path));
        missing
            .map(|path| KnownGap {
                artifact: BY_PATH.to_owned(),
                subject: (*path).to_owned(),
                reason: Reason::NotFound,
            })
            .collect()
    }

    fn leads_nowhere(&self, path: &str) -> bool {
        let target = self.answers.led_to(path);
        self.answers.item(target).is_none()
    }

    /// What differs in the record of one file, and in what is stored of it.
    fn file(&self, file: &FileRecord, found: &Found) -> Vec<String> {
        let led_to = self.answers.led_to(&file.path);
        let (Some(facts), Some(item)) = (self.facts.get(led_to), self.answers.item(led_to)) else {
            return vec![format!("not known: {}", file.path)];
        };
        let told = json!(file.times);
        let mode = facts["mode"]
            .as_str()
            .and_then(|text| u32::from_str_radix(text, 8).ok());
        let fact = |name: &str| facts[name].clone();
        let mut held: Vec<Held> = vec![
            ("modified", fact("modified"), told["modified"].clone()),
            ("accessed", fact("accessed"), told["accessed"].clone()),
            ("changed", fact("changed"), told["changed"].clone()),
            ("mode", json!(mode), json!(file.mode)),
            ("uid", fact("uid"), json!(file.uid)),
            ("gid", fact("gid"), json!(file.gid)),
            ("links", fact("links"), json!(file.link_count)),
            ("device", fact("device"), json!(file.device)),
            ("inode", fact("inode").to_string().into(), json!(file.inode)),
            (
                "changed_while_read",
                false.into(),
                file.changed_while_read.into(),
            ),
        ];
        if let Some(born) = facts.get("born") {
            held.push(("created", born.clone(), told["created"].clone()));
        }
        let is_stored =
            file.entry.is_some() || file.hard_link_of.is_some() || !file.pieces.is_empty();
        let is_left_out = self.answers.left_out.contains(&file.path);
        let is_file = item.digests.is_some() && file.target.is_none();
        held.push(("stored", (is_file && !is_left_out).into(), is_stored.into()));
        if let (Some(entry), Some(digests)) = (&file.entry, &item.digests) {
            let stored = found.contents.get(entry);
            let (sha256, size_bytes) = (json!(digests.sha256), fact("size_bytes"));
            held.extend([
                ("size_bytes", size_bytes.clone(), json!(file.size_bytes)),
                ("sha256", sha256.clone(), json!(file.sha256)),
                (
                    "sha256 of what is stored",
                    sha256,
                    json!(stored.map(|s| s.0)),
                ),
                (
                    "size of what is stored",
                    size_bytes,
                    json!(stored.map(|s| s.1)),
                ),
            ]);
        }
        compare::values(&file.path, &held)
    }
}

/// The records of files that were asked for; folders that lead to them are none.
fn collected(found: &Found) -> impl Iterator<Item = &FileRecord> {
    found
        .files
        .iter()
        .filter(|file| file.artifact != "collection")
}

/// The gaps of each artifact: those that are known, and no other.
pub(super) fn gaps(what: &str, known: &[KnownGap], found: &Found) -> Vec<Row> {
    let told = found.gaps.iter().map(|gap| KnownGap {
        artifact: gap.artifact.clone(),
        subject: gap.subject.clone(),
        reason: gap.reason,
    });
    let told: Vec<_> = told.collect();
    let artifacts: BTreeSet<&str> = (known.iter().chain(&told))
        .map(|gap| gap.artifact.as_str())
        .collect();
    let of = |artifact: &str, gaps: &[KnownGap]| -> BTreeSet<String> {
        let own = gaps.iter().filter(|gap| gap.artifact == artifact);
        own.map(|gap| format!("{}: {}", gap.subject, json!(gap.reason)))
            .collect()
    };
    let row = |artifact: &str| {
        let (expected, is) = (of(artifact, known), of(artifact, &told));
        compare::sets(&format!("{artifact}: {what}"), &expected, &is)
    };
    artifacts.into_iter().map(row).collect()
}

/// Whose evidence it says that it is, and by which program.
///
/// # Errors
/// The program can't be read.
pub(super) fn host(found: &Found, root: &Path, agent: &Path) -> anyhow::Result<Row> {
    let record = found.collection.as_ref();
    let host = record.map(|r| &r.host_identity);
    let disk = record.and_then(|r| r.dead_disk.as_ref());
    let id = "0123456789abcdef0123456789abcdef";
    let held: [Held; 5] = [
        (
            "hostname",
            json!("known-answers"),
            json!(host.map(|h| &h.hostname)),
        ),
        (
            "machine_id",
            json!(id),
            json!(host.and_then(|h| h.machine_id.as_ref())),
        ),
        (
            "os_version",
            json!("Known Answers 1"),
            json!(host.and_then(|h| h.os_version.as_ref())),
        ),
        (
            "mounted_at",
            json!(root.to_string_lossy()),
            json!(disk.map(|d| &d.mounted_at)),
        ),
        (
            "agent_sha256",
            json!(fetch::digest_of(agent)?.0),
            json!(record.and_then(|r| r.agent_sha256)),
        ),
    ];
    let differences = compare::values("collection.json", &held);
    Ok(Row::of(
        "identity of host and program",
        held.len(),
        differences,
    ))
}

/// Whether every part is genuine.
///
/// # Errors
/// A part can't be read.
pub(super) fn seal(folders: &[PathBuf], identity: &Identity) -> anyhow::Result<Row> {
    let checked = check::paths(folders, &options(identity))?;
    let parts = checked
        .reports
        .iter()
        .map(|report| report.parts.len())
        .sum();
    let findings = checked
        .reports
        .iter()
        .flat_map(|report| report.all_findings());
    // The key was made for this run, and gaps are what is not applicable.
    let known = [Code::SignerUnknown, Code::Gaps];
    let against = findings.filter(|(_, f)| f.weight != Weight::Note && !known.contains(&f.code));
    let differences = against
        .map(|(file, f)| format!("{file}: {}", f.text))
        .collect();
    Ok(Row::of(
        "seal, statement and chain of each part",
        parts,
        differences,
    ))
}

fn options(identity: &Identity) -> Options {
    Options {
        identities: vec![identity.clone()],
        ..Options::default()
    }
}

/// Whether the encrypted parts tell anything of what is in them.
///
/// # Errors
/// A part can't be read.
pub(super) fn encryption(found: &[&Found], answers: &Answers) -> anyhow::Result<Row> {
    // Shorter ones would come up by chance.
    let texts = |item: &Item| match &item.content {
        Content::Pattern { pattern, .. } => Some(pattern.repeat(4)),
        Content::Text { text } if text.len() >= TELLING_BYTES => Some(text.clone()),
        _ => None,
    };
    let telling: Vec<String> = answers.disk.iter().filter_map(texts).collect();
    let parts: Vec<_> = found.iter().flat_map(|found| &found.parts).collect();
    let mut differences = Vec::new();
    for part in &parts {
        let bytes = fs::read(&part.path)?;
        for text in &telling {
            if bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
            {
                differences.push(format!("{} tells what is in it", part.path.display()));
            }
        }
    }
    Ok(Row::of("encryption of each part", parts.len(), differences))
}

/// Whether an altered part is seen to be one, wherever it was altered.
///
/// # Errors
/// A part can't be copied.
pub(super) fn alterations(folder: &Path, identity: &Identity) -> anyhow::Result<Row> {
    let altered = folder.with_file_name("altered");
    let mut differences = Vec::new();
    let parts = files::parts(&[folder.to_owned()])?.parts;
    let Some(part) = parts.first() else {
        return Ok(Row::of(
            "alterations seen",
            0,
            vec!["there is no part".into()],
        ));
    };
    fs::create_dir_all(&altered)?;
    for beside in fs::read_dir(folder)? {
        let beside = beside?.path();
        if beside.extension().is_some_and(|e| e == "json") {
            fs::copy(
                &beside,
                altered.join(beside.file_name().unwrap_or_default()),
            )?;
        }
    }
    let copy = altered.join(part.file_name().unwrap_or_default());
    let mut bytes = fs::read(part)?;
    for number in 0..ALTERATIONS {
        let at = usize::try_from(number * bytes.len() as u64 / ALTERATIONS)?;
        bytes[at] ^= 1;
        fs::write(&copy, &bytes)?;
        bytes[at] ^= 1;
        let checked = check::paths(std::slice::from_ref(&altered), &options(identity));
        if !checked.is_ok_and(|checked| checked.verdict == Verdict::NotGenuine) {
            differences.push(format!(
                "byte {at} of {} was changed unseen",
                part.display()
            ));
        }
    }
    fs::remove_dir_all(&altered)?;
    Ok(Row::of(
        "alterations seen",
        usize::try_from(ALTERATIONS)?,
        differences,
    ))
}
