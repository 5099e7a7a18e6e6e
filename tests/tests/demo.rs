//! The README's first command, and the commands that it prints at its end.

use std::{
    fs,
    process::{Command, Stdio},
};

#[test]
fn the_demo_leaves_evidence_that_the_commands_it_prints_accept() {
    let folder = tempfile::tempdir().unwrap();
    let walked = folder.path().join("walked");
    fs::create_dir(&walked).unwrap();
    fs::write(walked.join("found.txt"), "found").unwrap();
    let dir = folder.path().join("demo");
    let demo = Command::new(env!("CARGO_BIN_EXE_demo"))
        .args(["--dir".as_ref(), dir.as_os_str()])
        .args(["--path".as_ref(), walked.as_os_str()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&demo.stdout);
    let errors = String::from_utf8_lossy(&demo.stderr);
    assert!(demo.status.success(), "{said}\n{errors}");

    assert!(dir.join("trust/root.crt").is_file());
    let collections: Vec<_> = fs::read_dir(dir.join("evidence")).unwrap().collect();
    assert_eq!(collections.len(), 1, "one folder a collection");
    let collection = collections[0].as_ref().unwrap().path();
    for ending in ["zip.age", "zip", "statement.json", "tsr", "receipt"] {
        let file = collection.join(format!("part-0001.{ending}"));
        assert!(file.is_file(), "{} is missing:\n{said}", file.display());
    }

    let (_, commands) = said.split_once("Check it without us:\n").unwrap();
    for tool in ["unzip", "sha256sum", "openssl cms", "openssl ts", "age -d"] {
        assert!(commands.contains(tool), "{tool} is not told:\n{commands}");
    }
    let checked = Command::new("bash")
        .args(["-e", "-o", "pipefail", "-c", commands])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{commands}\n{errors}");
    let opened = fs::read_to_string(collection.join("check/collection.json")).unwrap();
    assert!(opened.contains("DEMO-1"));
}
