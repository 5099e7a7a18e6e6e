//! What the tools of the field make of a collection as it is: every archiver reads it, dissect opens each part as a
//! system's image.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const PROFILE: &str = "
v: 1
name: readers
about: What a reader needs to know the system and its people
artifacts:
  - name: system
  - name: accounts
";

const ZIPFILE: &str = "
import sys, zipfile
sys.exit(zipfile.ZipFile(sys.argv[1]).testzip() is not None)
";

const DISSECT: &str = r#"
import sys
from dissect.target import Target

users, version, whole = set(), None, 0
for part in sys.argv[1:]:
    target = Target.open(part)
    assert target.os == "linux", (part, target.os)
    version = version or target.version
    users |= {user.name for user in target.users()}
    passwd = target.fs.path("/etc/passwd")
    if passwd.exists():
        assert passwd.read_bytes() == open("/etc/passwd", "rb").read()
        whole += 1
assert "root" in users and whole == 1, (users, whole)
assert version, "no part tells the system"
"#;

fn run(command: &mut Command) {
    let out = command.output().unwrap();
    let said = [out.stdout, out.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(out.status.success(), "{command:?}: {said}");
}

/// The parts of a collection of this host.
fn collected(folder: &Path) -> Vec<PathBuf> {
    let profile = folder.join("readers.yaml");
    fs::write(&profile, PROFILE).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_fieldseal-agent"))
        .args(["collect", "--json", "--unencrypted", "--profile"])
        .arg(profile)
        .arg("--output")
        .arg(folder)
        .output()
        .unwrap();
    assert!(matches!(out.status.code(), Some(0 | 2)), "{out:?}");
    let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let entries = fs::read_dir(said["folder"].as_str().unwrap()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut parts: Vec<_> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "zip"))
        .collect();
    parts.sort();
    assert!(!parts.is_empty());
    parts
}

#[test]
fn every_archiver_reads_every_part_to_its_last_byte() {
    let folder = tempfile::tempdir().unwrap();
    for part in collected(folder.path()) {
        for tool in [
            &["unzip", "-tqq"][..],
            &["7z", "t"],
            &["bsdtar", "-xOf"],
            &["python3", "-c", ZIPFILE],
        ] {
            run(Command::new(tool[0]).args(&tool[1..]).arg(&part));
        }
    }
}

#[test]
fn dissect_opens_each_part_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let parts = collected(folder.path());
    let venv = folder.path().join("venv");
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    let python = venv.join("bin/python");
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet"])
        .args(["--disable-pip-version-check", "dissect.target==3.25.1"]));
    run(Command::new(&python).args(["-c", DISSECT]).args(&parts));
}
