//! The fleet in the console, in a real browser, with real agents: one that tells how it fares, and two that wait, of which
//! one is let in by mouse and one turned away by keyboard. `console/hosts.mjs` is the story.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, process::Command};

use fieldseal_tests::{
    args,
    browser::{self, HOST_SHOWN, PASSPHRASE, SCRIPT, console},
    stage::Stage,
    stick::wait_until,
};
use serde_json::{Value, json};

fn listed(stage: &Stage, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    let mut all = args!["hosts"].to_vec();
    all.extend(arguments.iter().map(Into::into));
    all.extend(args!["--json"]);
    let listed = stage.fieldseal(&all)?;
    anyhow::ensure!(listed.code == 0, "{listed:?}");
    Ok(serde_json::from_str(&listed.out)?)
}

/// Does to the server's rows what a hostile host or a server that was taken over could.
fn tamper(stage: &Stage, sql: &str, value: &Value) -> anyhow::Result<()> {
    let program = "import sqlite3, sys\n\
        base = sqlite3.connect(sys.argv[1], timeout=20)\n\
        print(base.execute(sys.argv[2], [sys.argv[3]]).rowcount)\n\
        base.commit()\n";
    let done = Command::new("python3")
        .args(["-c", program])
        .arg(stage.path("server/index.sqlite"))
        .args([sql, &value.to_string()])
        .output()?;
    anyhow::ensure!(done.status.success() && done.stdout != b"0\n", "{done:?}");
    Ok(())
}

/// A report in which all is wrong that can be.
fn trouble(stage: &Stage) -> anyhow::Result<()> {
    let health = json!({
        "problem": format!("{SCRIPT}\u{202e}"),
        "clock_ahead_ms": 600_000,
        "parts_waiting": 2,
        "bytes_waiting": 2_u64 << 30,
        "reader_walls": null,
        "courier_walls": "users; missing: landlock (the kernel has none)",
        "errors": [{
            "text": format!("an older one: {SCRIPT}"),
            "way": true,
            "first": "2026-11-01T10:00:00.000000000Z",
            "last": "2026-11-01T11:00:00.000000000Z",
            "times": 31,
            "over": true,
        }],
    });
    let patch = "UPDATE agents SET health = json_patch(health, ?)";
    tamper(stage, patch, &health)
}

#[test]
fn the_fleet_is_seen_and_hosts_are_let_in_or_turned_away() {
    let chromium = browser::chromium().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut stage = browser::stage(
        &dir.path().join("stage"),
        &["investigator", "admin", "auditor"],
    )
    .unwrap();
    wait_until("the host has told how it fares", || {
        Ok(!listed(&stage, &[])?[0]["health"].is_null())
    })
    .unwrap();
    // The very first report is whole.
    let health = listed(&stage, &[]).unwrap().remove(0)["health"].take();
    let walls = health["courier_walls"].as_str().unwrap();
    assert!(health["reader_walls"].is_string(), "{health}");
    let file = ["--held", "--label", "dmz"];
    stage.deployment_file("eve", "2", &file).unwrap();
    for folder in ["one", "other"] {
        stage.run_another(folder).unwrap();
    }
    wait_until("two wait", || Ok(listed(&stage, &["pending"])?.len() == 2)).unwrap();
    let pending = listed(&stage, &["pending"]).unwrap();
    // What the courier tells behind its walls is what the reader told before.
    assert_eq!(health["system"], pending[0]["host"]["system"]);
    let name = json!({ "hostname": HOST_SHOWN.replace("\\u{202e}", "\u{202e}").replace("\\u{1b}", "\u{1b}") });
    tamper(
        &stage,
        "UPDATE pending SET facts = json_patch(facts, ?)",
        &name,
    )
    .unwrap();
    let (ann, url) = console(&stage, "home").unwrap();
    let keys = [0, 1].map(|at| pending[at]["seal_key"].as_str().unwrap().to_owned());
    let told = json!({
        "chromium": chromium,
        "ann": url,
        "passphrase": PASSPHRASE,
        "hostShown": HOST_SHOWN,
        "version": health["agent_version"],
        "walls": [health["reader_walls"], walls],
        "whyShown": format!("{SCRIPT}\\u{{202e}}"),
        "keys": keys,
        "token": pending[0]["token"],
        "screenshots": browser::screenshots(),
        "dark": ["hosts-errors"],
    });
    let mut asked = |what: &str| match what {
        "trouble" => trouble(&stage),
        "enrolled" => wait_until("who was let in is a host", || {
            let hosts = listed(&stage, &[])?;
            Ok(hosts.len() == 2 && hosts.iter().all(|host| !host["last_seen"].is_null()))
        }),
        other => anyhow::bail!("nobody knows how to {other}"),
    };
    browser::story("hosts.mjs", &told, &mut asked).unwrap();
    ann.stop().unwrap();

    let audited = stage.fieldseal(&args!["audit"]).unwrap();
    assert_eq!(audited.code, 0, "{audited:?}");
    for said in ["was let in by", "was turned away by"] {
        assert!(audited.out.contains(said), "{said}: {}", audited.out);
    }
    // The words were on the keys that were shown: each host's own journal says which is its.
    for (key, is_in) in [(&keys[0], true), (&keys[1], false)] {
        let logs = ["one.log", "other.log"].map(|log| fs::read_to_string(stage.path(log)).unwrap());
        let log = logs.iter().find(|log| log.contains(key)).unwrap();
        assert_eq!(log.contains("this host was enrolled as"), is_in, "{log}");
    }
    assert!(listed(&stage, &["pending"]).unwrap().is_empty());
    // The command line counts as the pages do.
    let troubled = listed(&stage, &["--only", "clock"]).unwrap();
    assert_eq!(troubled.len(), 1, "{troubled:?}");
    stage.stop().unwrap();
}
