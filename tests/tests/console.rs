//! A whole investigation in the console, in a real browser, with the real programs; `console/story.mjs` is the story.
//!
//! With FIELDSEAL_SCREENSHOTS=DIR the pictures of the main pages are written there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, os::unix::process::CommandExt as _, path::Path, process::Command};

use fieldseal_tests::{
    args,
    browser::{self, FILE, HOST_SHOWN, PASSPHRASE, SCRIPT, console, make_locked},
    stage::Stage,
};
use serde_json::json;

const COMMAND: &str = "needleword<script>window.__ran=1</script>\u{202e}\u{7}";
const COMMAND_SHOWN: &str = "needleword<script>window.__ran=1</script>\\u{202e}\\u{7}";

fn quiet(_: &str) {}

/// More files than two pages show, one of them with a hostile name; gives how many.
fn make_files(folder: &Path) -> usize {
    const FILES: usize = 230;
    fs::create_dir_all(folder).unwrap();
    for number in 0..FILES {
        fs::write(folder.join(format!("file-{number:04}")), number.to_string()).unwrap();
    }
    fs::write(folder.join(format!("{FILE}\u{202e}")), "x").unwrap();
    FILES
}

/// A deployment in which two must sign; ann investigates, bob approves; one host with a hostile name.
fn stage(dir: &Path) -> Stage {
    let mut stage = Stage::new(dir, quiet).unwrap();
    stage.make_person("eve", "Eve Example", &["admin"]).unwrap();
    make_locked(&stage, "ann", &["investigator"]).unwrap();
    make_locked(&stage, "bob", &["approver", "investigator"]).unwrap();
    let vaults = ["one", "two"].map(|name| stage.make_vault(name).unwrap());
    let two = ["--threshold-triage", "2"];
    stage.init(&["eve", "ann", "bob"], &vaults, &two).unwrap();
    stage.serve().unwrap();
    stage.enrol("eve", &["web", "dmz"]).unwrap();
    browser::rename_host(&stage).unwrap();
    stage.set_up("ann").unwrap();
    stage.set_up_at("home-of-bob", "bob").unwrap();
    stage.run_agent().unwrap();
    stage
}

#[test]
fn two_people_go_the_whole_way_in_a_browser_and_nothing_hostile_runs() {
    let chromium = browser::chromium().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(&dir.path().join("stage"));
    let (ann, ann_url) = console(&stage, "home").unwrap();
    let (bob, bob_url) = console(&stage, "home-of-bob").unwrap();
    let mut hostile = Command::new("sleep");
    hostile.arg0(COMMAND).arg("900");
    let mut hostile = hostile.spawn().unwrap();
    let files = make_files(&stage.path("host"));
    let gone = format!("/gone/\u{202e}{SCRIPT}");
    let told = json!({
        "chromium": chromium,
        "ann": ann_url,
        "bob": bob_url,
        "passphrase": PASSPHRASE,
        "yaml": "v: 1\nname: look\nabout: what runs, and digests below some folders\n\
                 artifacts: [{name: system}, {name: accounts}, {name: processes}, {name: connections}, {name: file_hashes}]\n",
        "paths": format!("{}\n{gone}", stage.path("host").display()),
        "files": files,
        "fileShown": format!("{FILE}\\u{{202e}}"),
        "commandShown": COMMAND_SHOWN,
        "case": format!("2026-7 {SCRIPT}"),
        "caseShown": format!("2026-7 {SCRIPT}"),
        "reason": "A phishing mail \u{2066}was opened",
        "reasonShown": "A phishing mail \\u{2066}was opened",
        "hostShown": HOST_SHOWN,
        "pathShown": format!("\\u{{202e}}{SCRIPT}"),
        "screenshots": browser::screenshots(),
        "dark": ["overview", "approve"],
    });
    let told = browser::story("story.mjs", &told, &mut |what| match what {
        "kill-server" => stage.kill_server(),
        "serve" => stage.serve(),
        other => anyhow::bail!("nobody knows how to {other}"),
    });
    hostile.kill().unwrap();
    hostile.wait().unwrap();
    told.unwrap();
    // Ended by its button; the other by a signal.
    assert_eq!(ann.finish().unwrap(), 0);
    bob.stop().unwrap();

    // What was done there is seen by the command line.
    let audited = stage.fieldseal(&args!["audit"]).unwrap();
    assert_eq!(audited.code, 0, "{audited:?}");
    assert!(audited.out.contains("handed out to ann"), "{audited:?}");
    let evidence = stage.path("home/evidence");
    let arguments = args!["verify", evidence, "--trust", stage.path("trust/root.crt")];
    let verified = stage.fieldseal(&arguments).unwrap();
    assert_eq!(verified.code, 2, "{verified:?}");
}
