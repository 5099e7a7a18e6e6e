//! The promises, on the host that runs the tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::*;
use crate::artifacts::testing::MemorySink;

/// Ends a child when the test does, however it ends.
pub(super) struct Ended(pub(super) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn here(options: Value) -> MemorySink {
    MemorySink::run(&Processes, Path::new("/"), options)
}

pub(super) fn of(sink: &MemorySink, pid: u32) -> &super::super::Record {
    sink.records.iter().find(|r| r["pid"] == pid).unwrap()
}

#[test]
fn finds_itself_with_its_arguments_and_every_key_declared() {
    let sink = here(json!({"environment": true, "hidden_probe_ms": 0}));
    let me = of(&sink, std::process::id());
    let arguments: Vec<String> = std::env::args().collect();
    assert_eq!(me["cmdline"], json!(arguments));
    assert_eq!(me["exe_deleted"], false);
    assert_eq!(me["hidden"], false);
    assert!(me["environment"].as_array().is_some_and(|e| !e.is_empty()));
    assert!(me["start_time"].as_str().is_some_and(|t| t.ends_with('Z')));
    assert!(me["namespaces"]["net"].is_u64());
    assert_eq!(sink.undeclared(&Processes), Vec::<String>::new());
    let limit = sink.gaps.iter().find(|g| g.subject == "hidden processes");
    assert!(limit.is_some_and(|g| g.reason == Reason::Limit));
}

#[test]
fn environment_only_on_request() {
    let sink = here(json!({"hidden_probe_ms": 0}));
    assert!(!of(&sink, std::process::id()).contains_key("environment"));
}

#[test]
fn copies_a_deleted_program() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("sleep");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let mut start = Command::new(&program);
    let child = Ended(start.arg("60").stdout(Stdio::null()).spawn().unwrap());
    std::fs::remove_file(&program).unwrap();
    let pid = child.0.id();
    let sink = here(json!({"hidden_probe_ms": 0}));
    let record = of(&sink, pid);
    assert_eq!(record["exe_deleted"], true);
    let maps = record["maps"].as_array().unwrap();
    assert!(
        maps.iter()
            .any(|m| m["deleted"] == true && m["executable"] == true)
    );
    let name = format!("processes/{pid}.exe");
    let copy = sink.open_files.iter().find(|(n, _)| *n == name).unwrap();
    assert_eq!(copy.1, std::fs::read("/bin/sleep").unwrap());
}

#[test]
fn a_copy_over_the_limit_is_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("sleep");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let child = Ended(Command::new(&program).arg("60").spawn().unwrap());
    std::fs::remove_file(&program).unwrap();
    let sink = here(json!({"copy_file_bytes": 10, "hidden_probe_ms": 0}));
    let name = format!("processes/{}.exe", child.0.id());
    let gap = sink.gaps.iter().find(|g| g.subject == name).unwrap();
    assert_eq!(gap.reason, Reason::Limit);
}

#[test]
fn a_vanished_process_is_one_gap() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("proc/77")).unwrap();
    std::fs::write(root.path().join("proc/stat"), "btime 1\n").unwrap();
    let sink = MemorySink::run(&Processes, root.path(), json!({"hidden_probe_ms": 0}));
    let about: Vec<_> = sink
        .gaps
        .iter()
        .filter(|g| g.subject == "/proc/77")
        .collect();
    assert_eq!(about.len(), 1);
    assert_eq!(about[0].reason, Reason::Vanished);
    assert!(sink.records.is_empty());
}

#[test]
fn garbage_under_a_number_is_a_gap_not_a_panic() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("proc/5");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("stat"), b"\xff\xfe(((").unwrap();
    let sink = MemorySink::run(&Processes, root.path(), Value::Null);
    assert!(
        sink.gaps
            .iter()
            .any(|g| g.subject == "/proc/5" && g.reason == Reason::Malformed)
    );
}

#[test]
fn stops_when_told() {
    let mut sink = MemorySink::default();
    sink.stop_after = Some(1);
    let options = serde_json::Map::new();
    let request = Request {
        is_running: true,
        root: Path::new("/"),
        paths: &[],
        options: &options,
        own: &[],
        pace: &crate::files::Pace::free(),
        bounds: None,
    };
    assert_eq!(Processes.collect(&request, &mut sink), Err(Stopped));
}
