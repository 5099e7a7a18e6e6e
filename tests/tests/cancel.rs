//! An order that is cancelled: nobody begins it any more, and a host that is at it stops at once and seals what it has.
//! All of it with the real programs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use fieldseal_tests::{args, stage::Stage};
use serde_json::Value;

/// Bob's machine, and Olga's.
const BOBS: &str = "home-of-bob";
const OLGAS: &str = "home-of-olga";
const MIB: usize = 1 << 20;
/// At so many bytes a second it takes minutes.
const FILES: usize = 180;

fn quiet(_: &str) {}

/// Ann investigates, bob approves, olga audits.
fn stage(dir: &Path, policy: &[&str]) -> Stage {
    let people: [(&str, &str, &[&str]); 3] = [
        ("ann", "Ann Example", &["investigator", "admin"]),
        ("bob", "Bob Example", &["approver"]),
        ("olga", "Olga Example", &["auditor"]),
    ];
    let stage = Stage::deployed(dir, quiet, &people, policy, "cancel").unwrap();
    stage.set_up_at(BOBS, "bob").unwrap();
    stage.set_up_at(OLGAS, "olga").unwrap();
    stage
}

fn json(text: &str) -> Value {
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Follows `order` for `time`: the exit code and the one host's last row.
fn watch(stage: &Stage, order: &str, time: &str) -> (i32, Value) {
    let watched = stage.fieldseal(&args!["watch", order, "--for", time, "--json"]);
    let watched = watched.unwrap();
    (watched.code, json(&watched.out)["hosts"][0].clone())
}

/// A collection that reads a file a second, begun.
fn begin_slow(stage: &Stage, dir: &Path) -> String {
    let tree = dir.join("tree");
    fs::create_dir(&tree).unwrap();
    for n in 0..FILES {
        fs::write(tree.join(format!("{n:03}")), vec![n as u8; MIB]).unwrap();
    }
    let profile = dir.join("slow.yaml");
    let text = format!(
        "v: 1\nname: slow\nabout: Slowly\nartifacts:\n- name: accounts\n- name: file_hashes\npaths: [{}]\n\
         limits: {{io_bytes_per_second: {MIB}}}\n",
        tree.display()
    );
    fs::write(&profile, text).unwrap();
    let arguments = args![
        "collect",
        "--where",
        "label=cancel",
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
    let order = json(&ordered.out)["order"].as_str().unwrap().to_owned();
    let hashes = |host: &Value| host["progress"]["artifact"] == "file_hashes";
    while !hashes(&watch(stage, &order, "1s").1) {}
    order
}

fn cancel(stage: &Stage, order: &str) {
    let arguments = args!["cancel", order, "--reason", "the wrong host", "--json"];
    let cancelled = stage.fieldseal(&arguments).unwrap();
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    assert!(json(&cancelled.out)["leaf"].is_u64(), "{cancelled:?}");
}

#[test]
fn a_host_that_is_at_it_stops_and_seals_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(&dir.path().join("stage"), &[]);
    stage.run_agent().unwrap();
    let order = begin_slow(&stage, dir.path());
    // Who may only look can't.
    let arguments = args!["cancel", order, "--reason", "no"];
    let refused = stage.fieldseal_at(OLGAS, &arguments).unwrap();
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("olga"), "{refused:?}");
    cancel(&stage, &order);
    let begun = Instant::now();
    let (exit, host) = watch(&stage, &order, "1m");
    // What it would have gone on reading takes minutes.
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(
        (exit, &host["state"]),
        (2, &Value::from("delivered")),
        "{host}"
    );
    assert_eq!(host["ended_early"], "cancelled by ann: the wrong host");

    // What there is, is whole, and says why there is no more.
    let output = dir.path().join("fetched");
    let fetched = stage
        .fieldseal(&args!["fetch", order, "--output", output])
        .unwrap();
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let trust = stage.path("server/trust/root.crt");
    let vault = stage.path("vault/one.txt");
    let arguments = args!["verify", output, "--trust", trust, "--identity", vault];
    let verified = stage.fieldseal(&arguments).unwrap();
    assert_eq!(verified.code, 2, "{verified:?}");
    assert!(
        verified.out.contains("cancelled by ann: the wrong host"),
        "{verified:?}"
    );
    let audit = stage.fieldseal(&args!["audit", "--case", "C"]).unwrap();
    let told = format!("order {order} was cancelled by ");
    assert!(audit.code == 0 && audit.out.contains(&told), "{audit:?}");
    let listed = stage.fieldseal(&args!["list", "--json"]).unwrap();
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(listed["orders"][0]["cancelled"], true);
    // Again: the first one stays.
    cancel(&stage, &order);
}

#[test]
fn nobody_begins_it_any_more_whatever_the_server_says_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(&dir.path().join("stage"), &["--threshold-triage", "2"]);
    let ordered = stage.collect_small(&[]).unwrap();
    let order = ordered.order().unwrap().to_owned();
    cancel(&stage, &order);
    // The host comes online only now: it keeps the cancellation of an order that it was never handed.
    stage.run_agent().unwrap();
    let (exit, host) = watch(&stage, &order, "1m");
    assert_eq!(
        (exit, &host["state"]),
        (2, &Value::from("cancelled")),
        "{host}"
    );
    let index = stage.path("server/index.sqlite");
    let in_index = |script: &str| {
        let script = format!(
            "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1], timeout=20)\n{script}\ndb.commit()"
        );
        let run = Command::new("python3")
            .args(["-c", &script])
            .arg(&index)
            .output();
        let output = run.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let held = "print(db.execute('SELECT cancel_held FROM order_hosts').fetchone()[0])";
    let begun = Instant::now();
    while in_index(held).trim() != "1" {
        assert!(begun.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(100));
    }
    // Somebody who has taken the server over has it approved, and hands it out without the cancellation.
    stage.stop().unwrap();
    in_index(
        "db.execute('UPDATE orders SET cancel = NULL')\n\
         db.execute('UPDATE order_hosts SET cancel = NULL, cancel_held = 0')",
    );
    stage.serve().unwrap();
    let approved = stage.fieldseal_at(BOBS, &args!["approve", order]).unwrap();
    assert_eq!(approved.code, 0, "{approved:?}");
    stage.run_agent().unwrap();
    let (exit, host) = watch(&stage, &order, "1m");
    assert_eq!(
        (exit, &host["state"]),
        (1, &Value::from("refused")),
        "{host}"
    );
    let why = host["refusal"]["text"].as_str().unwrap();
    assert!(why.contains("was cancelled"), "{why}");
    assert_eq!(host["refusal"]["signed"], true);
}
