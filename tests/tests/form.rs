//! The chain-of-custody form of a real kit's collection, before and after it was brought in.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use fieldseal_tests::{
    args,
    kit::{OPERATOR, build, json},
    programs::{self, Outcome},
    stage::Stage,
};

fn quiet(_: &str) {}

/// Fills the form in; gives how that ended, and the form.
fn form(stage: &Stage, folder: &Path, name: &str) -> (Outcome, String) {
    let (root, vault) = (stage.path("trust/root.crt"), stage.path("vault/one.txt"));
    let output = stage.path(name);
    let arguments = args![
        "form",
        folder,
        "--trust",
        root,
        "--identity",
        vault,
        "--output",
        output
    ];
    let done = stage.fieldseal(&arguments).unwrap();
    let text = fs::read_to_string(&output).unwrap();
    (done, text)
}

#[test]
fn the_form_of_a_kits_collection_tells_who_where_when_by_which_clocks_and_what_came_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let people: [(&str, &str, &[&str]); 1] = [("ann", "Ann Example", &["investigator", "admin"])];
    let stage = dir.path().join("stage");
    let stage = Stage::deployed(&stage, quiet, &people, &[], "connected").unwrap();
    let stick = dir.path().join("stick");
    let profile = stage.path("small.yaml");
    let yaml = "v: 1\nname: small\nabout: the system alone\nartifacts: [{name: system}]\n";
    fs::write(&profile, yaml).unwrap();
    let built = build(
        &stage,
        &args!["--profile", profile, "--output", stick, "--json"],
    )
    .unwrap();
    assert_eq!(built.code, 0, "{built:?}");
    let kit = json(&built.out).unwrap();

    let mut start = Command::new("sh");
    start.arg(stick.join("run.sh")).arg("--json");
    let now = evidence::instant::Instant::now().to_rfc3339().unwrap();
    for (option, value) in [
        ("--operator", OPERATOR),
        ("--location", "Hall <3>"),
        ("--medium", "S-77"),
        ("--time", &now),
        ("--remark", "found switched on"),
    ] {
        start.args([option, value]);
    }
    let done = programs::run(&mut start, &quiet).unwrap();
    assert!([0, 2].contains(&done.code), "{done:?}");
    let shown = json(&done.out).unwrap();
    let folder = PathBuf::from(shown["folder"].as_str().unwrap());
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();

    let (before, page) = form(&stage, &folder, "before.html");
    assert_eq!(before.code, 2, "{before:?}");
    for held in [
        kit["kit"].as_str().unwrap(),
        kit["order"].as_str().unwrap(),
        shown["collection"].as_str().unwrap(),
        shown["fingerprint"].as_str().unwrap(),
        &host,
        "K-1",
        "no network there",
        "Ann Example",
        OPERATOR,
        "Hall &lt;3&gt;",
        "S-77",
        "found switched on",
        &now[..10],
        "s after the operator&#39;s",
        "No receipt proves that the server has it.",
        "No receipt shows that it was.",
    ] {
        assert!(page.contains(held), "{held}: {page}");
    }
    assert!(!page.contains("NOT GENUINE"), "{page}");

    let home = stage.path("server");
    let import = args!["import", stick, "--dir", home, "--by", "Ann Example"];
    assert_eq!(stage.run("fieldseal-server", &import).unwrap().code, 0);
    let (_, text) = form(&stage, &folder, "after.txt");
    for held in [
        "Received by the server",
        "Taken in ",
        "the custody log has it",
    ] {
        assert!(text.contains(held), "{held}: {text}");
    }
    assert!(!text.contains("No receipt"), "{text}");

    // A receipt of another's, laid there by somebody.
    let other = folder.join("enrolment.receipt");
    fs::copy(other, folder.join("imported.receipt")).unwrap();
    let (_, text) = form(&stage, &folder, "forged.txt");
    assert!(
        text.contains("The receipt proves nothing: It is of another event."),
        "{text}"
    );
}
