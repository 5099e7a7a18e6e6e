//! One order, many collections: a watch that captures what changes, and a standing order; all of it with the real programs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use fieldseal_tests::{args, stage::Stage};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(180);

fn quiet(_: &str) {}

fn stage(dir: &Path) -> Stage {
    let people: [(&str, &str, &[&str]); 1] =
        [("ann", "Ann Example", &["investigator", "admin", "auditor"])];
    let alone = ["--threshold-files", "1"];
    let mut stage = Stage::deployed(dir, quiet, &people, &alone, "watched").unwrap();
    stage.run_agent().unwrap();
    stage
}

fn json(text: &str) -> Value {
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// The order of a `collect`, and what was shown before it was signed.
fn ordered(stage: &Stage, more: &[std::ffi::OsString]) -> (String, String) {
    let common = args![
        "collect",
        "--where",
        "label=watched",
        "--case",
        "C",
        "--reason",
        "r",
        "--json"
    ];
    let arguments: Vec<_> = common.iter().chain(more).cloned().collect();
    let outcome = stage.fieldseal(&arguments).unwrap();
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let order = json(&outcome.out)["order"].as_str().unwrap().to_owned();
    (order, outcome.err)
}

fn host(stage: &Stage, order: &str) -> Value {
    let watched = stage.fieldseal(&args!["watch", order, "--for", "1s", "--json"]);
    json(&watched.unwrap().out)["hosts"][0].clone()
}

/// Follows until the host is as wanted.
fn until(stage: &Stage, order: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let now = host(stage, order);
        if wanted(&now) {
            return now;
        }
        assert!(begun.elapsed() < PATIENCE, "{now}");
    }
}

fn delivered(number: u64) -> impl Fn(&Value) -> bool {
    move |host| host["captures"]["delivered"].as_u64() >= Some(number)
}

/// The folders of what was collected on the order, fetched anew.
fn fetched(stage: &Stage, order: &str, output: &Path) -> Vec<String> {
    let outcome = stage
        .fieldseal(&args!["fetch", order, "--output", output])
        .unwrap();
    assert_eq!(outcome.code, 0, "{outcome:?}");
    outcome.out.lines().map(str::to_owned).collect()
}

/// An ordinary order was delivered; what this machine lacks may be gaps.
fn is_served(other: &fieldseal_tests::programs::Outcome) {
    assert!([0, 2].contains(&other.code), "{other:?}");
    assert!(other.out.contains(": delivered, "), "{other:?}");
}

#[test]
fn a_watch_captures_each_change_until_it_is_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(&dir.path().join("stage"));
    let watched = dir.path().join("watched");
    fs::create_dir(&watched).unwrap();
    fs::write(watched.join("before"), "was there").unwrap();
    let (order, shown) = ordered(
        &stage,
        &args![
            "--profile",
            "files",
            "--path",
            watched,
            "--on-change",
            "--settle",
            "1s",
            "--per-hour",
            "60",
            "--expires",
            "7d"
        ],
    );
    assert!(
        shown.contains("changes or appears") && shown.contains("60 an hour"),
        "{shown}"
    );
    until(&stage, &order, |host| host["state"] == "watching");
    let output = dir.path().join("fetched");
    fs::write(watched.join("first"), "1").unwrap();
    until(&stage, &order, delivered(1));
    assert_eq!(fetched(&stage, &order, &output).len(), 1);
    fs::write(watched.join("first"), "2").unwrap();
    until(&stage, &order, delivered(2));
    // Each is a collection of its own; what was there is not fetched again.
    let folders = fetched(&stage, &order, &output);
    assert_eq!(folders.len(), 2, "{folders:?}");
    let trust = stage.path("server/trust/root.crt");
    let vault = stage.path("vault/one.txt");
    for folder in &folders {
        let arguments = args!["verify", folder, "--trust", trust, "--identity", vault];
        let verified = stage.fieldseal(&arguments).unwrap();
        assert!([0, 2].contains(&verified.code), "{verified:?}");
        assert!(!verified.out.contains("NOT GENUINE"), "{verified:?}");
    }
    // Other orders are served meanwhile.
    let other = stage.collect_small(&["--watch"]).unwrap();
    is_served(&other);
    // Cancelled: the host says that it keeps that, and what changes then is nobody's any more.
    let cancelled = stage
        .fieldseal(&args!["cancel", order, "--reason", "enough"])
        .unwrap();
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    until(&stage, &order, |host| host["state"] == "delivered");
    fs::write(watched.join("third"), "3").unwrap();
    let other = stage.collect_small(&["--watch"]).unwrap();
    is_served(&other);
    let last = host(&stage, &order);
    assert_eq!(last["captures"]["begun"], 2, "{last}");
    // Both load into the case as collections of one host.
    let loaded = stage.fieldseal(&args![
        "fetch",
        order,
        "--output",
        output,
        "--load",
        "--identity",
        vault
    ]);
    let loaded = loaded.unwrap();
    assert!([0, 2].contains(&loaded.code), "{loaded:?}");
    stage.stop().unwrap();
}

#[test]
fn a_standing_order_gives_a_collection_a_turn_and_ends_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(&dir.path().join("stage"));
    let profile = stage.path("small.yaml");
    let yaml = "v: 1\nname: small\nabout: the system alone\nartifacts: [{name: system}]\n";
    fs::write(&profile, yaml).unwrap();
    let (order, shown) = ordered(
        &stage,
        &args![
            "--profile",
            profile,
            "--every",
            "1m",
            "--captures",
            "2",
            "--expires",
            "1d"
        ],
    );
    assert!(shown.contains("every 1m; 2 at most"), "{shown}");
    let last = until(&stage, &order, |host| host["state"] == "delivered");
    assert_eq!(last["captures"]["begun"], 2, "{last}");
    assert_eq!(last["captures"]["delivered"], 2, "{last}");
    assert!(
        last["captures"]["over"].as_str().unwrap().contains("all"),
        "{last}"
    );
    assert_eq!(
        fetched(&stage, &order, &dir.path().join("fetched")).len(),
        2
    );
    stage.stop().unwrap();
}
