//! An order as it runs: its numbers and its log are followed by the real programs, across new starts of server
//! and agent, and the server can't read a line.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use fieldseal_tests::{args, stage::Stage};
use serde_json::Value;

const MIB: usize = 1 << 20;
/// At so many bytes a second it takes half a minute.
const FILES: usize = 30;

fn quiet(_: &str) {}

/// Waits for a condition, and fails when it does not come.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        let is_late = start.elapsed() > Duration::from_secs(180);
        assert!(!is_late, "{what}: it did not come to that");
        thread::sleep(Duration::from_millis(20));
    }
}

fn objects(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What the agent says in the lines of a log.
fn messages(lines: &[Value]) -> Vec<String> {
    let said = lines
        .iter()
        .filter_map(|line| line["said"]["message"].as_str());
    said.map(str::to_owned).collect()
}

/// A collection that reads a file a second, handed in.
fn order_slow(stage: &Stage, dir: &Path) -> String {
    let tree = dir.join("tree");
    fs::create_dir(&tree).unwrap();
    for n in 0..FILES {
        fs::write(tree.join(format!("{n:03}")), vec![n as u8; MIB]).unwrap();
    }
    let profile = dir.join("slow.yaml");
    let text = format!(
        "v: 1\nname: slow\nabout: Slowly\nartifacts:\n- name: accounts\n- name: file_hashes\n\
         paths: [{}, /no/such/path]\nlimits: {{io_bytes_per_second: {MIB}, wall_seconds: 600}}\n",
        tree.display()
    );
    fs::write(&profile, text).unwrap();
    let arguments = args![
        "collect",
        "--where",
        "label=live",
        "--profile",
        profile,
        "--case",
        "C",
        "--reason",
        "r",
        "--json"
    ];
    let ordered = stage.fieldseal(&arguments).unwrap();
    assert_eq!(ordered.code, 0, "{ordered:?}");
    let last: Value = serde_json::from_str(ordered.out.lines().last().unwrap()).unwrap();
    last["order"].as_str().unwrap().to_owned()
}

/// A deployment whose agent works on a slow order, and that order.
fn ordered(dir: &Path) -> (Stage, String) {
    let people: [(&str, &str, &[&str]); 1] = [("ann", "Ann Example", &["investigator", "admin"])];
    let mut stage = Stage::deployed(&dir.join("stage"), quiet, &people, &[], "live").unwrap();
    stage.run_agent().unwrap();
    let order = order_slow(&stage, dir);
    (stage, order)
}

/// Whether this text stands in any of the server's files.
fn server_holds(stage: &Stage, text: &str) -> bool {
    let mut folders: Vec<PathBuf> = vec![stage.path("server")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap_or_default();
            if bytes.windows(text.len()).any(|w| w == text.as_bytes()) {
                return true;
            }
        }
    }
    false
}

#[test]
fn lines_come_while_it_runs_and_go_on_after_a_new_start_of_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let (mut stage, order) = ordered(dir.path());
    let (log, news) = (dir.path().join("log.jsonl"), dir.path().join("news.jsonl"));
    let arguments = args!["log", order, "--follow", "--json"];
    let _following = stage.fieldseal_beside(&arguments, &log).unwrap();
    let arguments = args!["watch", order, "--json"];
    let _watching = stage.fieldseal_beside(&arguments, &news).unwrap();
    let says = |text: &str| messages(&objects(&log)).iter().any(|m| m.starts_with(text));
    until("the walk has begun", || says("file_hashes begins"));
    assert!(says("the collection begins") && says("accounts took "));
    until("the gap is told", || {
        objects(&log)
            .iter()
            .any(|line| line["said"]["reason"] == "not_found")
    });
    // It is at it still, and so says what is left: no more than the limit on time.
    let host = |at: &Path| objects(at).last().map(|view| view["hosts"][0].clone());
    assert_eq!(host(&news).unwrap()["state"], "running");
    until("the rest is told", || {
        host(&news).is_some_and(|h| h["progress"]["rest"]["bound"] == "at_most")
    });
    assert!(!says("file_hashes took"), "it was over too soon");

    stage.kill_server().unwrap();
    stage.serve().unwrap();
    until("the end is told", || says("the collection ends"));
    assert!(says("file_hashes took "));
    until("who watches hears of the end", || {
        objects(&news)
            .last()
            .is_some_and(|view| view["settled"] == true)
    });
    assert_eq!(host(&news).unwrap()["state"], "delivered");

    // The same again from the beginning, and nothing is missing or false.
    let again = stage.fieldseal(&args!["log", order, "--json"]).unwrap();
    assert_eq!(again.code, 0, "{again:?}");
    let lines: Vec<Value> = again
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(messages(&lines), messages(&objects(&log)));
    assert!(!server_holds(&stage, "file_hashes begins"));
    let audit = stage.fieldseal(&args!["audit"]).unwrap();
    let told = audit.out.matches("the live log of ").count();
    assert_eq!((audit.code, told), (0, 1), "{audit:?}");
}

#[test]
fn who_follows_hears_on_after_a_new_start_of_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    let (mut stage, order) = ordered(dir.path());
    let news = dir.path().join("news.jsonl");
    let arguments = args!["watch", order, "--json"];
    let watching = stage.fieldseal_beside(&arguments, &news).unwrap();
    let host = || objects(&news).last().map(|view| view["hosts"][0].clone());
    until("files are read", || {
        host().is_some_and(|h| h["progress"]["files"].as_u64() > Some(1))
    });
    stage.stop_agent().unwrap();
    let before = host().unwrap();
    stage.run_agent().unwrap();
    until("the order goes on", || host() != Some(before.clone()));
    // The path that is not there is a gap, and so is what the stop has cut.
    assert_eq!(watching.finish().unwrap(), 2);
    let last = host().unwrap();
    assert_eq!(last["state"], "delivered", "{last}");
    assert_eq!(last["collection"], before["collection"]);
}
