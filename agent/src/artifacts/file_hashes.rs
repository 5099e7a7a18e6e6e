//! File hashes: a walk of the roots asked for; every entry with all its times, owner, mode and extended attributes,
//! and SHA-256 (on request MD5 and SHA-1) of each regular file, read once on the walking threads.
//!
//! The agent's own folders are left out.

use std::{ffi::CString, fs::File, path::PathBuf, sync::atomic::AtomicBool};

use data_encoding::BASE64;
use evidence::gap::Reason;
use serde_json::{Map, Value};

use super::{Artifact, Class, Field, OptionField, OptionKind, Record, Request, Sink, Stopped};
use crate::files::{
    Pace,
    digest::{Digesting, Digests, Done, Wanted, shrank},
    open::{Folder, Opened, open_parent, reason_of},
    record::{STAT_FIELDS, field, put_bytes, put_path, put_stat, put_time, text_of},
    stat::{Kind, Stat},
    walk::{Missed, Scope, Visit, walk},
    xattrs::{self, Attribute},
};
use crate::platform::names::OsStrExt as _;

/// Two threads reach all that two cores can hash; more are for the profile to ask.
const THREADS: usize = 2;

const OWN_FIELDS: &[Field] = &[
    field(
        "xattrs",
        "object",
        "extended attributes: name to value in base64",
    ),
    field(
        "xattrs_b64",
        "object",
        "those whose name is not UTF-8: the name's exact bytes in base64 to the value in base64",
    ),
    field("target", "string", "where a link points"),
    field(
        "target_b64",
        "string, base64",
        "its exact bytes, where the text isn't they",
    ),
    field(
        "sha256",
        "string, hex",
        "SHA-256 of the contents, as they were read",
    ),
    field("md5", "string, hex", "MD5 of the same, on request"),
    field("sha1", "string, hex", "SHA-1 of the same, on request"),
    field(
        "data_sha256",
        "string, hex",
        "in place of sha256 for a large sparse file: SHA-256 over its data extents, without the holes",
    ),
    field("data_md5", "string, hex", "MD5 of the same, on request"),
    field("data_sha1", "string, hex", "SHA-1 of the same, on request"),
    field(
        "extents",
        "array of [offset, length], bytes",
        "the data extents of a large sparse file; none where it is one hole, which has no digest",
    ),
    field(
        "extents_cut",
        "boolean",
        "more extents than the record lists; the digest covers all",
    ),
    field(
        "read_bytes",
        "integer, bytes",
        "bytes that went into the digest",
    ),
    field(
        "growth_cut",
        "boolean",
        "the file grew faster than it was followed",
    ),
    field(
        "shrank_while_read",
        "boolean",
        "the file was cut while it was read: the digest is of what was there, and a gap says so",
    ),
    field(
        "changed_while_read",
        "boolean",
        "size, mtime or ctime differ after the read",
    ),
    field(
        "size_after_bytes",
        "integer, bytes",
        "length after the read, where it changed",
    ),
    field(
        "modified_after",
        "string, RFC 3339",
        "mtime after the read, where it changed",
    ),
    field(
        "changed_after",
        "string, RFC 3339",
        "ctime after the read, where it changed",
    ),
    field(
        "atime_kept",
        "boolean",
        "false where the read may have moved the access time",
    ),
];

const FIELDS: [Field; STAT_FIELDS.len() + OWN_FIELDS.len()] = {
    let mut all = [STAT_FIELDS[0]; STAT_FIELDS.len() + OWN_FIELDS.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < STAT_FIELDS.len() {
            STAT_FIELDS[at]
        } else {
            OWN_FIELDS[at - STAT_FIELDS.len()]
        };
        at += 1;
    }
    all
};

/// The artifact.
#[derive(Debug)]
pub struct FileHashes;

const OPTIONS: &[OptionField] = &[
    OptionField {
        name: "md5",
        kind: OptionKind::Flag,
        about: "MD5 of every file, too",
    },
    OptionField {
        name: "sha1",
        kind: OptionKind::Flag,
        about: "SHA-1 of every file, too",
    },
    OptionField {
        name: "other_file_systems",
        kind: OptionKind::Flag,
        about: "enter distant file systems and overlays below the paths",
    },
    OptionField {
        name: "sparse_limit_bytes",
        kind: OptionKind::Number,
        about: "a longer sparse file is digested by its data extents, under names of their own; 1 GiB",
    },
    OptionField {
        name: "threads",
        kind: OptionKind::Number,
        about: "walking threads, 1 to 16; 2",
    },
];

impl Artifact for FileHashes {
    fn name(&self) -> &'static str {
        "file_hashes"
    }

    fn about(&self) -> &'static str {
        "Hashes, times and owners of every file below the given paths."
    }

    fn class(&self) -> Class {
        Class::Triage
    }

    fn walks(&self) -> bool {
        true
    }

    fn options(&self) -> &'static [OptionField] {
        OPTIONS
    }

    fn fields(&self) -> &'static [Field] {
        &FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        let flag = |name| request.options.get(name).and_then(Value::as_bool) == Some(true);
        let number = |name| request.options.get(name).and_then(Value::as_u64);
        let wanted = Wanted {
            md5: flag("md5"),
            sha1: flag("sha1"),
            sparse_limit_bytes: number("sparse_limit_bytes")
                .unwrap_or(Wanted::default().sparse_limit_bytes),
        };
        let scope = Scope {
            other_file_systems: flag("other_file_systems"),
            excluded: excluded(request),
            threads: number("threads").map_or(THREADS, |n| n.clamp(1, 16) as usize),
        };
        walk(
            request.root,
            request.paths,
            &scope,
            &Hash {
                wanted,
                pace: request.pace,
            },
            |outcome| {
                for Missed { path, reason, text } in outcome.missed {
                    sink.gap(&text_of(&path), reason, &text)?;
                }
                outcome.record.map_or(Ok(()), |record| sink.record(record))
            },
        )
    }
}

/// Identities of the folders to leave out; what isn't there excludes nothing.
fn excluded(request: &Request<'_>) -> Vec<(u64, u64)> {
    request
        .own
        .iter()
        .filter_map(|path| {
            let (folder, name) = open_parent(request.root, path).ok()?;
            Some(folder.look(&name).ok()?.identity())
        })
        .collect()
}

struct Hash<'a> {
    wanted: Wanted,
    pace: &'a Pace,
}

#[derive(Default)]
struct Outcome {
    record: Option<Record>,
    missed: Vec<Missed>,
}

impl Visit for Hash<'_> {
    type Outcome = Outcome;
    type Hand = Digesting<Entry>;

    fn hand(&self) -> Self::Hand {
        Digesting::new(self.wanted)
    }

    fn visit(
        &self,
        hand: &mut Self::Hand,
        (folder, name, stat): (&Folder, &CString, &Stat),
        stop: &AtomicBool,
        done: &mut Vec<Outcome>,
    ) {
        let mut entry = Entry::new(folder.path_of(name), stat);
        match stat.kind {
            Kind::File => match folder.open(name, stat) {
                Ok(opened) => {
                    let file = entry.begin(opened);
                    let before = entry.before;
                    let ended = hand.add(entry, file, &before, (self.pace, stop));
                    done.extend(ended.map(Entry::end));
                    return;
                }
                Err(error) => {
                    put_stat(&mut entry.record, stat);
                    let missed = Missed::from_error(entry.path.clone(), &error);
                    entry.missed.push(missed);
                }
            },
            Kind::Link => {
                put_stat(&mut entry.record, stat);
                match folder.target(name) {
                    Ok(target) => put_bytes(&mut entry.record, "target", target.as_bytes()),
                    Err(error) => {
                        let missed = Missed::from_error(entry.path.clone(), &error);
                        entry.missed.push(missed);
                    }
                }
            }
            _ => put_stat(&mut entry.record, stat),
        }
        done.push(entry.outcome());
    }

    fn finish(&self, hand: &mut Self::Hand, stop: &AtomicBool, done: &mut Vec<Outcome>) {
        let ended = std::iter::from_fn(|| hand.next((self.pace, stop)));
        done.extend(ended.map(Entry::end));
    }

    fn missed(&self, missed: Missed) -> Outcome {
        Outcome {
            record: None,
            missed: vec![missed],
        }
    }
}

/// An entry that was found; its digests may be under way.
struct Entry {
    path: PathBuf,
    record: Record,
    missed: Vec<Missed>,
    /// What it was when opened.
    before: Stat,
}

impl Entry {
    fn new(path: PathBuf, listed: &Stat) -> Self {
        let mut record = Map::new();
        put_path(&mut record, &path);
        Self {
            path,
            record,
            missed: Vec::new(),
            before: *listed,
        }
    }

    fn outcome(self) -> Outcome {
        Outcome {
            record: Some(self.record),
            missed: self.missed,
        }
    }

    /// Notes all but what the read tells.
    fn begin(&mut self, opened: Opened) -> File {
        let Opened {
            file,
            before,
            keeps_atime,
        } = opened;
        put_stat(&mut self.record, &before);
        self.put("atime_kept", keeps_atime);
        match xattrs::read(&file) {
            Ok(found) => self.put_xattrs(found),
            Err(e) => self.miss(
                reason_of(e),
                format!("Its extended attributes can't be read: {e}."),
            ),
        }
        self.before = before;
        file
    }

    /// By name; those whose name is no text stand beside the others under its exact bytes.
    fn put_xattrs(&mut self, found: Vec<Attribute>) {
        let (mut named, mut exact) = (Map::new(), Map::new());
        for Attribute { name, value } in found {
            let value = BASE64.encode(&value);
            match String::from_utf8(name) {
                Ok(name) => named.insert(name, value.into()),
                Err(name) => exact.insert(BASE64.encode(name.as_bytes()), value.into()),
            };
        }
        for (key, found) in [("xattrs", named), ("xattrs_b64", exact)] {
            if !found.is_empty() {
                self.put(key, found);
            }
        }
    }

    fn end(done: Done<Self>) -> Outcome {
        let mut entry = done.what;
        let mut cut_at = None;
        match done.outcome {
            Ok(digests) => {
                cut_at = digests.ended_early.then_some(digests.read_bytes);
                entry.put_digests(digests);
            }
            Err(error) => entry.miss(Reason::ReadError, error.to_string()),
        }
        match Stat::of_open(&done.file) {
            Ok(after) => entry.put_change(&after, cut_at),
            Err(e) => entry.miss(
                reason_of(e),
                format!("It can't be looked at after the read: {e}."),
            ),
        }
        entry.outcome()
    }

    fn put_digests(&mut self, digests: Digests) {
        self.put("read_bytes", digests.read_bytes);
        // What is not the digest of the contents never has that name; that of no data would be an empty file's.
        let names = match &digests.extents {
            None => Some(["sha256", "md5", "sha1"]),
            Some(found) if found.is_empty() => None,
            Some(_) => Some(["data_sha256", "data_md5", "data_sha1"]),
        };
        let found = [Some(digests.sha256.to_string()), digests.md5, digests.sha1];
        for (name, digest) in names.into_iter().flatten().zip(found) {
            if let Some(digest) = digest {
                self.put(name, digest);
            }
        }
        if let Some(extents) = digests.extents {
            self.put("extents", serde_json::json!(extents));
            self.put("extents_cut", digests.extents_cut);
        }
        if digests.growth_cut {
            self.put("growth_cut", true);
            self.miss(
                Reason::Limit,
                "It grew while it was read; the end is missing.".to_owned(),
            );
        }
    }

    fn put_change(&mut self, after: &Stat, cut_at: Option<u64>) {
        let has_changed = self.before.has_changed(after);
        // Where nothing changed, the system claimed more than there ever was (sysfs does).
        if let Some(read_bytes) = cut_at.filter(|_| has_changed) {
            self.put("shrank_while_read", true);
            self.miss(
                Reason::ReadError,
                shrank(self.before.size_bytes, read_bytes),
            );
        }
        self.put("changed_while_read", has_changed);
        if has_changed {
            self.put("size_after_bytes", after.size_bytes);
            put_time(&mut self.record, "modified_after", after.modified);
            put_time(&mut self.record, "changed_after", after.changed);
        }
    }

    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.record.insert(name.to_owned(), value.into());
    }

    fn miss(&mut self, reason: Reason, text: String) {
        let path = self.path.clone();
        self.missed.push(Missed { path, reason, text });
    }
}

#[cfg(all(test, target_os = "linux"))]
mod places_tests;

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        ffi::OsStr,
        fs::{self, File},
        os::unix::fs::symlink,
        path::Path,
    };

    use super::*;
    use crate::artifacts::testing::MemorySink;

    fn run(root: &Path, options: Value) -> MemorySink {
        run_at(root, Path::new("/"), &options)
    }

    pub(super) fn run_at(root: &Path, path: &Path, options: &Value) -> MemorySink {
        let mut sink = MemorySink::default();
        let options = options.as_object().cloned().unwrap_or_default();
        let paths = [path.to_owned()];
        let request = Request {
            root,
            paths: &paths,
            options: &options,
            own: &[],
            pace: &Pace::free(),
        };
        FileHashes.collect(&request, &mut sink).unwrap();
        assert_eq!(sink.undeclared(&FileHashes), Vec::<String>::new());
        sink
    }

    fn by_path(sink: &MemorySink) -> BTreeMap<String, &Record> {
        let path = |r: &Record| r["path"].as_str().unwrap().to_owned();
        sink.records.iter().map(|r| (path(r), r)).collect()
    }

    #[test]
    fn hashes_a_file_three_ways() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("abc"), "abc").unwrap();
        let sink = run(tree.path(), serde_json::json!({"md5": true, "sha1": true}));
        let record = by_path(&sink)["/abc"];
        assert_eq!(
            record["sha256"],
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(record["md5"], "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(record["sha1"], "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(record["changed_while_read"], false);
        assert!(record["born"].as_str().is_some_and(|t| t.ends_with('Z')));
        assert!(sink.gaps.is_empty());
    }

    #[test]
    fn hostile_names_keep_their_bytes() {
        let tree = tempfile::tempdir().unwrap();
        for name in [&b"a\nb"[..], b"\xff\xfe", b"\x1b[31m", b"%41;1"] {
            fs::write(tree.path().join(OsStr::from_bytes(name)), name).unwrap();
        }
        let sink = run(tree.path(), Value::Null);
        let found = by_path(&sink);
        assert!(found.contains_key("/a\nb") && found.contains_key("/\x1b[31m"));
        let raw = sink.records.iter().find_map(|r| r.get("path_b64")).unwrap();
        assert_eq!(raw, &data_encoding::BASE64.encode(b"/\xff\xfe"));
    }

    #[test]
    fn links_pipes_and_sockets_are_recorded_never_opened() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("d")).unwrap();
        symlink("..", tree.path().join("d/loop")).unwrap();
        symlink("/etc/passwd", tree.path().join("out")).unwrap();
        let fifo = tree.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(tree.path().join("s")).unwrap();
        let sink = run(tree.path(), Value::Null);
        let found = by_path(&sink);
        assert_eq!(found.len(), 5);
        assert_eq!(found["/d/loop"]["target"], "..");
        assert_eq!(found["/out"]["type"], "link");
        assert_eq!(found["/fifo"]["type"], "fifo");
        assert_eq!(found["/s"]["type"], "socket");
        assert!(sink.records.iter().all(|r| !r.contains_key("sha256")));
        assert!(sink.gaps.is_empty());
    }

    #[test]
    fn a_sparse_terabyte_is_digested_by_its_extents() {
        let tree = tempfile::tempdir().unwrap();
        let mut file = File::create(tree.path().join("sparse")).unwrap();
        std::io::Write::write_all(&mut file, b"head").unwrap();
        file.set_len(1 << 40).unwrap();
        drop(file);
        let sink = run(tree.path(), Value::Null);
        let record = by_path(&sink)["/sparse"];
        assert_eq!(record["size_bytes"], 1_u64 << 40);
        assert!(record.contains_key("data_sha256") && !record.contains_key("sha256"));
        assert!(record["read_bytes"].as_u64().unwrap() < 1 << 20);
        assert_eq!(record["extents"][0][0], 0);
    }

    #[test]
    fn a_terabyte_of_hole_has_no_digest_that_an_empty_file_has_too() {
        let tree = tempfile::tempdir().unwrap();
        let file = File::create(tree.path().join("hole")).unwrap();
        file.set_len(1 << 40).unwrap();
        let sink = run(tree.path(), serde_json::json!({"md5": true}));
        let record = by_path(&sink)["/hole"];
        let is_digest = |name: &&String| name.contains("sha256") || name.contains("md5");
        assert_eq!(record.keys().find(is_digest), None);
        assert_eq!(record["extents"], serde_json::json!([]));
    }

    #[test]
    fn a_file_that_shrank_while_it_was_read_is_a_gap_and_marked() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("f");
        fs::write(&path, vec![1; 100_000]).unwrap();
        let (folder, name) = open_parent(tree.path(), Path::new("/f")).unwrap();
        let stat = folder.look(&name).unwrap();
        let opened = folder.open(&name, &stat).unwrap();
        fs::write(&path, "short").unwrap();
        let mut entry = Entry::new("/f".into(), &stat);
        let file = entry.begin(opened);
        let (pace, stop) = (Pace::free(), AtomicBool::new(false));
        let mut digesting = Digesting::new(Wanted::default());
        digesting.add(entry, file, &stat, (&pace, &stop));
        let Outcome { record, missed } = Entry::end(digesting.next((&pace, &stop)).unwrap());
        let record = record.unwrap();
        assert_eq!(record["shrank_while_read"], true);
        assert_eq!(record["changed_while_read"], true);
        assert_eq!(missed[0].reason, Reason::ReadError);
        assert!(missed[0].text.contains("100000"));
    }

    #[test]
    fn many_files_on_both_threads_come_once_each() {
        let tree = tempfile::tempdir().unwrap();
        for folder in 0..20 {
            let folder = tree.path().join(format!("d{folder}/x/y"));
            fs::create_dir_all(&folder).unwrap();
            for file in 0..100 {
                fs::write(folder.join(format!("{file}")), format!("{file}")).unwrap();
            }
        }
        let sink = run(tree.path(), Value::Null);
        assert_eq!(sink.records.len(), 20 * 3 + 2000);
        assert_eq!(by_path(&sink).len(), sink.records.len());
    }

    #[test]
    fn own_output_is_left_out() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("out")).unwrap();
        fs::write(tree.path().join("out/part"), "x").unwrap();
        fs::write(tree.path().join("kept"), "x").unwrap();
        let (options, pace) = (Map::new(), Pace::free());
        let mut sink = MemorySink::default();
        let request = Request {
            root: tree.path(),
            paths: &[PathBuf::from("/")],
            options: &options,
            own: &[PathBuf::from("/out")],
            pace: &pace,
        };
        FileHashes.collect(&request, &mut sink).unwrap();
        assert_eq!(by_path(&sink).into_keys().collect::<Vec<_>>(), ["/kept"]);
    }

    #[test]
    fn a_path_asked_for_and_missing_is_a_gap() {
        let tree = tempfile::tempdir().unwrap();
        let paths = [PathBuf::from("/nowhere")];
        let options = Map::new();
        let mut sink = MemorySink::default();
        let request = Request {
            root: tree.path(),
            paths: &paths,
            options: &options,
            own: &[],
            pace: &Pace::free(),
        };
        FileHashes.collect(&request, &mut sink).unwrap();
        assert_eq!(sink.gaps[0].reason, Reason::NotFound);
    }

    #[test]
    fn stops_when_told() {
        let tree = tempfile::tempdir().unwrap();
        for file in 0..3000 {
            fs::write(tree.path().join(format!("{file}")), "x").unwrap();
        }
        let mut sink = MemorySink::default();
        sink.stop_after = Some(3);
        let paths = [PathBuf::from("/")];
        let options = Map::new();
        let request = Request {
            root: tree.path(),
            paths: &paths,
            options: &options,
            own: &[],
            pace: &Pace::free(),
        };
        assert_eq!(FileHashes.collect(&request, &mut sink), Err(Stopped));
        assert_eq!(sink.records.len(), 3);
    }

    #[test]
    fn proc_is_never_walked() {
        let mut sink = MemorySink::default();
        let paths = [PathBuf::from("/proc")];
        let options = Map::new();
        let request = Request {
            root: Path::new("/"),
            paths: &paths,
            options: &options,
            own: &[],
            pace: &Pace::free(),
        };
        FileHashes.collect(&request, &mut sink).unwrap();
        assert_eq!(sink.gaps.len(), 1);
        assert_eq!(sink.gaps[0].reason, Reason::OtherFileSystem);
        assert_eq!(sink.records.len(), 1);
    }

    #[test]
    fn a_tree_that_is_pulled_away_ends_in_gaps_not_in_panic() {
        let tree = tempfile::tempdir().unwrap();
        for folder in 0..200 {
            let folder = tree.path().join(format!("t/d{folder}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("f"), vec![1; 100_000]).unwrap();
        }
        let root = tree.path().to_owned();
        let swap = std::thread::spawn(move || {
            for folder in (0..200).rev() {
                let folder = root.join(format!("t/d{folder}"));
                fs::remove_dir_all(&folder).unwrap();
                symlink("/etc", &folder).unwrap();
            }
        });
        let sink = run(tree.path(), Value::Null);
        swap.join().unwrap();
        let outside = |r: &Record| r["path"].as_str().unwrap().ends_with("passwd");
        assert!(!sink.records.iter().any(outside));
    }
}
