//! Orders for more than one go: scopes, retries of what failed, and what is shown of an order that waits.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use fieldseal_tests::{args, stage::Stage};
use serde_json::Value;

/// Bob's machine.
const BOBS: &str = "home-of-bob";

fn quiet(_: &str) {}

fn stage(dir: &Path, policy: &[&str]) -> Stage {
    let people: [(&str, &str, &[&str]); 2] = [
        ("ann", "Ann Example", &["investigator", "admin"]),
        ("bob", "Bob Example", &["approver"]),
    ];
    let mut stage = Stage::deployed(dir, quiet, &people, policy, "fleet").unwrap();
    stage.set_up_at(BOBS, "bob").unwrap();
    stage.run_agent().unwrap();
    stage
}

fn json(text: &str) -> Value {
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn watch(stage: &Stage, order: &str) -> (i32, Value) {
    let arguments = args!["watch", order, "--for", "2m", "--json"];
    let watched = stage.fieldseal(&arguments).unwrap();
    (watched.code, json(&watched.out))
}

/// Fetches `order` and extracts it.
fn extracted(stage: &Stage, dir: &Path, order: &str) -> PathBuf {
    let (output, opened) = (dir.join("fetched"), dir.join("opened"));
    let vault = stage.path("vault/one.txt");
    let fetched = stage
        .fieldseal(&args!["fetch", order, "--output", output])
        .unwrap();
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let arguments = args!["open", output, "--identity", vault, "--extract", opened];
    let done = stage.fieldseal(&arguments).unwrap();
    assert_eq!(done.code, 0, "{done:?}");
    opened
}

/// The lines of one file of records, of all parts together.
fn lines(opened: &Path, file: &str) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut folders = vec![opened.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with(file) {
                let text = fs::read_to_string(path).unwrap();
                lines.extend(
                    text.lines()
                        .map(|l| serde_json::from_str::<Value>(l).unwrap()),
                );
            }
        }
    }
    lines
}

#[test]
fn a_host_says_how_it_fares() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(&dir.path().join("stage"), &[]);
    let hosts = |filter: &str| {
        stage
            .fieldseal(&args!["hosts", "--where", filter, "--json"])
            .unwrap()
    };
    let begun = Instant::now();
    let host = loop {
        let listed = hosts("label=fleet seen<1h");
        // Until it has asked for the first time, no host was seen.
        if listed.code == 0 {
            let all: Value = serde_json::from_str(&listed.out).unwrap();
            if all[0]["health"].is_object() {
                break all[0].clone();
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{listed:?}");
        thread::sleep(Duration::from_millis(100));
    };
    let health = &host["health"];
    assert!(health["free_bytes"].as_u64().unwrap() > 0, "{health}");
    assert!(
        health["clock_ahead_ms"].as_i64().unwrap().abs() < 5_000,
        "{health}"
    );
    assert_eq!(
        (&health["problem"], &health["parts_waiting"]),
        (&Value::Null, &0.into())
    );
    assert_eq!(health["hostname"], host["hostname"]);
    assert_eq!(hosts("label=other").code, 64);
    let shown = stage.fieldseal(&args!["hosts"]).unwrap();
    // As root's agent, or an ordinary user's, it lacks walls; nothing else is wrong with it.
    let is_walled = ["reader_walls", "courier_walls"]
        .iter()
        .all(|half| protocol::health::missing_walls(health[half].as_str().unwrap()).is_none());
    let told = if is_walled { "well" } else { "walls missing: " };
    assert!(shown.out.contains(&format!("  {told}")), "{shown:?}");
}

#[test]
fn a_scope_is_shown_to_who_approves_and_held_to_by_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(&dir.path().join("stage"), &["--threshold-triage", "2"]);
    let tree = dir.path().join("tree");
    for name in ["inside", "outside"] {
        fs::create_dir_all(tree.join(name)).unwrap();
        fs::write(tree.join(name).join("file"), name).unwrap();
    }
    let profile = dir.path().join("scoped.yaml");
    let text = format!(
        "v: 1\nname: scoped\nabout: For tests\nartifacts:\n- name: processes\n- name: file_hashes\npaths: [{}]\n",
        tree.display()
    );
    fs::write(&profile, text).unwrap();
    let inside = tree.join("inside");
    let arguments = args![
        "collect",
        "--where",
        "label=fleet",
        "--profile",
        profile,
        "--case",
        "S",
        "--reason",
        "r",
        "--legal-basis",
        "4 Gs 12/26",
        "--scope-path",
        inside,
        "--json"
    ];
    let ordered = stage.fieldseal(&arguments).unwrap();
    assert_eq!(ordered.code, 0, "{ordered:?}");
    let order = json(&ordered.out)["order"].as_str().unwrap().to_owned();
    // Whoever lists or watches it hears what it waits for.
    let listed = stage.fieldseal(&args!["list"]).unwrap();
    assert!(listed.out.contains("waits for 1 to approve"), "{listed:?}");
    let watched = stage
        .fieldseal(&args!["watch", order, "--for", "1s"])
        .unwrap();
    assert!(
        watched.out.contains("until one more person signs it"),
        "{watched:?}"
    );
    let approved = stage.fieldseal_at(BOBS, &args!["approve", order]).unwrap();
    assert_eq!(approved.code, 0, "{approved:?}");
    let shown = format!("what lies in {}", inside.display());
    for shown in ["4 Gs 12/26", &shown] {
        assert!(approved.err.contains(shown), "{shown}: {approved:?}");
    }
    let (exit, view) = watch(&stage, &order);
    assert_eq!(
        (exit, &view["hosts"][0]["state"]),
        (2, &"delivered".into()),
        "{view}"
    );
    let opened = extracted(&stage, dir.path(), &order);
    let hashes = lines(&opened, "file_hashes.jsonl");
    let paths: Vec<_> = hashes.iter().map(|r| r["path"].as_str().unwrap()).collect();
    assert_eq!(paths.len(), 2, "{paths:?}");
    assert!(
        paths.iter().all(|p| Path::new(p).starts_with(&inside)),
        "{paths:?}"
    );
    let gaps = lines(&opened, "gaps.jsonl");
    let is_out = |of: &str| {
        gaps.iter()
            .any(|g| g["artifact"] == of && g["reason"] == "out_of_scope")
    };
    assert!(is_out("processes") && is_out("file_hashes"), "{gaps:?}");
}

#[test]
fn what_failed_is_ordered_again_and_stays_with_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(&dir.path().join("stage"), &["--threshold-triage", "2"]);
    let ordered = stage
        .collect_small(&["--per-minute", "600", "--stop-past", "50"])
        .unwrap();
    assert_eq!(ordered.code, 0, "{ordered:?}");
    assert!(
        ordered.err.contains("600 hosts a minute; stops by itself"),
        "{ordered:?}"
    );
    let first = ordered.order().unwrap().to_owned();
    let retry = |order: &str| {
        stage
            .fieldseal(&args!["retry", order, "--failed", "--json"])
            .unwrap()
    };
    // Nothing has failed yet.
    assert_eq!(retry(&first).code, 64);
    let cancelled = stage
        .fieldseal(&args!["cancel", first, "--reason", "r"])
        .unwrap();
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    let again = retry(&first);
    assert_eq!(again.code, 0, "{again:?}");
    let second = json(&again.out)["order"].as_str().unwrap().to_owned();
    let approved = stage.fieldseal_at(BOBS, &args!["approve", second]).unwrap();
    assert_eq!(approved.code, 0, "{approved:?}");
    assert!(approved.err.contains("continues"), "{approved:?}");
    let (_, view) = watch(&stage, &second);
    assert_eq!(view["hosts"][0]["state"], "delivered", "{view}");
    let listed = stage.fieldseal(&args!["list", "--json"]).unwrap();
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    let of = |id: &str| {
        let orders = listed["orders"].as_array().unwrap();
        orders.iter().find(|o| o["order"] == id).unwrap().clone()
    };
    assert_eq!(of(&second)["predecessor"], of(&first)["order_sha256"]);
    assert_eq!(of(&second)["case"], of(&first)["case"]);
    // What was collected on the retry comes with the first order too.
    let output = dir.path().join("fetched");
    let fetched = stage
        .fieldseal(&args!["fetch", first, "--output", output])
        .unwrap();
    assert_eq!(fetched.code, 0, "{fetched:?}");
    assert_eq!(fs::read_dir(&output).unwrap().count(), 1);
}
