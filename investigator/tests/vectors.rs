//! The program itself over the committed vectors: the exit code and the codes that each must get.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../evidence/tests/vectors")
}

fn verify(entry: &Value) -> Command {
    let (home, name) = (home(), entry["name"].as_str().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldseal"));
    command.arg("verify").arg(home.join(name));
    for given in entry["given"].as_array().unwrap() {
        let (option, file) = match given.as_str().unwrap() {
            "trust" => ("--trust", "root.crt"),
            "identity" => ("--identity", "vault.txt"),
            "other_identity" => ("--identity", "other-vault.txt"),
            "stamp_trust" => ("--tsa-trust", "tsa.crt"),
            "policy" => ("--policy", "policy.json"),
            other => panic!("{other}"),
        };
        command.arg(option).arg(home.join("trust").join(file));
    }
    command
}

/// Codes of findings that weigh more than a note.
fn codes(said: &Value) -> BTreeSet<String> {
    let collections = said["collections"].as_array().unwrap();
    let mut lists = Vec::new();
    for collection in collections {
        lists.push(&collection["findings"]["list"]);
        for part in collection["parts"].as_array().unwrap() {
            lists.push(&part["findings"]["list"]);
        }
    }
    lists
        .into_iter()
        .flat_map(|list| list.as_array().unwrap())
        .filter(|finding| finding["weight"] != "note")
        .map(|finding| finding["code"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_vector_ends_with_its_exit_code_and_its_codes() {
    let index = fs::read(home().join("index.json")).unwrap();
    let index: Vec<Value> = serde_json::from_slice(&index).unwrap();
    for entry in &index {
        let out = verify(entry).arg("--json").output().unwrap();
        let name = &entry["name"];
        let exit = out.status.code().map(i64::from);
        assert_eq!(exit, entry["exit_code"].as_i64(), "{name}: {out:?}");
        let said: Value = serde_json::from_slice(&out.stdout).unwrap();
        let wanted = entry["codes"].as_array().unwrap().iter();
        let wanted: BTreeSet<_> = wanted.map(|c| c.as_str().unwrap().to_owned()).collect();
        assert_eq!(codes(&said), wanted, "{name}");
    }
}

/// A pipe, a folder and a link in the place of what should lie beside a part: a verdict, and no waiting.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_judged_and_never_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let from = home().join("genuine-receipts");
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let receipt = folder.path().join("part-0001.receipt");
    let verdict = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fieldseal"));
        command.arg("verify").arg(folder.path()).arg("--json");
        command.arg("--trust").arg(home().join("trust/root.crt"));
        let said = command.output().unwrap();
        let json: Value = serde_json::from_slice(&said.stdout).unwrap();
        (said.status.code(), codes(&json))
    };
    assert_eq!(verdict(), (Some(0), BTreeSet::new()));
    let refused = (Some(1), BTreeSet::from(["receipt-invalid".to_owned()]));
    fs::remove_file(&receipt).unwrap();
    let made = Command::new("mkfifo").arg(&receipt).status().unwrap();
    assert!(made.success());
    assert_eq!(verdict(), refused);
    fs::remove_file(&receipt).unwrap();
    fs::create_dir(&receipt).unwrap();
    assert_eq!(verdict(), refused);
    fs::remove_dir(&receipt).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &receipt).unwrap();
    assert_eq!(verdict(), refused);
}
