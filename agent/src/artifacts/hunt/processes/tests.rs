//! What a hunt for processes finds on the running host, and when it refuses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Child, Command},
};

use serde_json::json;

use super::*;
use crate::artifacts::testing::MemorySink;

/// A process of the test's own, ended when dropped.
struct Sleeper(Child);

impl Sleeper {
    /// `sleep`, copied under `name` and run with an argument by which it is known.
    fn start(folder: &Path, name: &str, seconds: &str) -> Self {
        let program = folder.join(name);
        let mut tries = 0;
        std::fs::copy("/bin/sleep", &program).unwrap();
        loop {
            match Command::new(&program).arg(seconds).spawn() {
                Ok(child) => return Self(child),
                // Another test's fork may hold the new file open for writing for a moment.
                Err(_) if tries < 50 => tries += 1,
                Err(error) => panic!("{error}"),
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn pid(&self) -> u64 {
        self.0.id().into()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(mut options: Value) -> MemorySink {
    options["hidden_probe_ms"] = 0.into();
    let sink = MemorySink::run(&HuntProcesses, Path::new("/"), options);
    assert_eq!(sink.undeclared(&HuntProcesses), Vec::<String>::new());
    sink
}

fn pids(sink: &MemorySink) -> BTreeSet<u64> {
    sink.records
        .iter()
        .map(|r| r["pid"].as_u64().unwrap())
        .collect()
}

fn digest(path: &Path) -> String {
    use sha2::Digest as _;
    let bytes = std::fs::read(path).unwrap();
    data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(bytes))
}

#[test]
fn finds_a_process_by_each_criterion_and_by_all() {
    let folder = tempfile::tempdir().unwrap();
    let name = "quite-a-long-name-of-a-sleeper";
    let sleeper = Sleeper::start(folder.path(), name, "31.4159");
    let program = folder.path().join(name);
    let pattern = format!("{}/q*", folder.path().display());
    let all = json!({
        "names": [name],
        "executables": [pattern],
        "command_lines": [" 31.4159"],
        "command_line_globs": ["*/quite-* 31.*"],
    });
    let singles = all.as_object().unwrap().iter();
    let singles = singles.map(|(option, value)| json!({option.as_str(): value}));
    for options in singles.chain([all.clone()]) {
        let sink = run(options.clone());
        assert!(pids(&sink).contains(&sleeper.pid()), "{options}");
    }
    let mut with_content = all.clone();
    with_content["sha256"] = json!(&digest(&program)[..16]);
    let sink = run(with_content);
    assert_eq!(pids(&sink), BTreeSet::from([sleeper.pid()]));
    let hit = &sink.records[0];
    assert_eq!(hit["sha256"], digest(&program));
    assert_eq!(hit["matched"].as_array().unwrap().len(), 5);
    let mut other = all;
    other["sha256"] = json!("0".repeat(64));
    assert!(run(other).records.is_empty());
}

#[test]
fn a_deleted_program_is_found_by_content_and_by_where_it_lay() {
    let folder = tempfile::tempdir().unwrap();
    let sleeper = Sleeper::start(folder.path(), "gone-soon", "27.1828");
    let program = folder.path().join("gone-soon");
    let sha256 = digest(&program);
    std::fs::remove_file(&program).unwrap();
    let path = program.to_str().unwrap();
    let sink = run(json!({"executables": [path], "command_lines": ["27.1828"]}));
    assert_eq!(pids(&sink), BTreeSet::from([sleeper.pid()]));
    assert_eq!(sink.records[0]["exe_deleted"], true);
    let sink = run(json!({"sha256": sha256, "command_lines": ["27.1828"]}));
    assert_eq!(pids(&sink), BTreeSet::from([sleeper.pid()]));
    // Records only: the program itself is for an order of another class.
    assert!(sink.open_files.is_empty() && sink.files.is_empty());
}

#[test]
fn every_declared_field_is_told_of_some_process() {
    let folder = tempfile::tempdir().unwrap();
    let _sleeper = Sleeper::start(folder.path(), "told", "16.1803");
    let name = std::fs::read_to_string("/proc/self/comm").unwrap();
    let content = digest(&folder.path().join("told"));
    let md5 = "0".repeat(32);
    let sha1 = "0".repeat(40);
    let hit = run(json!({"sha256": content, "md5": md5, "sha1": sha1, "ignore_case": true}));
    let mine = run(json!({"names": [name.trim_end()]}));
    let records = hit.records.iter().chain(&mine.records);
    let told: BTreeSet<&String> = records.flat_map(|r| r.keys()).collect();
    let silent = HuntProcesses.fields().iter().map(|f| f.name);
    // Names that are no UTF-8 take a process that has such.
    let silent = silent.filter(|f| !f.ends_with("_b64") && !told.iter().any(|t| t == f));
    assert_eq!(silent.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn criteria_that_can_not_be_read_find_nothing_and_say_so() {
    for options in [
        json!({}),
        json!({"names": []}),
        json!({"names": ["a/b"]}),
        json!({"sha256": "12"}),
        json!({"command_lines": [""]}),
        json!({"executables": ["{a"]}),
        json!({"pids": [1]}),
    ] {
        let sink = run(options.clone());
        assert!(sink.records.is_empty(), "{options}");
        assert_eq!(sink.gaps.len(), 1, "{options}");
        assert_eq!(sink.gaps[0].reason, Reason::Malformed, "{options}");
    }
}

#[test]
fn more_hits_than_are_told_are_a_gap() {
    let sink = run(json!({"executables": ["*"], "hits": 1}));
    assert_eq!(sink.records.len(), 1);
    let is_limit = |g: &crate::artifacts::testing::SeenGap| g.subject == "hits";
    assert!(sink.gaps.iter().any(is_limit), "{:?}", sink.gaps);
}

#[test]
fn a_name_that_is_no_text_is_compared_by_its_bytes() {
    let mut record = Record::new();
    crate::artifacts::source::put_bytes(&mut record, "cmdline", b"a\0b\xff\0");
    assert_eq!(command_line(&record), b"a b\xff");
    crate::artifacts::source::put_bytes(&mut record, "exe", b"/x/\xffe (deleted)");
    let options = json!({"executables": ["/x/?e"]});
    let options = Options::of(&HuntProcesses, options.as_object().unwrap());
    let criteria = options.and_then(Criteria::read).unwrap();
    assert!(criteria.cheap(&record).is_some());
}
