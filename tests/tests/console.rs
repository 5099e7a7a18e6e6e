//! A whole investigation in the console, in a real browser, with the real programs; `console/story.mjs` is the story.
//!
//! With FIELDSEAL_SCREENSHOTS=DIR the pictures of the main pages are written there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use fieldseal_tests::{args, running::Running, stage::Stage};
use serde_json::{Value, json};

const PASSPHRASE: &str = "a passphrase for the console";
/// What a hostile server, host or colleague may call things, and how a page must show it.
const SCRIPT: &str = "<script>window.__ran=1;alert(1)</script><img src=x onerror=window.__ran=1>";
const HOST: &str = "<b onclick=alert(1)>web</b>\u{202e}\u{1b}[2J";
const HOST_SHOWN: &str = "<b onclick=alert(1)>web</b>\\u{202e}\\u{1b}[2J";

const FILE: &str = "<img src=x onerror=window.__ran=1>";
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

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("console")
}

/// The browser and what drives it; a machine without them is told what to install.
fn browser() -> PathBuf {
    let candidates = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];
    let found = candidates.iter().map(PathBuf::from).find(|p| p.exists());
    let has = |name: &str| Command::new(name).arg("--version").output().is_ok();
    assert!(
        found.is_some() && has("node") && has("npm"),
        "This test needs a browser and node: apt-get install chromium nodejs npm"
    );
    let installed = Command::new("npm")
        .args(["ci", "--silent"])
        .current_dir(folder())
        .status()
        .unwrap();
    assert!(installed.success(), "npm ci failed in tests/console");
    found.unwrap()
}

/// Keys under a passphrase.
fn make_locked(stage: &Stage, id: &str, role: &str) {
    let made = stage
        .command("fieldseal")
        .env("FIELDSEAL_PASSPHRASE", PASSPHRASE)
        .args(["keys", "new", "--id", id, "--name", id, "--role", role])
        .args(["--role", "investigator", "--agency", "lab", "--output"])
        .arg(stage.path("keys").join(id))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// A deployment in which two must sign; ann investigates, bob approves; one host with a hostile name.
fn stage(dir: &Path) -> Stage {
    let mut stage = Stage::new(dir, quiet).unwrap();
    stage.make_person("eve", "Eve Example", &["admin"]).unwrap();
    make_locked(&stage, "ann", "investigator");
    make_locked(&stage, "bob", "approver");
    let vaults = ["one", "two"].map(|name| stage.make_vault(name).unwrap());
    let two = ["--threshold-triage", "2"];
    stage.init(&["eve", "ann", "bob"], &vaults, &two).unwrap();
    stage.serve().unwrap();
    stage.enrol("eve", &["web", "dmz"]).unwrap();
    rename_host(&stage);
    stage.set_up("ann").unwrap();
    stage.set_up_at("home-of-bob", "bob").unwrap();
    stage.run_agent().unwrap();
    stage
}

/// As a server that was taken over would: whatever its agent says of itself later.
fn rename_host(stage: &Stage) {
    let rename = "import sqlite3, sys\n\
        base = sqlite3.connect(sys.argv[1], timeout=20)\n\
        name = \"'\" + sys.argv[2] + \"'\"\n\
        base.execute(f'CREATE TRIGGER renamed AFTER UPDATE OF hostname ON agents BEGIN '\n\
        \x20   f'UPDATE agents SET hostname = {name} WHERE id = NEW.id; END')\n\
        print(base.execute('UPDATE agents SET hostname = id').rowcount)\n\
        base.commit()\n";
    let renamed = Command::new("python3")
        .args(["-c", rename])
        .arg(stage.path("server/index.sqlite"))
        .arg(HOST)
        .output()
        .unwrap();
    assert_eq!(renamed.stdout, b"1\n", "{renamed:?}");
}

/// A console beside us, and its address.
fn console(stage: &Stage, home: &str) -> (Running, String) {
    let log = stage.path(home).with_extension("console");
    let mut command = stage.command("fieldseal");
    command.arg("--home").arg(stage.path(home));
    command.args(args!["console", "--no-browser", "--json"]);
    let mut running = Running::start("fieldseal", &mut command, &log).unwrap();
    let url = || {
        let said: Value = serde_json::from_str(&fs::read_to_string(&log).ok()?).ok()?;
        Some(said["url"].as_str()?.to_owned())
    };
    let ready = || url().is_some();
    running.wait_until("it says where it is", &ready).unwrap();
    (running, url().unwrap())
}

#[test]
fn two_people_go_the_whole_way_in_a_browser_and_nothing_hostile_runs() {
    let chromium = browser();
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(&dir.path().join("stage"));
    let (ann, ann_url) = console(&stage, "home");
    let (bob, bob_url) = console(&stage, "home-of-bob");
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
        "screenshots": std::env::var_os("FIELDSEAL_SCREENSHOTS").map(PathBuf::from),
        "dark": ["overview", "approve"],
    });
    let mut story = Command::new("node")
        .arg(folder().join("story.mjs"))
        .arg(told.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut answer, said) = (story.stdin.take().unwrap(), story.stdout.take().unwrap());
    let mut all = Vec::new();
    for line in BufReader::new(said).lines() {
        let line = line.unwrap();
        match line.strip_prefix("ask ") {
            Some("kill-server") => stage.kill_server().unwrap(),
            Some("serve") => stage.serve().unwrap(),
            Some(other) => panic!("nobody knows how to {other}"),
            None => {
                all.push(line);
                continue;
            }
        }
        answer.write_all(b"done\n").unwrap();
    }
    let ended = story.wait().unwrap();
    hostile.kill().unwrap();
    hostile.wait().unwrap();
    let faults: Vec<_> = all.iter().filter(|l| l.starts_with("fault ")).collect();
    assert!(
        ended.success(),
        "{faults:#?}, and the last step was {:?}",
        all.iter().rfind(|l| l.starts_with("step "))
    );
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
