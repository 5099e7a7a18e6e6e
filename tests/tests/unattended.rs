//! Hosts at which nobody is: one signed file beside the agent, and they enrol by themselves, as soon as they can.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "not every test needs all of it")]
#[path = "../../evidence/src/small_disk.rs"]
mod small_disk;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use evidence::{envelope::Envelope, keys::SigningKey};
use fieldseal_tests::{args, packaged::source, sigma, stage::Stage};
use serde_json::Value;

use self::small_disk::SmallDisk;

/// How long a host may take for what it does by itself.
const PATIENCE: Duration = Duration::from_secs(120);

fn quiet(_: &str) {}

fn stage(dir: &Path) -> Stage {
    let people: [(&str, &str, &[&str]); 2] = [
        ("ann", "Ann Example", &["investigator", "auditor", "admin"]),
        ("bob", "Bob Example", &["approver"]),
    ];
    Stage::serving(&dir.join("stage"), quiet, &people, &[]).unwrap()
}

fn hosts(stage: &Stage) -> Vec<Value> {
    let listed = stage.fieldseal(&args!["hosts", "--json"]).unwrap();
    assert_eq!(listed.code, 0, "{listed:?}");
    serde_json::from_str(&listed.out).unwrap()
}

/// Waits until so many hosts are there and have asked for orders.
fn at_work(stage: &Stage, count: usize) -> Vec<Value> {
    let start = Instant::now();
    loop {
        let found = hosts(stage);
        let is_seen = |host: &&Value| !host["last_seen"].is_null();
        if found.iter().filter(is_seen).count() == count {
            return found;
        }
        let log = fs::read_to_string(stage.path("agent.log")).unwrap_or_default();
        assert!(start.elapsed() < PATIENCE, "{found:?} {log}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A file of limits.
fn limits(dir: &Path) -> PathBuf {
    let path = dir.join("limits.toml");
    fs::write(&path, "cpu_percent = 30\nfiles = 1000\n").unwrap();
    path
}

#[test]
fn a_host_with_a_deployment_file_waits_for_its_server_and_enrols_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(dir.path());
    let limits = limits(dir.path()).display().to_string();
    let more = ["--label", "web", "--limits", limits.as_str()];
    stage.deployment_file("ann", "1", &more).unwrap();
    stage.stop_server().unwrap();
    stage.run_halves().unwrap();
    let log = || fs::read_to_string(stage.path("agent.log")).unwrap_or_default();
    let told = || log().matches("this host is not enrolled yet").count();
    until("it says that it is not enrolled", || told() > 0);
    assert!(log().contains("can't be reached"), "it says why: {}", log());
    assert!(log().contains("fieldseal-agent doctor"), "{}", log());
    stage.serve().unwrap();
    let found = at_work(&stage, 1).remove(0);
    assert_eq!(found["labels"], serde_json::json!(["web"]));
    let log = fs::read_to_string(stage.path("agent.log")).unwrap();
    assert_eq!(
        log.matches("this host is not enrolled yet").count(),
        1,
        "{log}"
    );
    // And it goes on as any other, with the limits that came with the file.
    let status = args!["status", "--state", stage.path("agent"), "--json"];
    let status = stage.run("fieldseal-agent", &status).unwrap();
    let status: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!(status["limits"]["cpu_percent"], 30, "{status}");
    let ordered = stage.collect_small(&[]).unwrap();
    assert_eq!(ordered.code, 0, "{ordered:?}");
    let watch = args!["watch", ordered.order().unwrap(), "--for", "2m"];
    let watched = stage.fieldseal(&watch).unwrap();
    assert!(matches!(watched.code, 0 | 2), "{watched:?}");
    // The file may go; it is not looked at again.
    stage.stop_agent().unwrap();
    fs::remove_file(stage.path("deployment.json")).unwrap();
    stage.run_halves().unwrap();
    let ordered = stage.collect_small(&[]).unwrap();
    let watch = args!["watch", ordered.order().unwrap(), "--for", "2m"];
    assert!(matches!(stage.fieldseal(&watch).unwrap().code, 0 | 2));
    stage.stop().unwrap();
}

#[test]
fn a_host_whose_disk_is_full_waits_for_room_and_enrols_then() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(dir.path());
    stage.deployment_file("ann", "1", &[]).unwrap();
    let disk = SmallDisk::mount(48 << 10).expect("run this test as root: it mounts");
    symlink(disk.path(), stage.path("agent")).unwrap();
    for half in ["reader", "courier"] {
        fs::create_dir(disk.path().join(half)).unwrap();
    }
    let other = disk.fill();
    let log = stage.path("agent.log");
    let log = || fs::read_to_string(&log).unwrap_or_default();
    let told = || log().matches("there is no room for").count();
    // Started by one that watches over both, they stop as soon as they are told to.
    stage.run_agent().unwrap();
    until("both halves say so", || told() == 2);
    let began = Instant::now();
    stage.stop_agent().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{}", log());
    stage.run_halves().unwrap();
    until("both halves say so again", || told() == 4);
    assert!(hosts(&stage).is_empty());
    fs::remove_file(other).unwrap();
    at_work(&stage, 1);
    assert_eq!(told(), 4, "{}", log());
    stage.stop().unwrap();
}

#[test]
fn two_hosts_of_one_golden_image_are_two_agents() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(dir.path());
    stage.deployment_file("ann", "2", &[]).unwrap();
    for image in ["one", "other"] {
        stage.run_another(image).unwrap();
    }
    let found = at_work(&stage, 2);
    for id in ["agent", "host"] {
        assert_ne!(found[0][id], found[1][id]);
    }
    for host in &found {
        assert!(
            host["cloned"].is_null() && host["forked_from"].is_null(),
            "{host}"
        );
    }
    let audited = stage.fieldseal(&args!["audit"]).unwrap();
    assert_eq!(audited.code, 0, "{audited:?}");
    stage.stop().unwrap();
}

#[test]
fn a_host_without_file_and_enrolment_does_nothing_and_says_so_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::new(&dir.path().join("stage"), quiet).unwrap();
    let (state, file) = (stage.path("agent"), stage.path("deployment.json"));
    let socket = stage.path("halves.socket");
    let all = args!["run", "--state", state, "--deployment", file];
    let half = |half: &str| {
        let mut one = Vec::from(all.clone());
        one.extend(args!["--half", half, "--socket", socket]);
        one
    };
    for command in [Vec::from(all.clone()), half("reader"), half("courier")] {
        let ended = stage.run("fieldseal-agent", &command).unwrap();
        assert_eq!(ended.code, 78, "{ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
        assert!(ended.err.contains("no deployment file at"), "{ended:?}");
    }
    assert!(!state.exists() && !socket.exists(), "nothing was made");
}

#[test]
fn a_false_file_enrols_nobody_and_uses_up_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(dir.path());
    let file = stage.deployment_file("ann", "1", &[]).unwrap();
    let genuine = fs::read(&file).unwrap();
    let envelope = Envelope::parse(genuine.trim_ascii()).unwrap();
    let bob = fs::read_to_string(stage.path("keys/bob/signing.key")).unwrap();
    let forged = Envelope::sign(
        envelope.payload_type(),
        envelope.payload().to_vec(),
        &SigningKey::from_pem(&bob).unwrap(),
    );
    fs::write(&file, forged.to_json().unwrap()).unwrap();
    stage.run_agent().unwrap();
    let log = || fs::read_to_string(stage.path("agent.log")).unwrap_or_default();
    let refused = "this host is not enrolled: the deployment file is not signed by anybody who may";
    until("the reader refuses", || log().contains(refused));
    stage.stop_agent().unwrap();
    assert!(hosts(&stage).is_empty());
    // Broken in itself: the server is not even asked.
    fs::write(&file, "{}").unwrap();
    let state = stage.path("agent");
    let run = args!["run", "--state", state, "--deployment", file];
    let ended = stage.run("fieldseal-agent", &run).unwrap();
    assert_eq!(ended.code, 78, "{ended:?}");
    // The token's one use is still there, for whoever does it by hand.
    fs::write(&file, genuine).unwrap();
    let enrol = args!["enrol", "--state", state, "--deployment", file];
    let enrolled = stage.run("fieldseal-agent", &enrol).unwrap();
    assert_eq!(enrolled.code, 0, "{enrolled:?}");
    assert_eq!(hosts(&stage).len(), 1);
    stage.stop().unwrap();
}

/// The hosts that wait for approval.
fn waiting(stage: &Stage) -> Vec<Value> {
    let listed = stage
        .fieldseal(&args!["hosts", "pending", "--json"])
        .unwrap();
    assert_eq!(listed.code, 0, "{listed:?}");
    serde_json::from_str(&listed.out).unwrap()
}

#[test]
fn a_held_host_keeps_its_key_over_a_restart_and_is_let_in_by_an_admins_word() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(dir.path());
    stage.deployment_file("ann", "1", &["--held"]).unwrap();
    stage.run_agent().unwrap();
    until("the host waits", || !waiting(&stage).is_empty());
    let first = waiting(&stage).remove(0);
    stage.stop_agent().unwrap();
    stage.run_agent().unwrap();
    until("it asks again", || {
        waiting(&stage)[0]["asked"] != first["asked"]
    });
    let after = waiting(&stage);
    assert_eq!(after.len(), 1);
    let key = first["seal_key"].as_str().unwrap();
    assert_eq!(
        (&after[0]["seal_key"], &after[0]["since"]),
        (&first["seal_key"], &first["since"])
    );
    // The host's own journal shows the key that the admin compares.
    let log = fs::read_to_string(stage.path("agent.log")).unwrap();
    assert!(log.contains(&format!("its seal key is {key}")), "{log}");
    assert!(
        log.contains("an admin must let this host in first"),
        "{log}"
    );
    // Two starts, each with a root that nobody has listed yet.
    let rule = fs::read_to_string(source().join("packaging/sigma/foreign_root.yml")).unwrap();
    let foreign = log.lines().filter(|l| sigma::fires(&rule, l).unwrap());
    assert_eq!(foreign.count(), 2, "{log}");
    assert!(hosts(&stage).is_empty());
    let approved = stage.fieldseal(&args!["hosts", "approve", key]).unwrap();
    assert_eq!(approved.code, 0, "{approved:?}");
    at_work(&stage, 1);
    assert!(waiting(&stage).is_empty());
    let audited = stage.fieldseal(&args!["audit"]).unwrap();
    assert_eq!(audited.code, 0, "{audited:?}");
    assert!(audited.out.contains("was let in by"), "{audited:?}");
    stage.stop().unwrap();
}
