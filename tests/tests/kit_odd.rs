//! Kits in odd places: odd names of folders, a clock that is years behind, a stick that somebody has tampered with.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use fieldseal_tests::{
    args,
    kit::{OPERATOR, build, files, json},
    programs::{self, Outcome},
    stage::{self, Stage},
};

fn quiet(_: &str) {}

fn stage(dir: &Path) -> Stage {
    let people: [(&str, &str, &[&str]); 1] = [("ann", "Ann Example", &["investigator", "admin"])];
    Stage::deployed(&dir.join("stage"), quiet, &people, &[], "connected").unwrap()
}

/// A kit for the system alone.
fn kit(stage: &Stage, stick: &Path) {
    let profile = stage.path("small.yaml");
    let yaml = "v: 1\nname: small\nabout: the system alone\nartifacts: [{name: system}]\n";
    fs::write(&profile, yaml).unwrap();
    let built = build(stage, &args!["--profile", profile, "--output", stick]).unwrap();
    assert_eq!(built.code, 0, "{built:?}");
}

/// The kit's script by `script`, which may be a path from the folder that the command is in.
fn start(script: impl Into<OsString>, more: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.arg(script.into());
    command.args(["--operator", OPERATOR, "--location", "Room 1", "--json"]);
    command.args(more);
    command
}

fn run(command: &mut Command) -> Outcome {
    programs::run(command, &quiet).unwrap()
}

fn folder(done: &Outcome) -> PathBuf {
    assert!([0, 2].contains(&done.code), "{done:?}");
    PathBuf::from(json(&done.out).unwrap()["folder"].as_str().unwrap())
}

#[test]
fn the_stick_may_be_called_anything_and_be_started_from_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().canonicalize().unwrap();
    let stage = stage(&home);
    let stick = home.join("a stick\nof 'two' $(lines) \"and\" -more");
    kit(&stage, &stick);
    let done = run(&mut start(stick.join("run.sh"), &[]));
    assert!(
        folder(&done).starts_with(stick.join("evidence")),
        "{done:?}"
    );

    let plain = home.join("-plain");
    kit(&stage, &plain);
    let mut from_beside = start("./-plain/run.sh", &[]);
    let done = run(from_beside.current_dir(&home).env("CDPATH", &home));
    assert!(
        folder(&done).starts_with(plain.join("evidence")),
        "{done:?}"
    );
}

#[test]
fn a_host_whose_clock_is_years_behind_collects_by_the_operators() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(dir.path());
    let stick = dir.path().join("stick");
    kit(&stage, &stick);
    let behind = || stage::other_clock("@1970-01-01 00:10:00").unwrap();
    let refused = run(start(stick.join("run.sh"), &[]).envs(behind()));
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("not valid yet"), "{refused:?}");
    assert!(files(&stick.join("evidence")).unwrap().is_empty());

    let now = evidence::instant::Instant::now().to_rfc3339().unwrap();
    let done = run(start(stick.join("run.sh"), &["--time", &now]).envs(behind()));
    let folder = folder(&done);
    let by = ["--by", "Ann Example"].map(OsString::from);
    let import = args!["import", stick, "--dir", stage.path("server")];
    let import: Vec<_> = import.into_iter().chain(by).collect();
    let imported = stage.run("fieldseal-server", &import).unwrap();
    assert_eq!(imported.code, 0, "{imported:?}");
    let (root, vault) = (stage.path("trust/root.crt"), stage.path("vault/one.txt"));
    let verify = args!["verify", folder, "--trust", root, "--identity", vault];
    let verified = stage.fieldseal(&verify).unwrap();
    assert!([0, 2].contains(&verified.code), "{verified:?}");
    assert!(verified.out.contains("1970-01-01"), "{verified:?}");
}

#[test]
fn a_stick_that_was_tampered_with_leads_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(dir.path());
    let (stick, elsewhere) = (dir.path().join("stick"), dir.path().join("elsewhere"));
    kit(&stage, &stick);
    fs::create_dir(&elsewhere).unwrap();
    let script = stick.join("run.sh");
    let evidence = stick.join("evidence");
    fs::remove_dir(&evidence).unwrap();
    symlink(&elsewhere, &evidence).unwrap();
    let mut check = Command::new("sh");
    check.arg(&script).arg("--check");
    for command in [&mut start(&script, &[]), &mut check] {
        let refused = run(command);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("evidence is no folder"), "{refused:?}");
    }
    assert!(files(&elsewhere).unwrap().is_empty());
    fs::remove_file(&evidence).unwrap();

    let (readme, aside) = (stick.join("README.txt"), dir.path().join("README.txt"));
    fs::rename(&readme, &aside).unwrap();
    for lay in ["ln -s", "mkfifo"] {
        let what = if lay == "ln -s" {
            format!("{lay} {}", aside.display())
        } else {
            lay.to_owned()
        };
        let line = format!("{what} {}", readme.display());
        assert!(
            Command::new("sh")
                .args(["-c", &line])
                .status()
                .unwrap()
                .success()
        );
        let refused = run(&mut start(&script, &[]));
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(
            refused.err.contains("README.txt is no plain file"),
            "{refused:?}"
        );
        fs::remove_file(&readme).unwrap();
    }
    fs::rename(&aside, &readme).unwrap();
    let done = run(&mut start(&script, &[]));
    assert!(
        folder(&done).starts_with(evidence.canonicalize().unwrap()),
        "{done:?}"
    );
}
