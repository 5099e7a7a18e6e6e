//! The lab's validation: it holds for the programs as they are, and does not for one that changes what it collects from.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use fieldseal_tests::programs::{self, Outcome, Programs};
use serde_json::Value;

fn validate(programs: &Programs, output: &Path, agent: Option<&Path>) -> Outcome {
    let mut command = Command::new(programs.path("fieldseal"));
    command
        .args(["validate", "--by", "A <b>Lab</b>", "--json", "--output"])
        .arg(output);
    if let Some(agent) = agent {
        command.arg("--agent").arg(agent);
    }
    programs::run(&mut command, &|_| ()).unwrap()
}

fn report(output: &Path) -> Value {
    serde_json::from_slice(&fs::read(output.join("validation.json")).unwrap()).unwrap()
}

/// A program that does something to the disk before it is the agent.
fn meddler(programs: &Programs, dir: &Path, does: &str) -> PathBuf {
    let path = dir.join("meddler");
    let agent = programs.path("fieldseal-agent");
    let script = format!(
        "#!/bin/sh\nroot=$3\n{does}\nexec {} \"$@\"\n",
        agent.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn the_programs_do_what_is_expected_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("validation");
    let programs = Programs::build().unwrap();
    let done = validate(&programs, &output, None);
    assert_eq!(done.code, 0, "{done:?}");
    let report = report(&output);
    assert_eq!(report["holds"], true);
    let rows = report["rows"].as_array().unwrap();
    for what in [
        "accounts: records",
        "sessions: records",
        "persistence: records",
        "packages: records",
        "system: records",
        "network: records",
        "file_hashes: records",
        "processes: not applicable",
        "shell_history: files",
        "logs: files",
    ] {
        let row = rows.iter().find(|row| row["what"] == what);
        assert!(
            row.unwrap()["expected"].as_u64() > Some(0),
            "{what}: {rows:?}"
        );
    }
    for tool in report["tools"].as_array().unwrap() {
        let program = programs.path(tool["name"].as_str().unwrap());
        let bytes = fs::read(program).unwrap();
        assert_eq!(
            tool["sha256"],
            evidence::digest::Digest::of(&bytes).to_string()
        );
    }
    let page = fs::read_to_string(output.join("validation.html")).unwrap();
    assert!(page.contains("Everything is as expected.") && page.contains("file_hashes"));
    assert!(!page.contains("<b>Lab</b>") && !page.contains("DIFFERS"));
    let again = validate(&programs, &output, None);
    assert_eq!(again.code, 1, "nothing is overwritten: {again:?}");
}

#[test]
fn an_agent_that_changes_leaves_out_or_adds_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let programs = Programs::build().unwrap();
    let does = "cat \"$root/etc/passwd\" >/dev/null\nprintf x >>\"$root/etc/crontab\"\nrm -f \"$root/data/one\"\ntouch \"$root/data/more\"";
    let agent = meddler(&programs, dir.path(), does);
    let output = dir.path().join("validation");
    let done = validate(&programs, &output, Some(&agent));
    assert_eq!(done.code, 1, "{done:?}");
    let report = report(&output);
    assert_eq!(report["holds"], false);
    let text = report["rows"].to_string();
    for told in [
        "/etc/crontab",
        "sha256 is",
        "/data/one",
        "/data/more",
        "agent_sha256 is",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let page = fs::read_to_string(output.join("validation.html")).unwrap();
    assert!(page.contains("DIFFERS") && page.contains("do NOT do what is expected"));
}
