//! The sink over a real spool half: what artifacts say ends in parts that the archive's reader accepts.

use std::{
    collections::HashMap,
    fs,
    io::{Cursor, Read as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    thread,
};

use evidence::{
    digest::Digest,
    gap::{Gap, Reason},
    ids::CollectionId,
    records::{CollectionRecord, FileRecord},
};
use serde_json::{Map, Value, json};

use super::{
    pipeline::Pipeline,
    port::LinkPort,
    progress::Terminal,
    seal::Seal,
    sink::PartSink,
    task::{Authority, Task},
};
use crate::{
    artifacts::Sink,
    config::Plan,
    courier::{local, room::Floor},
    link::Link,
    platform::socket,
};

/// A host's tree and an output folder, both temporary.
struct Fixture {
    host: tempfile::TempDir,
    output: tempfile::TempDir,
    part_bytes: u64,
}

impl Fixture {
    fn new() -> Self {
        Self {
            host: tempfile::tempdir().unwrap(),
            output: tempfile::tempdir().unwrap(),
            part_bytes: 1 << 30,
        }
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let at = self.host.path().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, bytes).unwrap();
    }

    fn plan(&self) -> Plan {
        Plan {
            root: self.host.path().to_path_buf(),
            profile: "test".into(),
            profile_sha256: Digest::of(b""),
            wanted: Vec::new(),
            paths: Vec::new(),
            limits: Default::default(),
            output: PathBuf::from("/own/output"),
            own: vec![PathBuf::from("/own/output")],
            background: false,
            recipients: Vec::new(),
            case: None,
            part_bytes: self.part_bytes,
        }
    }

    /// Lets `say` speak to a sink, seals, and opens all parts again.
    fn collect(&self, say: impl FnOnce(&mut PartSink<'_, '_>)) -> Vec<Part> {
        let (ours, theirs) = socket::pair().unwrap();
        let output = self.output.path().to_path_buf();
        let half = thread::spawn(move || local::serve(theirs, &output, Floor::NONE));
        let (plan, watch) = (self.plan(), Terminal::silent());
        let seal = Seal::for_run().unwrap();
        let id = CollectionId::from_bytes([7; 16]);
        let task = Task {
            plan: &plan,
            collection: id,
            seal,
            authority: Authority::default(),
            attempt: 1,
            position: None,
            sealing: None,
        };
        let port = LinkPort::greet(Link::new(ours)).unwrap();
        let mut pipeline = Pipeline::begin(task, &port, &watch).unwrap();
        let mut sink = PartSink::new(&mut pipeline, "test");
        say(&mut sink);
        sink.finish().unwrap();
        let done = pipeline.finish(None).unwrap();
        drop(port);
        half.join().unwrap().unwrap();
        let folder = self.output.path().join(id.to_string());
        (1..=done.parts.len())
            .map(|n| Part::open(&folder.join(format!("part-{n:04}.zip"))))
            .collect()
    }
}

/// A part, unpacked in memory.
struct Part(HashMap<String, Vec<u8>>);

impl Part {
    fn open(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let mut entries = HashMap::new();
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index).unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            entries.insert(entry.name().unwrap().into_owned(), content);
        }
        Self(entries)
    }

    fn lines<T: serde::de::DeserializeOwned>(&self, name: &str) -> Vec<T> {
        let text = self.0.get(name).map_or(&[][..], Vec::as_slice);
        serde_json::Deserializer::from_slice(text)
            .into_iter()
            .map(Result::unwrap)
            .collect()
    }

    fn record(&self) -> CollectionRecord {
        CollectionRecord::parse(&self.0["collection.json"]).unwrap()
    }

    fn file(&self, path: &str) -> FileRecord {
        let mut all = self.lines::<FileRecord>("files.jsonl").into_iter();
        all.find(|f| f.path == path).unwrap()
    }
}

fn record(n: u64) -> Map<String, Value> {
    let Value::Object(record) = json!({"n": n}) else {
        unreachable!()
    };
    record
}

#[test]
fn records_stream_and_files_named_meanwhile_follow() {
    let host = Fixture::new();
    host.put("etc/passwd", b"root:x:0:0");
    let parts = host.collect(|sink| {
        sink.record(record(1)).unwrap();
        sink.file(Path::new("/etc/passwd")).unwrap();
        sink.record(record(2)).unwrap();
    });
    assert_eq!(parts.len(), 1);
    let part = &parts[0];
    assert_eq!(part.lines::<Value>("results/test.jsonl").len(), 2);
    assert_eq!(part.0["fs/$rootfs$/etc/passwd"], b"root:x:0:0");
    let file = part.file("/etc/passwd");
    assert_eq!(file.sha256, Some(Digest::of(b"root:x:0:0")));
    assert!(!file.changed_while_read);
    assert!(part.0.contains_key("fs/$rootfs$/etc/"));
    assert_eq!(part.record().counts.gaps, 0);
    assert!(part.record().last);
}

#[test]
fn one_inode_is_stored_once_and_recorded_under_each_name() {
    let host = Fixture::new();
    host.put("a", b"same");
    fs::hard_link(host.host.path().join("a"), host.host.path().join("b")).unwrap();
    let parts = host.collect(|sink| {
        sink.file(Path::new("/a")).unwrap();
        sink.file(Path::new("/b")).unwrap();
    });
    let second = parts[0].file("/b");
    assert_eq!(second.hard_link_of.as_deref(), Some("fs/$rootfs$/a"));
    assert_eq!(second.entry, None);
    assert_eq!(parts[0].record().counts.files, 1);
}

#[test]
fn links_are_records_and_never_lead_out_of_the_root() {
    let host = Fixture::new();
    host.put("real", b"bytes");
    symlink("real", host.host.path().join("link")).unwrap();
    symlink("/../../../../etc/hostname", host.host.path().join("out")).unwrap();
    let parts = host.collect(|sink| {
        sink.file(Path::new("/link")).unwrap();
        sink.file(Path::new("/out")).unwrap();
    });
    let part = &parts[0];
    assert_eq!(part.file("/link").target.as_deref(), Some("/real"));
    assert_eq!(part.0["fs/$rootfs$/real"], b"bytes");
    assert!(!part.0.contains_key("fs/$rootfs$/etc/hostname"));
    assert_eq!(part.lines::<Gap>("gaps.jsonl").len(), 1);
}

#[test]
fn what_is_not_there_is_a_gap_and_never_an_empty_entry() {
    let host = Fixture::new();
    let parts = host.collect(|sink| sink.file(Path::new("/none")).unwrap());
    let gaps: Vec<Gap> = parts[0].lines("gaps.jsonl");
    assert_eq!(gaps[0].reason, Reason::NotFound);
    assert_eq!(gaps[0].subject, "/none");
    assert!(!parts[0].0.contains_key("fs/$rootfs$/none"));
}

#[test]
fn pipes_are_recorded_and_never_opened() {
    let host = Fixture::new();
    let fifo = host.host.path().join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let parts = host.collect(|sink| sink.file(Path::new("/fifo")).unwrap());
    assert!(parts[0].file("/fifo").why_no_entry.is_some());
}

#[test]
fn a_file_larger_than_a_part_is_stored_in_pieces_that_join() {
    let mut host = Fixture::new();
    host.part_bytes = 4 << 20;
    // Random, so that it doesn't compress into one part.
    let mut bytes = vec![0; 7 << 20];
    getrandom::fill(&mut bytes).unwrap();
    host.put("big", &bytes);
    let parts = host.collect(|sink| sink.file(Path::new("/big")).unwrap());
    assert!(parts.len() > 1);
    let mut joined = Vec::new();
    let mut whole = None;
    for part in &parts {
        for line in part.lines::<FileRecord>("files.jsonl") {
            for piece in &line.pieces {
                assert_eq!(piece.offset_bytes, joined.len() as u64);
                joined.extend_from_slice(&part.0[&piece.entry]);
                whole = line.sha256;
            }
        }
    }
    assert!(joined == bytes);
    assert_eq!(whole, Some(Digest::of(&bytes)));
    let lasts: Vec<bool> = parts.iter().map(|p| p.record().last).collect();
    assert_eq!(lasts.iter().filter(|l| **l).count(), 1);
    assert_eq!(lasts.last(), Some(&true));
}

#[test]
fn own_output_is_never_collected() {
    let host = Fixture::new();
    host.put("own/output/part-0001.zip", b"ours");
    let parts = host.collect(|sink| {
        let path = Path::new("/own/output/part-0001.zip");
        sink.file(path).unwrap();
    });
    assert_eq!(parts[0].record().counts.files, 0);
}
