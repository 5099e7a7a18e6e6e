//! Evidence to load: sealed and encrypted parts with records as hosts have them, the same at every run.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use evidence::{
    archive::{Closing, Lines, PartLimits, PartWriter},
    digest::Digest,
    ids::{AgentId, CollectionId, HostId},
    instant::Instant,
    keys::SigningKey,
    names,
    records::{CollectionRecord, Counts, FileRecord, FileType, HostIdentity, Times, VERSION},
    seal,
    wrap::{Identity, WrapWriter},
};
use serde_json::json;

/// 2026-11-20 10:00:00 UTC.
const NOW: Instant = Instant {
    seconds: 1_795_168_800,
    ns: 0,
};
/// Records handed over at once.
const AT_ONCE: u32 = 500;

/// What a host has.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    hashes: u32,
    files: u32,
    processes: u32,
    programs: u32,
}

impl Shape {
    /// Mostly hashes of files, some processes, some collected files.
    pub(crate) fn bulk(records: u32) -> Self {
        let (files, processes) = (records / 50, records / 50);
        Self {
            hashes: records - files - processes,
            files,
            processes,
            programs: 0,
        }
    }

    /// The programs that run.
    pub(crate) fn hunt(rows: u32) -> Self {
        Self {
            hashes: 0,
            files: 0,
            processes: 0,
            programs: rows,
        }
    }
}

/// What was made of one host.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) parts: u32,
    pub(crate) records: u64,
    pub(crate) hashes: u32,
    pub(crate) record_bytes: u64,
}

/// Makes collections below one folder.
pub(crate) struct Maker<'v> {
    folder: PathBuf,
    vault: &'v Identity,
    key: SigningKey,
    lines: Option<BufWriter<File>>,
}

impl<'v> Maker<'v> {
    /// `lines` gets the hashes as plain lines, for who inserts them otherwise.
    pub(crate) fn new(
        folder: &Path,
        vault: &'v Identity,
        lines: Option<&Path>,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            vault,
            key: SigningKey::generate()?,
            lines: lines.map(File::create).transpose()?.map(BufWriter::new),
        })
    }

    /// One collection of one host.
    pub(crate) fn host(&mut self, host: u32, shape: Shape) -> anyhow::Result<Made> {
        let mut run = Run::begin(self, host)?;
        run.stream("processes", shape.processes, process)?;
        run.stream("running_executables", shape.programs, |n| program(host, n))?;
        run.files(shape.files)?;
        run.stream("file_hashes", shape.hashes, hash)?;
        let made = run.end()?;
        if let Some(lines) = &mut self.lines {
            lines.flush()?;
        }
        Ok(Made {
            hashes: shape.hashes,
            ..made
        })
    }
}

type Part = PartWriter<WrapWriter<BufWriter<File>>>;

struct Run<'m, 'v> {
    maker: &'m mut Maker<'v>,
    host: [u8; 16],
    folder: PathBuf,
    part: Option<Part>,
    previous: Option<Digest>,
    so_far: Counts,
    made: Made,
}

impl<'m, 'v> Run<'m, 'v> {
    fn begin(maker: &'m mut Maker<'v>, host: u32) -> anyhow::Result<Self> {
        let mut bytes = [7; 16];
        bytes[..4].copy_from_slice(&host.to_be_bytes());
        let folder = maker
            .folder
            .join(CollectionId::from_bytes(bytes).to_string());
        fs::create_dir_all(&folder)?;
        Ok(Self {
            maker,
            host: bytes,
            folder,
            part: None,
            previous: None,
            so_far: Counts::default(),
            made: Made::default(),
        })
    }

    fn part(&mut self) -> anyhow::Result<&mut Part> {
        if self.part.is_none() {
            let name = format!("part-{:04}.zip.age", self.made.parts + 1);
            let file = BufWriter::new(File::create(self.folder.join(name))?);
            let wrapped = WrapWriter::new(&[self.maker.vault.recipient()], file)?;
            self.part = Some(PartWriter::new(wrapped, PartLimits::default(), NOW));
        }
        self.part
            .as_mut()
            .ok_or_else(|| anyhow::anyhow!("there is no part"))
    }

    fn stream(
        &mut self,
        artifact: &str,
        count: u32,
        record: impl Fn(u32) -> serde_json::Value,
    ) -> anyhow::Result<()> {
        let mut next = 0;
        while next < count {
            self.part()?.begin_results(artifact)?;
            while next < count {
                let mut lines = Lines::default();
                for number in next..count.min(next + AT_ONCE) {
                    lines.push(&record(number))?;
                }
                next = count.min(next + AT_ONCE);
                self.made.record_bytes += lines.text().len() as u64;
                if artifact == "file_hashes"
                    && let Some(plain) = &mut self.maker.lines
                {
                    plain.write_all(lines.text())?;
                }
                let part = self.part()?;
                part.records(&lines)?;
                if part.due() {
                    break;
                }
            }
            self.part()?.end_results()?;
            if next < count {
                self.seal(false)?;
            }
        }
        Ok(())
    }

    fn files(&mut self, count: u32) -> anyhow::Result<()> {
        for number in 0..count {
            let path = format!("/var/log/app-{}/log.{number}", number % 40);
            let entry = names::unix_entry(path.as_bytes());
            let text = format!("line {number} of a log that says little\n").repeat(20);
            let part = self.part()?;
            let stored = part.content(&entry, text.as_bytes())?;
            let mut record = FileRecord::new("logs", path.as_bytes(), FileType::File);
            record.entry = Some(entry);
            record.size_bytes = Some(stored.size_bytes);
            record.sha256 = Some(stored.sha256);
            record.times = Times {
                modified: Some(at(number)),
                accessed: Some(at(number / 2)),
                changed: Some(at(number)),
                created: None,
            };
            part.file(&record)?;
            if part.due() {
                self.seal(false)?;
            }
        }
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<Made> {
        self.seal(true)?;
        Ok(self.made)
    }

    fn seal(&mut self, last: bool) -> anyhow::Result<()> {
        self.part()?;
        let Some(part) = self.part.take() else {
            return Ok(());
        };
        self.made.parts += 1;
        let counts = part.counts();
        self.so_far = self.so_far.plus(counts);
        self.made.records += counts.records + counts.file_records + counts.gaps;
        let record = self.record(counts, last);
        let closing = Closing {
            collection: &record,
            order: b"",
            policy: b"",
        };
        let agent = AgentId::from_bytes(self.host);
        let chain = [seal::self_signed_seal(&self.maker.key, agent, NOW)?];
        let key = &self.maker.key;
        let sealed = part.seal(&closing, |sums| seal::sign(sums, key, &chain, NOW))?;
        sealed.inner.finish()?.flush()?;
        self.previous = Some(sealed.sha256);
        Ok(())
    }

    fn record(&self, counts: Counts, last: bool) -> CollectionRecord {
        let number = u32::from_be_bytes([self.host[0], self.host[1], self.host[2], self.host[3]]);
        CollectionRecord {
            v: VERSION,
            collection: CollectionId::from_bytes(self.host),
            agent: Some(AgentId::from_bytes(self.host)),
            host: Some(HostId::from_bytes(self.host)),
            order: None,
            order_sha256: None,
            policy_sha256: None,
            requester: None,
            signers: Vec::new(),
            case: Some("BENCH".to_owned()),
            host_identity: HostIdentity {
                hostname: format!("host-{number:04}.example.org"),
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
            part: self.made.parts,
            previous_sha256: self.previous,
            last,
            attempt: 1,
            ended_early: None,
            counts,
            counts_so_far: self.so_far,
            sandbox: String::new(),
            started: NOW,
            ended: NOW,
            unencrypted: false,
            refusals: Vec::new(),
            capture: None,
            dead_disk: None,
            field: None,
        }
    }
}

/// A digest like any other.
pub(crate) fn digest(number: u32) -> Digest {
    Digest::of(&number.to_be_bytes())
}

fn at(number: u32) -> Instant {
    Instant {
        seconds: NOW.seconds - i64::from(number % 40_000) * 601,
        ns: number.wrapping_mul(7_919) % 1_000_000_000,
    }
}

fn text(at: Instant) -> String {
    at.to_rfc3339().unwrap_or_default()
}

fn hash(number: u32) -> serde_json::Value {
    let (folder, name) = (number / 50, number % 50);
    json!({
        "path": format!("/usr/share/package-{}/modules/unit-{folder}/member_{name}.so", folder % 900),
        "type": "file", "size_bytes": 1_000 + number % 90_000, "allocated_bytes": 4_096 + number % 90_000,
        "mode": "100644", "uid": 0, "gid": 0, "links": 1, "device": "8:1", "inode": 1_000_000 + number,
        "accessed": text(at(number)), "modified": text(at(folder)), "changed": text(at(folder + 1)),
        "born": text(at(folder + 2)), "sha256": digest(number), "read_bytes": 1_000 + number % 90_000,
    })
}

fn process(number: u32) -> serde_json::Value {
    let maps: Vec<_> = (0..8)
        .map(|m| json!({"path": format!("/usr/lib/x86_64-linux-gnu/lib{m}.so.6"), "start": 4096 * m, "executable": true}))
        .collect();
    json!({
        "pid": number + 1, "ppid": number / 10, "name": format!("worker-{}", number % 100), "state": "S",
        "start_time": text(at(number)), "threads": 4, "user": "root", "uid_real": 0, "uid_effective": 0,
        "cmdline": ["/usr/bin/worker", format!("--shard={number}"), "--config", "/etc/worker.toml"],
        "cwd": "/", "exe": format!("/usr/bin/worker-{}", number % 100), "maps": maps,
        "open_files": [{"fd": 0, "target": "/dev/null"}, {"fd": 3, "target": format!("/var/log/worker-{number}.log")}],
    })
}

fn program(host: u32, number: u32) -> serde_json::Value {
    // Most are the same everywhere, one is on few hosts.
    let which = if number == 0 {
        1_000 + host / 5
    } else {
        number
    };
    json!({
        "exe": format!("/usr/sbin/daemon-{which}"), "device": 2_049, "inode": 5_000 + which,
        "size_bytes": 90_000 + which, "links": 1, "sha256": digest(which), "pids": [number + 1],
    })
}
