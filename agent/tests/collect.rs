//! A local collection by the real program, judged by other people's tools only.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn agent(args: &[&str], output: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fieldseal-agent"))
        .args(["collect", "--json", "--profile"])
        .args(args)
        .arg("--output")
        .arg(output)
        .output()
        .unwrap()
}

/// Runs a tool in `folder` and demands that it is content.
fn content(folder: &Path, program: &str, args: &[&str]) -> String {
    let out = Command::new(program)
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{program} {args:?}: {out:?}");
    said
}

fn folder_of(out: &Output) -> PathBuf {
    let code = out.status.code();
    assert!(matches!(code, Some(0 | 2)), "{out:?}");
    let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(said["complete"], code == Some(0));
    PathBuf::from(said["folder"].as_str().unwrap())
}

/// The plain parts in the order of their numbers.
fn parts(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "zip"))
        .collect();
    found.sort();
    found
}

/// Unpacks `part` and lets unzip, sha256sum and openssl judge it; gives collection.json.
fn judged(part: &Path, certificate: &Path) -> (tempfile::TempDir, serde_json::Value) {
    let open = tempfile::tempdir().unwrap();
    let zip = part.to_str().unwrap();
    content(open.path(), "unzip", &["-tqq", zip]);
    content(open.path(), "unzip", &["-qq", zip]);
    content(
        open.path(),
        "sha256sum",
        &["--quiet", "--strict", "-c", "SHA256SUMS"],
    );
    let ca = certificate.to_str().unwrap();
    let seal = [
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        "SHA256SUMS.p7s",
        "-content",
        "SHA256SUMS",
        "-out",
        "/dev/null",
        "-no-CApath",
        "-no-CAstore",
        "-CAfile",
        ca,
    ];
    content(open.path(), "openssl", &seal);
    let text = fs::read(open.path().join("collection.json")).unwrap();
    let record = serde_json::from_slice(&text).unwrap();
    (open, record)
}

#[test]
fn an_unencrypted_collection_satisfies_unzip_sha256sum_and_openssl() {
    let output = tempfile::tempdir().unwrap();
    let out = agent(
        &["triage", "--unencrypted", "--case", "2026-17"],
        output.path(),
    );
    let folder = folder_of(&out);
    let parts = parts(&folder);
    assert!(!parts.is_empty());
    let mut before = serde_json::Value::Null;
    for (index, part) in parts.iter().enumerate() {
        let (_open, record) = judged(part, &folder.join("seal.crt"));
        assert_eq!(record["part"], index + 1);
        assert_eq!(record["case"], "2026-17");
        assert_eq!(record["previous_sha256"], before);
        assert_eq!(record["last"], index + 1 == parts.len());
        let sum = content(&folder, "sha256sum", &[part.to_str().unwrap()]);
        before = sum[..64].into();
        let statement = format!("part-{:04}.statement.json", index + 1);
        assert!(folder.join(statement).is_file());
    }
    let left: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .filter(|e| e.as_ref().unwrap().path().extension() == Some("partial".as_ref()))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// An artifact that found nothing has neither records nor gaps: that it ran stands in the log.
#[test]
fn every_artifact_of_the_profile_says_that_it_ran_whatever_it_found() {
    let output = tempfile::tempdir().unwrap();
    let profile = output.path().join("profile.yaml");
    let names = ["mounts", "containers", "file_hashes"];
    let list: String = names.iter().map(|n| format!("- name: {n}\n")).collect();
    let text = format!("v: 1\nname: few\nabout: For tests\nartifacts:\n{list}");
    fs::write(&profile, text).unwrap();
    let empty = output.path().canonicalize().unwrap().join("empty");
    fs::create_dir(&empty).unwrap();
    let out = agent(
        &[
            profile.to_str().unwrap(),
            "--unencrypted",
            "--path",
            empty.to_str().unwrap(),
        ],
        &output.path().join("out"),
    );
    let folder = folder_of(&out);
    let mut log = String::new();
    for part in parts(&folder) {
        let (open, record) = judged(&part, &folder.join("seal.crt"));
        assert_eq!(record["ended_early"], serde_json::Value::Null);
        log += &fs::read_to_string(open.path().join("log.jsonl")).unwrap();
    }
    let lines = log.lines().map(|l| serde_json::from_str(l).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    for name in names {
        let told: Vec<_> = lines.iter().filter(|l| l["artifact"] == name).collect();
        let told: Vec<_> = told
            .iter()
            .map(|l| l["message"].as_str().unwrap())
            .collect();
        assert!(
            matches!(told[..], [begins, took] if begins == format!("{name} begins")
                && took.starts_with(&format!("{name} took "))),
            "{told:?}"
        );
    }
}

#[test]
fn an_encrypted_collection_is_opened_by_its_recipient_only() {
    let output = tempfile::tempdir().unwrap();
    let key = evidence::wrap::Identity::generate();
    let recipient = key.recipient().to_string();
    // The folder isn't there yet: the spool's half makes it.
    let new = output.path().join("new");
    let out = agent(&["volatile", "--recipient", &recipient], &new);
    let folder = folder_of(&out);
    assert!(parts(&folder).is_empty());
    let secret = fs::File::open(folder.join("part-0001.zip.age")).unwrap();
    let mut plain = Vec::new();
    let mut reader = evidence::wrap::UnwrapReader::new(&[key], secret).unwrap();
    std::io::Read::read_to_end(&mut reader, &mut plain).unwrap();
    let zip = output.path().join("opened.zip");
    fs::write(&zip, plain).unwrap();
    let (_open, record) = judged(&zip, &folder.join("seal.crt"));
    assert_eq!(record["unencrypted"], false);
}

#[test]
fn refuses_what_cannot_be_as_usage() {
    let output = tempfile::tempdir().unwrap();
    for args in [
        &["nosuch", "--unencrypted"][..],
        &["triage"],
        &["triage", "--recipient", "age1nobody"],
        &["triage", "--unencrypted", "--path", "relative"],
    ] {
        let out = agent(args, output.path());
        assert_eq!(out.status.code(), Some(64), "{args:?}: {out:?}");
        assert!(!out.stderr.is_empty());
    }
}

#[test]
fn says_what_it_can_gather() {
    let out = Command::new(env!("CARGO_BIN_EXE_fieldseal-agent"))
        .args(["artifacts", "--json"])
        .output()
        .unwrap();
    let said: Vec<serde_json::Value> = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(said.len(), agent::artifacts::ARTIFACTS.len());
}
