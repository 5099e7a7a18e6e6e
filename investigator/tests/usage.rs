//! What a script sees: exit codes of mistakes in the command line, and of things done twice; nothing passed over in silence.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../evidence/tests/vectors")
}

fn fieldseal(args: &[&str], paths: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldseal"));
    command.args(args).args(paths).output().unwrap()
}

/// A copy of a vector, to change.
fn copy(vector: &str, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(vectors().join(vector)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn verify(folder: &Path, more: &[&str]) -> Output {
    let root = vectors().join("trust/root.crt");
    let mut args = vec!["verify", "--trust", root.to_str().unwrap()];
    args.extend(more);
    fieldseal(&args, &[folder])
}

/// The names of what was set aside, with the reasons.
fn aside(said: &Output) -> Vec<(String, String)> {
    let json: Value = serde_json::from_slice(&said.stdout).unwrap();
    let list = json["aside"].as_array().unwrap().iter();
    list.map(|one| {
        let path = Path::new(one["file"].as_str().unwrap());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, one["why"].as_str().unwrap().to_owned())
    })
    .collect()
}

#[test]
fn what_is_named_and_is_not_there_is_a_mistake_of_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = dir.path().join("nothing");
    let genuine = vectors().join("genuine-receipts");
    let no_certificate = genuine.join("part-0001.zip");
    for (args, paths) in [
        (&["verify"][..], [nothing.as_path()].as_slice()),
        (&["verify"], &[dir.path()]),
        (&["verify", "--trust"], &[&nothing, &genuine]),
        (&["verify", "--trust"], &[&no_certificate, &genuine]),
        (&["verify", "--no-such-option"], &[&genuine]),
        (&["open"], &[&nothing]),
        (&["open"], &[&genuine]),
        (&["open", "--identity"], &[&nothing, &genuine]),
    ] {
        let out = fieldseal(args, paths);
        assert_eq!(out.status.code(), Some(64), "{args:?} {paths:?}: {out:?}");
        assert!(!out.stderr.is_empty());
    }
}

#[test]
fn extracting_twice_says_what_is_there_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("out");
    let zips = vectors().join("genuine-three-parts");
    let extract = || fieldseal(&["open", "--extract", into.to_str().unwrap()], &[&zips]);
    assert_eq!(extract().status.code(), Some(0));
    let again = extract();
    assert_eq!(again.status.code(), Some(1));
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(
        said.contains("part-0001 is there already") && said.contains("--extract"),
        "{said}"
    );
    // Not even the parts whose place is free.
    fs::remove_dir_all(into.join("part-0002")).unwrap();
    assert_eq!(extract().status.code(), Some(1));
    assert!(!into.join("part-0002").exists());
}

#[test]
fn genuine_evidence_sets_nothing_aside() {
    for vector in ["genuine-three-parts", "genuine-stamped", "genuine-renewed"] {
        let said = verify(&vectors().join(vector), &["--json"]);
        assert_eq!(aside(&said), [], "{vector}");
    }
}

#[test]
fn files_that_were_not_taken_into_account_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("c");
    copy("genuine-receipts", &folder);
    for name in [
        "part-0002.statement.json",
        "part-0002.receipt",
        "part-0002.tsr",
        "part-0003.zip.bak",
        ".part-0004-00.unfinished",
        "seal.crt",
        "extracted/part-0001/fs/x",
        "extracted/notes.txt",
    ] {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }
    let said = verify(&folder, &["--json"]);
    assert_eq!(said.status.code(), Some(0), "a note, and no verdict");
    let told = aside(&said);
    let names: Vec<_> = told.iter().map(|(name, _)| name.as_str()).collect();
    let wanted = [
        ".part-0004-00.unfinished",
        "extracted",
        "part-0002.receipt",
        "part-0002.statement.json",
        "part-0002.tsr",
        "part-0003.zip.bak",
    ];
    assert_eq!(names, wanted);
    assert!(told[2].1.contains("does not lie here"), "{told:?}");
    let text = String::from_utf8(verify(&folder, &[]).stdout).unwrap();
    let html = dir.path().join("report.html");
    verify(&folder, &["--report", html.to_str().unwrap()]);
    for text in [text, fs::read_to_string(html).unwrap()] {
        for name in wanted {
            assert!(text.contains(name), "{name}: {text}");
        }
    }
}

/// A part behind a link is missing, and that it is a link is said.
#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_a_part_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, away) = (dir.path().join("c"), dir.path().join("away.zip"));
    copy("genuine-three-parts", &folder);
    let part = folder.join("part-0002.zip");
    fs::rename(&part, &away).unwrap();
    std::os::unix::fs::symlink(&away, &part).unwrap();
    let said = verify(&folder, &["--json"]);
    assert_eq!(said.status.code(), Some(2));
    let told = aside(&said);
    let link = told.iter().find(|(name, _)| name == "part-0002.zip");
    assert!(link.unwrap().1.contains("symbolic link"), "{told:?}");
    // Where there are links alone, they are said in the error.
    for number in [1, 3] {
        fs::remove_file(folder.join(format!("part-000{number}.zip"))).unwrap();
    }
    let none = verify(&folder, &["--json"]);
    assert_eq!(none.status.code(), Some(64));
    let error = String::from_utf8(none.stderr).unwrap();
    assert!(
        error.contains("part-0002.zip") && error.contains("link"),
        "{error}"
    );
}

/// A receipt hides neither behind a missing number nor behind a valid one.
#[test]
fn every_receipt_of_the_collection_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let codes = |vector: &str, from: &str, to: &str| {
        let folder = dir.path().join(vector);
        copy(vector, &folder);
        fs::rename(folder.join(from), folder.join(to)).unwrap();
        let said = verify(&folder, &["--json"]);
        String::from_utf8(said.stdout).unwrap()
    };
    let forged = codes(
        "enrolment-forged-beside",
        "enrolment-2.receipt",
        "enrolment-7.receipt",
    );
    assert!(forged.contains("enrolment-invalid") && forged.contains("enrolment-7.receipt"));
    let revoked = codes(
        "revocation-earlier",
        "revocation-2.receipt",
        "revocation-12.receipt",
    );
    assert!(revoked.contains("seal-revoked"));
}

#[test]
fn missing_receipts_are_seen_in_text_and_report() {
    let dir = tempfile::tempdir().unwrap();
    let folder = vectors().join("custody-stripped");
    let html = dir.path().join("report.html");
    let said = verify(&folder, &["--report", html.to_str().unwrap()]);
    assert_eq!(said.status.code(), Some(2));
    let text = String::from_utf8(said.stdout).unwrap();
    for text in [text, fs::read_to_string(html).unwrap()] {
        for wanted in ["WITH RESERVATIONS", "receipt-absent", "enrolment-absent"] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }
}

#[test]
fn one_gap_is_no_gaps() {
    let text = String::from_utf8(verify(&vectors().join("genuine-gaps"), &[]).stdout).unwrap();
    assert!(text.contains("1 gap, 1 of them serious"), "{text}");
    assert!(!text.contains("1 gaps"), "{text}");
}
