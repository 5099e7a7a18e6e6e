//! An enrolled host's files on two machines: noticed, and each has an identity of its own in the end. Then one is removed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use fieldseal_tests::{args, programs::Outcome, stage::Stage};
use serde_json::Value;

/// The two copies of one agent.
const COPIES: [&str; 2] = ["agent", "copy"];

fn quiet(_: &str) {}

fn stage(dir: &Path) -> Stage {
    let roles: &[&str] = &["investigator", "auditor", "admin"];
    let people: [(&str, &str, &[&str]); 2] = [
        ("ann", "Ann Example", roles),
        ("bob", "Bob Example", &["approver"]),
    ];
    Stage::deployed(dir, quiet, &people, &[], "dc").unwrap()
}

fn hosts(stage: &Stage, more: &[&str]) -> Vec<Value> {
    let mut arguments = Vec::from(args!["hosts", "--json"]);
    arguments.extend(more.iter().map(Into::into));
    let listed = stage.fieldseal(&arguments).unwrap();
    assert_eq!(listed.code, 0, "{listed:?}");
    serde_json::from_str(&listed.out).unwrap()
}

fn text<'v>(host: &'v Value, field: &str) -> &'v str {
    host[field].as_str().unwrap()
}

/// Orders a small collection from one agent and waits for it.
fn collect(stage: &Stage, agent: &str) -> Outcome {
    let profile = stage.path("small.yaml");
    let yaml = "v: 1\nname: small\nabout: the system alone\nartifacts: [{name: system}]\n";
    fs::write(&profile, yaml).unwrap();
    let arguments = args![
        "collect",
        "--host",
        agent,
        "--profile",
        profile,
        "--case",
        "C-1",
        "--reason",
        "r"
    ];
    let ordered = stage.fieldseal(&arguments).unwrap();
    if ordered.code != 0 {
        return ordered;
    }
    let watch = args!["watch", ordered.order().unwrap(), "--for", "2m"];
    let watched = stage.fieldseal(&watch).unwrap();
    // A machine may have gaps of its own.
    assert!(matches!(watched.code, 0 | 2), "{watched:?}");
    ordered
}

/// Fetches what an order brought and verifies it.
fn proven(stage: &Stage, order: &str, output: &str) -> Outcome {
    let (output, root) = (stage.path(output), stage.path("trust/root.crt"));
    let vault = stage.path("vault/one.txt");
    let fetched = stage.fieldseal(&args!["fetch", order, "--output", output]);
    let fetched = fetched.unwrap();
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let arguments = args!["verify", output, "--trust", root, "--identity", vault];
    stage.fieldseal(&arguments).unwrap()
}

/// Waits until both copies are other agents, and have asked for orders as such.
fn forked(stage: &Stage, origin: &str) -> [Value; 2] {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let is_ready = |h: &Value| h["forked_from"] == origin && !h["last_seen"].is_null();
        let mut ready: Vec<_> = hosts(stage, &[]).into_iter().filter(is_ready).collect();
        if ready.len() == 2 {
            return [ready.remove(0), ready.remove(0)];
        }
        let logs =
            COPIES.map(|c| fs::read_to_string(stage.path(&format!("{c}.log"))).unwrap_or_default());
        assert!(Instant::now() < deadline, "{ready:?} {logs:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn two_copies_of_one_host_become_two_hosts_and_keep_what_was_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(&dir.path().join("stage"));
    stage.run_agent().unwrap();
    let before = hosts(&stage, &[]).remove(0);
    let origin = text(&before, "agent").to_owned();
    let first = collect(&stage, &origin);
    assert!(matches!(first.code, 0 | 2), "{first:?}");
    stage.stop_agent().unwrap();
    let [from, to] = COPIES.map(|copy| stage.path(copy));
    let copied = Command::new("cp").arg("-a").args([&from, &to]).status();
    assert!(copied.unwrap().success());
    for copy in COPIES {
        stage.run_another(copy).unwrap();
    }
    let forks = forked(&stage, &origin);
    assert_ne!(forks[0]["host"], forks[1]["host"]);
    for fork in &forks {
        assert_ne!(fork["host"], before["host"]);
        assert_eq!(
            (&fork["agency"], &fork["labels"]),
            (&before["agency"], &before["labels"])
        );
        let ordered = collect(&stage, text(fork, "agent"));
        assert!(matches!(ordered.code, 0 | 2), "{ordered:?}");
        let output = format!("evidence-{}", text(fork, "agent"));
        stage.wait_for_stamps().unwrap();
        let verified = proven(&stage, ordered.order().unwrap(), &output);
        assert!(matches!(verified.code, 0 | 2), "{verified:?}");
    }
    let old = collect(&stage, &origin);
    assert!(old.code == 1 && old.err.contains("cloned"), "{old:?}");
    let shown = stage.fieldseal(&args!["hosts"]).unwrap();
    assert!(
        shown.out.contains("cloned") && shown.out.contains("came from"),
        "{shown:?}"
    );
    let verified = proven(&stage, first.order().unwrap(), "evidence-before");
    assert!(matches!(verified.code, 0 | 2), "{verified:?}");
    let audited = stage.fieldseal(&args!["audit"]).unwrap();
    assert_eq!(audited.code, 0, "{audited:?}");
    assert!(audited.out.contains("two machines"), "{audited:?}");
    a_removed_host_is_out_and_its_evidence_stays(&stage, &forks);
    stage.stop().unwrap();
}

fn a_removed_host_is_out_and_its_evidence_stays(stage: &Stage, forks: &[Value; 2]) {
    let [gone, stays] = [0, 1].map(|i| text(&forks[i], "agent"));
    let arguments = args!["hosts", "remove", gone, "--reason", "Scrapped."];
    let removed = stage.fieldseal(&arguments).unwrap();
    assert_eq!(removed.code, 0, "{removed:?}");
    let is_listed = |more: &[&str], id: &str| hosts(stage, more).iter().any(|h| h["agent"] == id);
    assert!(!is_listed(&[], gone) && is_listed(&["--removed"], gone));
    assert!(is_listed(&[], stays) && !is_listed(&["--removed"], stays));
    let shown = stage.fieldseal(&args!["hosts", "--removed"]).unwrap();
    assert!(shown.out.contains("Scrapped."), "{shown:?}");
    let refused = collect(stage, gone);
    assert_eq!(refused.code, 1, "{refused:?}");
    let deadline = Instant::now() + Duration::from_secs(60);
    let told = |copy: &str| {
        let log = fs::read_to_string(stage.path(&format!("{copy}.log")));
        log.is_ok_and(|log| log.contains("This host was removed"))
    };
    while !COPIES.iter().any(|copy| told(copy)) {
        assert!(Instant::now() < deadline, "the agent does not say it");
        thread::sleep(Duration::from_millis(100));
    }
    let listed = stage.fieldseal(&args!["list", "--json"]).unwrap();
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    let collections = listed["collections"].as_array().unwrap();
    let of_gone = collections.iter().find(|c| c["agent"] == gone).unwrap();
    let verified = proven(stage, text(of_gone, "order"), "evidence-after");
    assert!(matches!(verified.code, 0 | 2), "{verified:?}");
    let audited = stage.fieldseal(&args!["audit"]).unwrap();
    assert_eq!(audited.code, 0, "{audited:?}");
}
