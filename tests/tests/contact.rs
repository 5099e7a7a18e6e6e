//! What the investigator's tool makes of agents that refuse, and of servers that go, restart or lie; all of them real.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, process::Command};

use fieldseal_tests::{args, stage::Stage};

fn quiet(_: &str) {}

/// A deployment in which ann is investigator and admin and bob approves, with this host enrolled; its agent does not
/// run yet.
fn stage(dir: &Path, init: &[&str]) -> Stage {
    let people: [(&str, &str, &[&str]); 2] = [
        ("ann", "Ann Example", &["investigator", "admin"]),
        ("bob", "Bob Example", &["approver"]),
    ];
    Stage::deployed(dir, quiet, &people, init, "story").unwrap()
}

#[test]
fn a_refusal_is_shown_with_its_signature_checked() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(&dir.path().join("stage"), &[]);
    let ordered = stage.collect_small(&["--expires", "24h"]).unwrap();
    assert_eq!(ordered.code, 0, "{ordered:?}");
    // A host whose clock is days ahead finds that it has expired.
    stage.go_on_by(3).unwrap();
    stage.run_halves().unwrap();
    stage.go_on_by(0).unwrap();
    let watch = args!["watch", ordered.order().unwrap(), "--for", "2m"];
    let refused = stage.fieldseal(&watch).unwrap();
    assert_eq!(refused.code, 1, "{refused:?}");
    let told = "refused, signed by the agent: the order has expired.";
    assert!(refused.out.contains(told), "{refused:?}");
    let audited = stage.fieldseal(&args!["audit"]).unwrap();
    assert_eq!(audited.code, 0, "{audited:?}");
    assert!(audited.out.contains("refused the order"), "{audited:?}");
}

#[test]
fn watching_survives_a_server_that_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(&dir.path().join("stage"), &[]);
    let ordered = stage.collect_small(&[]).unwrap();
    assert_eq!(ordered.code, 0, "{ordered:?}");
    let log = dir.path().join("watch.log");
    let arguments = args!["watch", ordered.order().unwrap(), "--for", "2m"];
    let mut watching = stage.fieldseal_beside(&arguments, &log).unwrap();
    let says = |text: &str| fs::read_to_string(&log).is_ok_and(|said| said.contains(text));
    watching
        .wait_until("it sees the host", &|| says(": waiting"))
        .unwrap();
    stage.stop_server().unwrap();
    watching
        .wait_until("it misses the server", &|| says("can't be reached"))
        .unwrap();
    stage.serve().unwrap();
    stage.run_agent().unwrap();
    let code = watching.finish().unwrap();
    assert!(
        matches!(code, 0 | 2),
        "{code}: {}",
        fs::read_to_string(&log).unwrap()
    );
    assert!(says(": delivered"));
}

#[test]
fn a_server_put_back_to_an_earlier_day_is_an_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(&dir.path().join("stage"), &[]);
    stage.stop_server().unwrap();
    let (server, earlier) = (stage.path("server"), dir.path().join("earlier"));
    let copied = Command::new("cp")
        .arg("-a")
        .args([&server, &earlier])
        .status();
    assert!(copied.unwrap().success());
    stage.serve().unwrap();
    assert_eq!(stage.collect_small(&[]).unwrap().code, 0);
    stage.stop_server().unwrap();
    fs::remove_dir_all(&server).unwrap();
    fs::rename(&earlier, &server).unwrap();
    stage.serve().unwrap();
    for command in [args!["hosts"], args!["audit"], args!["list"]] {
        let alarmed = stage.fieldseal(&command).unwrap();
        assert_eq!(alarmed.code, 1, "{alarmed:?}");
        assert!(alarmed.err.contains("ALARM"), "{alarmed:?}");
    }
}

#[test]
fn somebody_whom_the_policy_does_not_know_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(&dir.path().join("stage"), &[]);
    stage
        .make_person("mallory", "Mallory", &["investigator"])
        .unwrap();
    stage.set_up("mallory").unwrap();
    let refused = stage.fieldseal(&args!["hosts"]).unwrap();
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.contains("does not know the keys of mallory"),
        "{refused:?}"
    );
}
