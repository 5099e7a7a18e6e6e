//! Two people and an order: one asks, the other sees what is asked, to the letter, and approves it on another machine;
//! the host begins after that and not before. All of it with the real programs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, thread, time::Duration};

use fieldseal_tests::{args, stage::Stage};
use serde_json::Value;

/// Bob's machine.
const BOBS: &str = "home-of-bob";

fn quiet(_: &str) {}

/// A deployment in which two must sign, ann investigates and bob approves; its agent runs.
fn stage(dir: &Path) -> Stage {
    let people: [(&str, &str, &[&str]); 2] = [
        ("ann", "Ann Example", &["investigator", "admin"]),
        ("bob", "Bob Example", &["approver", "investigator"]),
    ];
    let mut stage = Stage::deployed(
        dir,
        quiet,
        &people,
        &["--threshold-triage", "2"],
        "approval",
    )
    .unwrap();
    stage.set_up_at(BOBS, "bob").unwrap();
    stage.run_agent().unwrap();
    stage
}

fn orders(stage: &Stage) -> Vec<Value> {
    let listed = stage.fieldseal(&args!["list", "--json"]).unwrap();
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    listed["orders"].as_array().unwrap().clone()
}

#[test]
fn a_host_begins_when_a_second_person_has_approved_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(&dir.path().join("stage"));
    let ordered = stage.collect_small(&[]).unwrap();
    assert_eq!(ordered.code, 0, "{ordered:?}");
    let id = ordered.order().unwrap();
    assert!(
        ordered.out.contains("waits at the server until 1 more"),
        "{ordered:?}"
    );
    // The agent asks all the while, and gets nothing.
    thread::sleep(Duration::from_secs(2));
    assert_eq!(orders(&stage)[0]["settled"], 0);
    let watched = stage.fieldseal(&args!["watch", id, "--for", "1s"]).unwrap();
    assert_eq!(watched.code, 2, "{watched:?}");
    assert!(!watched.out.contains("refused"), "{watched:?}");

    let approved = stage.fieldseal_at(BOBS, &args!["approve", id]).unwrap();
    assert_eq!(approved.code, 0, "{approved:?}");
    for shown in [
        "C-1",
        "system",
        "artifacts: [{name: system}]",
        "ann asks for",
    ] {
        assert!(approved.err.contains(shown), "{shown}: {approved:?}");
    }
    assert!(approved.out.contains("2 of 2 people"), "{approved:?}");
    let watched = stage.fieldseal(&args!["watch", id, "--for", "2m"]).unwrap();
    assert!(matches!(watched.code, 0 | 2), "{watched:?}");
    assert!(watched.out.contains("delivered"), "{watched:?}");

    // Both stand in the evidence, and the approval in the log.
    let evidence = stage.path("evidence");
    let fetched = stage
        .fieldseal(&args!["fetch", id, "--output", evidence])
        .unwrap();
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let arguments = args![
        "verify",
        evidence,
        "--trust",
        stage.path("trust/root.crt"),
        "--identity",
        stage.path("vault/one.txt"),
        "--json"
    ];
    let verified = stage.fieldseal(&arguments).unwrap();
    assert!(matches!(verified.code, 0 | 2), "{verified:?}");
    for person in ["Ann Example", "Bob Example"] {
        assert!(verified.out.contains(person), "{verified:?}");
    }
    let audited = stage.fieldseal(&args!["audit"]).unwrap();
    assert_eq!(audited.code, 0, "{audited:?}");
    let signed = "was signed by one more person";
    assert!(audited.out.contains(signed), "{audited:?}");
    // Once more changes nothing.
    let again = stage
        .fieldseal_at(BOBS, &args!["approve", id, "--json"])
        .unwrap();
    assert_eq!(again.code, 0, "{again:?}");
    let again: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(again["approval"]["signers"].as_array().unwrap().len(), 2);
}

#[test]
fn nobody_approves_what_is_their_own_or_somebody_elses_forgery() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(&dir.path().join("stage"));
    let ordered = stage.collect_small(&[]).unwrap();
    let id = ordered.order().unwrap();
    let own = stage.fieldseal(&args!["approve", id]).unwrap();
    assert_eq!(own.code, 1, "{own:?}");
    assert!(own.err.contains("does not name ann as approver"), "{own:?}");
    // Bob asks himself: his role as approver is no second person.
    let profile = stage.path("small.yaml");
    assert!(fs::exists(&profile).unwrap());
    let arguments = args![
        "collect",
        "--where",
        "*",
        "--profile",
        profile,
        "--case",
        "C-2",
        "--reason",
        "r"
    ];
    let by_bob = stage.fieldseal_at(BOBS, &arguments).unwrap();
    let by_bob = by_bob.order().unwrap();
    let own = stage.fieldseal_at(BOBS, &args!["approve", by_bob]).unwrap();
    assert_eq!(own.code, 1, "{own:?}");
    assert!(own.err.contains("your own order"), "{own:?}");
    let unknown = stage.fieldseal_at(BOBS, &args!["approve", "o-aaaaaaaaaaaaaaaaaaaaaaaaaa"]);
    assert_eq!(unknown.unwrap().code, 1);
    assert!(orders(&stage).iter().all(|o| o["settled"] == 0));
}
