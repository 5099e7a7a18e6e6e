//! What becomes of orders in the console, in a real browser, with the real programs: one with a warrant's scope is
//! cancelled and retried, a folder is watched, a baseline stands, a hunt is asked, its hits are collected, the verdict is recorded, an agent is revoked.
//! `console/orders.mjs` is the story. What was signed there is read here: the same documents as the command line's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command},
};

use evidence::{digest::Digest, envelope::Envelope};
use fieldseal_tests::{
    args,
    browser::{self, FILE, HOST_SHOWN, PASSPHRASE, SCRIPT, console},
    stage::Stage,
};
use protocol::{order::Order, recurrence::Recurrence};
use serde_json::json;

const MIB: usize = 1 << 20;
/// At so many bytes a second it takes minutes.
const FILES: usize = 180;

/// A program with a hostile name that runs, and is ended with the test.
struct Runs(Child, PathBuf);

impl Runs {
    fn new(folder: &Path) -> Self {
        let path = folder.join(format!("sleeper{FILE}\u{202e}"));
        fs::copy("/bin/sleep", &path).unwrap();
        let child = Command::new(&path).arg("900").spawn().unwrap();
        Self(child, path)
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn slow_tree(tree: &Path) {
    fs::create_dir_all(tree).unwrap();
    for n in 0..FILES {
        fs::write(tree.join(format!("{n:03}")), vec![n as u8; MIB]).unwrap();
    }
}

fn lighten(tree: &Path) -> anyhow::Result<()> {
    for n in 1..FILES {
        fs::remove_file(tree.join(format!("{n:03}")))?;
    }
    Ok(())
}

/// What ann signed in her console, as she keeps it, and its digest.
fn signed(stage: &Stage, notes: &[(String, String)], name: &str) -> (Order, Digest) {
    let id = &notes.iter().find(|(n, _)| n == name).unwrap().1;
    let kept = stage.path("home/orders").join(format!("{id}.json"));
    let envelope = Envelope::parse(&fs::read(kept).unwrap()).unwrap();
    (Order::read(&envelope).unwrap(), envelope.digest())
}

#[test]
fn orders_are_narrowed_stopped_retried_and_hunts_lead_to_evidence() {
    let chromium = browser::chromium().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let stage = browser::stage(&dir.path().join("stage"), &["investigator", "admin"]).unwrap();
    let tree = stage.path("slow");
    slow_tree(&tree);
    let hunted = stage.path("hunted");
    fs::create_dir_all(&hunted).unwrap();
    let planted = hunted.join(format!("{FILE}\u{202e}"));
    fs::write(&planted, "planted").unwrap();
    fs::write(hunted.join("harmless"), "harmless").unwrap();
    let list = stage.path("digests.txt");
    fs::write(
        &list,
        format!("# known\n{}  harmless\n", Digest::of(b"harmless")),
    )
    .unwrap();
    let watched = stage.path("watched");
    fs::create_dir_all(&watched).unwrap();
    let sleeper = Runs::new(&hunted);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (ann, url) = console(&stage, "home").unwrap();
    let basis = format!("4 Gs 12/26 {SCRIPT}");
    let told = json!({
        "chromium": chromium,
        "ann": url,
        "passphrase": PASSPHRASE,
        "yaml": format!(
            "v: 1\nname: slow\nabout: slowly\nartifacts: [{{name: system}}, {{name: file_hashes}}]\npaths: [{}]\n\
             limits: {{io_bytes_per_second: {MIB}}}\n",
            tree.display()
        ),
        "basis": basis,
        "watched": watched,
        "baseline": "v: 1\nname: baseline\nabout: a little\nartifacts: [{name: system}]\n",
        "window": "00:00-24:00",
        "scopePath": stage.dir,
        "case": format!("2026-8 {SCRIPT}"),
        "hostShown": HOST_SHOWN,
        "hunted": hunted,
        "digest": Digest::of(b"planted"),
        "list": list,
        "process": sleeper.1.file_name().unwrap().to_str(),
        "port": listener.local_addr().unwrap().port(),
        "fileShown": format!("{FILE}\\u{{202e}}"),
        "whyShown": format!("{SCRIPT}\\u{{202e}}"),
        "why": format!("{SCRIPT}\u{202e}"),
        "screenshots": browser::screenshots(),
        "dark": ["hits"],
    });
    let mut asked = |what: &str| match what {
        "lighten" => lighten(&tree),
        "change" => Ok(fs::write(watched.join(FILE), "new")?),
        other => anyhow::bail!("nobody knows how to {other}"),
    };
    let notes = browser::story("orders.mjs", &told, &mut asked).unwrap();
    ann.stop().unwrap();

    let (first, first_digest) = signed(&stage, &notes, "first");
    let scope = first.parameters.scope.as_ref().unwrap();
    assert_eq!(scope.basis, basis);
    assert_eq!(scope.paths, [stage.dir.to_str().unwrap()]);
    assert_eq!(first.rollout.unwrap().hosts_per_minute, 60);
    assert_eq!(first.rollout.unwrap().stop_past_failed_percent, 50);
    let (again, _) = signed(&stage, &notes, "retry");
    assert_eq!(again.predecessor, Some(first_digest));
    assert_eq!(
        (&again.profile, &again.parameters),
        (&first.profile, &first.parameters)
    );
    let watch = Recurrence::Watch {
        settle_seconds: 1,
        per_hour: 12,
        captures: 9,
    };
    assert_eq!(signed(&stage, &notes, "watch").0.recurrence, Some(watch));
    let standing = signed(&stage, &notes, "standing").0.recurrence.unwrap();
    let Recurrence::Standing { every_seconds, .. } = standing else {
        panic!("{standing:?}");
    };
    assert_eq!(every_seconds, 7 * 86_400);
    let (hunt, hunt_digest) = signed(&stage, &notes, "hunt");
    assert_eq!(hunt.predecessor, None);
    let (collected, _) = signed(&stage, &notes, "collected");
    assert_eq!(collected.predecessor, Some(hunt_digest));
    let named = [planted, sleeper.1.clone()].map(|p| p.to_str().unwrap().to_owned());
    assert_eq!(collected.parameters.paths, named);

    let audited = stage.fieldseal(&args!["audit"]).unwrap();
    assert_eq!(audited.code, 0, "{audited:?}");
    for said in ["was cancelled by ann", "checked: genuine", "was revoked"] {
        assert!(audited.out.contains(said), "{said}: {}", audited.out);
    }
}
