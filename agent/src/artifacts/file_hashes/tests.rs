//! What stands in a record of the walk, and what the walk does with hostile trees.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use evidence::gap::Reason;
use serde_json::Map;

use super::*;
use crate::{
    artifacts::{Record, testing::MemorySink},
    files::digest::Done,
    platform::names::OsStrExt as _,
};

fn run(root: &Path, options: Value) -> MemorySink {
    run_at(root, Path::new("/"), &options)
}

pub(super) fn run_at(root: &Path, path: &Path, options: &Value) -> MemorySink {
    let mut sink = MemorySink::default();
    let options = options.as_object().cloned().unwrap_or_default();
    let paths = [path.to_owned()];
    let request = Request {
        is_running: true,
        root,
        paths: &paths,
        options: &options,
        own: &[],
        pace: &Pace::free(),
        bounds: None,
    };
    FileHashes.collect(&request, &mut sink).unwrap();
    assert_eq!(sink.undeclared(&FileHashes), Vec::<String>::new());
    sink
}

/// The record that `done` becomes, and what was missed of it.
pub(super) fn record_of(done: Done<Entry>) -> (Record, Vec<Missed>) {
    let mut found = Found::default();
    Entry::end(done).put(&mut found);
    let record = serde_json::from_slice(found.lines.text()).unwrap();
    (record, found.missed)
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
    let (entry, file) = Entry::opened("/f".into(), opened);
    let (pace, stop) = (Pace::free(), AtomicBool::new(false));
    let mut digesting = Digesting::new(Wanted::default());
    digesting.add(entry, file, &stat, (&pace, &stop));
    let (record, missed) = record_of(digesting.next((&pace, &stop)).unwrap());
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
        is_running: true,
        root: tree.path(),
        paths: &[PathBuf::from("/")],
        options: &options,
        own: &[PathBuf::from("/out")],
        pace: &pace,
        bounds: None,
    };
    FileHashes.collect(&request, &mut sink).unwrap();
    assert_eq!(by_path(&sink).into_keys().collect::<Vec<_>>(), ["/kept"]);
}

#[test]
fn a_path_asked_for_and_missing_is_a_gap_under_its_exact_bytes() {
    let tree = tempfile::tempdir().unwrap();
    let paths = [PathBuf::from(OsStr::from_bytes(b"/nowhere\xff"))];
    let options = Map::new();
    let mut sink = MemorySink::default();
    let request = Request {
        is_running: true,
        root: tree.path(),
        paths: &paths,
        options: &options,
        own: &[],
        pace: &Pace::free(),
        bounds: None,
    };
    FileHashes.collect(&request, &mut sink).unwrap();
    assert_eq!(sink.gaps[0].reason, Reason::NotFound);
    assert_eq!(sink.gaps[0].exact, *paths[0]);
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
        is_running: true,
        root: tree.path(),
        paths: &paths,
        options: &options,
        own: &[],
        pace: &Pace::free(),
        bounds: None,
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
        is_running: true,
        root: Path::new("/"),
        paths: &paths,
        options: &options,
        own: &[],
        pace: &Pace::free(),
        bounds: None,
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
