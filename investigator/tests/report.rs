//! What the report tells a person: the standard commands hold, the words are there, hostile text stays text.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../evidence/tests/vectors")
}

/// A copy of a vector with the trusted files beside it, as the report's commands want them.
fn copy(vector: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for from in [home().join(vector), home().join("trust")] {
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    dir
}

fn report(dir: &Path, name: &str) -> String {
    let path = dir.join(name);
    let out = Command::new(env!("CARGO_BIN_EXE_fieldseal"))
        .current_dir(dir)
        .args([
            "verify",
            ".",
            "--trust",
            "root.crt",
            "--tsa-trust",
            "tsa.crt",
        ])
        .args(["--identity", "vault.txt", "--report"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(out.stderr.is_empty(), "{out:?}");
    fs::read_to_string(path).unwrap()
}

/// The command lines below the heading, as a person would copy them.
fn commands(text: &str) -> Vec<String> {
    let (_, below) = text.split_once("Check it without this program").unwrap();
    let lines = below.lines().filter_map(|l| l.strip_prefix("    "));
    lines.map(str::to_owned).collect()
}

#[test]
fn the_printed_commands_hold_for_genuine_evidence() {
    for vector in [
        "genuine-stamped",
        "genuine-encrypted",
        "genuine-three-parts",
    ] {
        let dir = copy(vector);
        let commands = commands(&report(dir.path(), "report.txt"));
        assert!(commands.len() >= 4, "{commands:?}");
        for command in commands {
            let out = Command::new("sh")
                .current_dir(dir.path())
                .args(["-ec", &command])
                .output()
                .unwrap();
            assert!(out.status.success(), "{vector}: {command}: {out:?}");
        }
    }
}

#[test]
fn the_printed_commands_fail_for_what_was_changed() {
    for (vector, failing) in [
        ("entry-file-changed", "sha256sum"),
        ("sums-made-again", "openssl cms"),
        ("seal-by-namesake", "openssl cms"),
    ] {
        let dir = copy(vector);
        let commands = commands(&report(dir.path(), "report.txt"));
        let failed: Vec<_> = commands
            .iter()
            .filter(|command| {
                let mut sh = Command::new("sh");
                sh.current_dir(dir.path()).args(["-ec", command]);
                !sh.output().unwrap().status.success()
            })
            .collect();
        assert!(
            failed.iter().any(|c| c.contains(failing)),
            "{vector}: {failed:?}"
        );
    }
}

/// As it stands in the report.
fn root_sha256() -> String {
    let pem = fs::read_to_string(home().join("trust/root.crt")).unwrap();
    let trust = evidence::verify::Trust::from_pem(&pem).unwrap();
    format!("SHA-256 {}", trust.fingerprints()[0])
}

#[test]
fn gaps_come_first() {
    let dir = copy("genuine-gaps");
    for name in ["report.txt", "report.html"] {
        let text = report(dir.path(), name);
        let at = |words: &str| {
            text.find(words)
                .unwrap_or_else(|| panic!("{words}: {text}"))
        };
        assert!(at("Gaps") < at("What was collected"), "{name}");
        assert!(at("Gaps") < at("On whose order"), "{name}");
    }
}

#[test]
fn a_lawyer_finds_who_what_when_and_on_whose_order() {
    let dir = copy("genuine-stamped");
    let root = root_sha256();
    for name in ["report.txt", "report.html"] {
        let text = report(dir.path(), name);
        for wanted in [
            "GENUINE AND COMPLETE",
            "ANN of the lab",
            "An alarm on this host.",
            "2026-1",
            "host-1",
            "by the time stamp of an outside authority",
            "signed by the trusted root",
            "Ended",
            "How this was checked",
            &root,
            "In the custody log",
            "leaf ",
            "openssl ts -verify",
        ] {
            assert!(
                text.contains(wanted),
                "{name} does not say {wanted:?}: {text}"
            );
        }
    }
}

#[test]
fn hostile_text_stays_text() {
    let dir = copy("name-control");
    for name in ["report.txt", "report.html"] {
        let text = report(dir.path(), name);
        assert!(
            !text.contains('\u{1b}') && text.contains("\\u{1b}"),
            "{name}"
        );
    }
    let html = report(dir.path(), "report.html");
    assert!(!html.contains("<script") && html.contains("default-src 'none'"));
}
