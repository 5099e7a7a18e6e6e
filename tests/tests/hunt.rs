//! A hunt from question to evidence: files by content, a process by name and content, a socket by port; what was found
//! is then collected by one more order. With the real programs over real TLS.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command},
};

use fieldseal_tests::{args, programs::Outcome, stage::Stage};
use serde_json::Value;

fn quiet(_: &str) {}

fn stage(dir: &Path) -> Stage {
    let mut stage = Stage::new(dir, quiet).unwrap();
    let roles = ["investigator", "admin"];
    stage.make_person("ann", "Ann Example", &roles).unwrap();
    let vaults = ["one", "two"].map(|name| stage.make_vault(name).unwrap());
    stage.init(&["ann"], &vaults, &[]).unwrap();
    stage.serve().unwrap();
    stage.enrol("ann", &["hunted"]).unwrap();
    stage.run_agent().unwrap();
    stage.set_up("ann").unwrap();
    stage
}

/// A program that runs, and is ended with the test.
struct Runs(Child);

impl Drop for Runs {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lines(outcome: &Outcome) -> Vec<Value> {
    let lines = outcome.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The records of the hits that `artifact` told.
fn records<'a>(lines: &'a [Value], artifact: &str) -> Vec<&'a Value> {
    let hits = lines.iter().filter_map(|line| line.get("hit"));
    let of = hits.filter(|hit| hit["artifact"] == artifact);
    of.map(|hit| &hit["record"]).collect()
}

/// Orders, follows to the end, and gives what was printed.
fn watched(stage: &Stage, command: &str, more: &[std::ffi::OsString]) -> Vec<Value> {
    let mut arguments = Vec::from(args![
        command, "--case", "HUNT-1", "--reason", "a hunt", "--watch", "--for", "5m", "--json"
    ]);
    arguments.extend_from_slice(more);
    let outcome = stage.fieldseal(&arguments).unwrap();
    // Processes that end while they are looked at are gaps.
    assert!(matches!(outcome.code, 0 | 2), "{outcome:?}");
    lines(&outcome)
}

fn sha256(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    evidence::digest::Digest::of(&bytes).to_string()
}

#[test]
fn from_a_question_to_the_file_itself() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(&dir.path().join("stage"));
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("deep/er")).unwrap();
    let planted = tree.join("deep/er/dropper.bin");
    fs::write(&planted, b"\x7fELF planted \xff\n").unwrap();
    fs::write(tree.join("harmless"), "harmless").unwrap();
    let sleeper = tree.join("sleeper-of-the-hunt");
    fs::copy("/bin/sleep", &sleeper).unwrap();
    let runs = Runs(Command::new(&sleeper).arg("600").spawn().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();

    let list = dir.path().join("hashes");
    fs::write(
        &list,
        format!("{}  dropper\n{}\n", sha256(&planted), "0".repeat(64)),
    )
    .unwrap();
    let printed = watched(
        &stage,
        "hunt",
        &args![
            "--where",
            "label=hunted",
            "--hashes",
            list,
            "--path",
            tree,
            "--process-name",
            "sleeper-of-the-hunt",
            "--process-hash",
            sha256(&sleeper),
            "--port",
            port.to_string()
        ],
    );
    let files = records(&printed, "hunt_files");
    assert_eq!(files.len(), 1, "{printed:?}");
    assert_eq!(files[0]["path"], planted.to_str().unwrap());
    let processes = records(&printed, "hunt_processes");
    assert_eq!(processes.len(), 1, "{printed:?}");
    assert_eq!(processes[0]["pid"], runs.0.id());
    let sockets = records(&printed, "hunt_connections");
    let mine = |r: &&&Value| r["owners"][0]["pid"] == std::process::id();
    assert!(sockets.iter().any(|r| mine(&r)), "{printed:?}");

    let hunt = printed[0]["order"].as_str().unwrap().to_owned();
    let fetched = stage.path("hunted");
    let got = stage
        .fieldseal(&args!["fetch", hunt, "--output", fetched])
        .unwrap();
    assert_eq!(got.code, 0, "{got:?}");
    hits_are_read_from_what_was_fetched(&stage, &hunt, &fetched);
    a_hunt_that_can_not_be_read_says_so(&stage);
    the_file_is_collected(&stage, (&hunt, &fetched), &planted);
}

fn hits_are_read_from_what_was_fetched(stage: &Stage, hunt: &str, fetched: &Path) {
    let from_folder = stage.fieldseal(&args!["hits", hunt, "--fetched", fetched, "--json"]);
    let from_folder = from_folder.unwrap();
    let from_server = stage.fieldseal(&args!["hits", hunt, "--json"]).unwrap();
    assert_eq!(from_folder.out, from_server.out);
    assert_eq!(records(&lines(&from_folder), "hunt_files").len(), 1);
    let csv = stage
        .fieldseal(&args!["hits", hunt, "--fetched", fetched, "--csv"])
        .unwrap();
    assert!(csv.out.starts_with("host,agent,"), "{csv:?}");
    assert!(csv.out.contains("dropper.bin"), "{csv:?}");
}

/// A profile by hand, with a digest that is none: a serious gap, and no "no hits".
fn a_hunt_that_can_not_be_read_says_so(stage: &Stage) {
    let profile = stage.path("broken.yaml");
    let yaml = "v: 1\nname: broken\nabout: x\nartifacts: [{name: hunt_files, options: {sha256: abc}}]\npaths: [/]\n";
    fs::write(&profile, yaml).unwrap();
    let printed = watched(
        stage,
        "collect",
        &args!["--where", "*", "--profile", profile],
    );
    let order = printed[0]["order"].as_str().unwrap();
    let hits = stage.fieldseal(&args!["hits", order]).unwrap();
    assert_eq!((hits.code, hits.out.as_str()), (2, ""), "{hits:?}");
    assert!(hits.err.contains("nothing was looked for"), "{hits:?}");
}

fn the_file_is_collected(stage: &Stage, (hunt, fetched): (&str, &Path), planted: &Path) {
    let printed = watched(
        stage,
        "collect",
        &args![
            "--from-hunt",
            hunt,
            "--fetched",
            fetched,
            "--profile",
            "files"
        ],
    );
    let order = printed[0]["order"].as_str().unwrap();
    let (output, open, extract) = (
        stage.path("files"),
        stage.path("open"),
        stage.path("extract"),
    );
    let got = stage
        .fieldseal(&args!["fetch", order, "--output", output])
        .unwrap();
    assert_eq!(got.code, 0, "{got:?}");
    let collection = PathBuf::from(got.out.trim_end());
    let (root, identity) = (stage.path("trust/root.crt"), stage.path("vault/one.txt"));
    let verdict = stage
        .fieldseal(&args![
            "verify",
            collection,
            "--trust",
            root,
            "--identity",
            identity
        ])
        .unwrap();
    assert!(matches!(verdict.code, 0 | 2), "{verdict:?}");
    let opened = stage
        .fieldseal(&args![
            "open",
            collection,
            "--identity",
            identity,
            "--output",
            open,
            "--extract",
            extract
        ])
        .unwrap();
    assert_eq!(opened.code, 0, "{opened:?}");
    let inside = Path::new("fs/$rootfs$").join(planted.strip_prefix("/").unwrap());
    let entries = fs::read_dir(&extract).unwrap().map(|e| e.unwrap().path());
    let parts = entries.filter(|path| path.join("order.json").exists());
    let (mut copies, mut predecessors) = (Vec::new(), Vec::new());
    for part in parts {
        copies.extend(fs::read(part.join(&inside)).ok());
        let order = fs::read(part.join("order.json")).unwrap();
        let order = evidence::envelope::Envelope::parse(&order).unwrap();
        predecessors.push(protocol::order::Order::read(&order).unwrap().predecessor);
    }
    assert_eq!(copies, [fs::read(planted).unwrap()]);
    let before = fs::read(stage.path("home/orders").join(format!("{hunt}.json"))).unwrap();
    let before = evidence::envelope::Envelope::parse(&before)
        .unwrap()
        .digest();
    assert!(
        predecessors.iter().all(|p| *p == Some(before)),
        "{predecessors:?}"
    );
}
