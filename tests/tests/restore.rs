//! A server's machine is lost, and its backup is put onto an empty one: agents and people go on as if nothing had been.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, process::Command};

use fieldseal_tests::{
    args,
    kit::{self, json},
    stage::Stage,
    stick::wait_until,
};

fn tar(arguments: &[&str], archive: &Path, folder: &Path) {
    let mut command = Command::new("tar");
    command
        .args(arguments)
        .arg(archive)
        .arg("-C")
        .arg(folder)
        .arg(".");
    assert!(command.status().unwrap().success());
}

/// Orders a small collection and waits until it is delivered; gives the order.
fn collected(stage: &Stage) -> String {
    let outcome = stage.collect_small(&["--watch", "--json"]).unwrap();
    assert!([0, 2].contains(&outcome.code), "{outcome:?}");
    let first = json(outcome.out.lines().next().unwrap()).unwrap();
    first["order"].as_str().unwrap().to_owned()
}

#[test]
fn a_backup_on_an_empty_machine_is_the_server_again() {
    let dir = tempfile::tempdir().unwrap();
    let people: [(&str, &str, &[&str]); 1] = [("ann", "Ann Example", &["investigator", "admin"])];
    let mut stage =
        Stage::deployed(&dir.path().join("stage"), |_| (), &people, &[], "kept").unwrap();
    stage.run_agent().unwrap();
    let before = collected(&stage);

    // As docs/backup.md says: stopped, so that index, log and evidence are of one moment.
    stage.stop_server().unwrap();
    let (server, backup) = (stage.path("server"), dir.path().join("backup.tar"));
    tar(&["--numeric-owner", "-cpf"], &backup, &server);
    fs::remove_dir_all(&server).unwrap();
    // The agent finds nobody meanwhile.
    let trouble = || {
        let status = args!["status", "--json", "--state", stage.path("agent")];
        let shown = json(&stage.run("fieldseal-agent", &status)?.out)?;
        Ok(shown["courier"]["last_error"].is_object())
    };
    wait_until("the agent misses its server", trouble).unwrap();

    fs::create_dir(&server).unwrap();
    tar(&["--numeric-owner", "-xpf"], &backup, &server);
    stage.serve().unwrap();
    let after = collected(&stage);
    // That is over, and not forgotten.
    let is_over = || {
        let status = args!["status", "--state", stage.path("agent")];
        let shown = stage.run("fieldseal-agent", &status)?.out;
        Ok(shown.contains(", of the server, over: ") && !shown.contains("Trouble"))
    };
    wait_until("it is told as over", is_over).unwrap();
    for (number, order) in [before, after].iter().enumerate() {
        let fetched = stage.path("fetched").join(number.to_string());
        let outcome = stage
            .fieldseal(&args!["fetch", order, "--output", fetched])
            .unwrap();
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let verified = kit::verify(&stage, &fetched).unwrap();
        assert!([0, 2].contains(&verified.code), "{verified:?}");
        kit::lacks(&verified, &["receipt-absent", "enrolment-absent"]).unwrap();
    }
    let audited = stage.fieldseal(&args!["audit"]).unwrap();
    assert_eq!(audited.code, 0, "{audited:?}");
    stage.stop().unwrap();
}
