//! Evidence expires by a rule that an admin signed, and not under a hold; the custody log tells all of it. With the real
//! programs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use fieldseal_tests::{args, programs::Outcome, stage::Stage};
use serde_json::Value;

const BOBS: &str = "home-of-bob";
/// How long the server may take to look for what is due, at its start.
const PATIENCE: Duration = Duration::from_secs(60);

fn quiet(_: &str) {}

/// Ann investigates and administers; bob audits and administers. A rule counts without notice.
fn stage(dir: &Path) -> Stage {
    let people: [(&str, &str, &[&str]); 2] = [
        ("ann", "Ann Example", &["investigator", "admin"]),
        ("bob", "Bob Example", &["auditor", "admin"]),
    ];
    let mut stage = Stage::deployed(dir, quiet, &people, &[], "keep").unwrap();
    stage.set_up_at(BOBS, "bob").unwrap();
    stage.stop_server().unwrap();
    let settings = stage.path("server/server.toml");
    let text = fs::read_to_string(&settings).unwrap();
    let (with, without) = ("retention_notice_s = 86400", "retention_notice_s = 0");
    assert!(text.contains(with), "{text}");
    fs::write(&settings, text.replace(with, without)).unwrap();
    stage.serve().unwrap();
    stage
}

/// A small collection, delivered: its order.
fn collected(stage: &Stage) -> String {
    let done = stage.collect_small(&["--watch"]).unwrap();
    assert!([0, 2].contains(&done.code), "{done:?}");
    done.order().unwrap().to_owned()
}

fn json(outcome: &Outcome) -> Value {
    assert_eq!(outcome.code, 0, "{outcome:?}");
    serde_json::from_str(&outcome.out).unwrap()
}

/// What the list says of the collection on an order.
fn listed(stage: &Stage, order: &str) -> Value {
    let all = json(&stage.fieldseal(&args!["list", "--json"]).unwrap());
    let rows = all["collections"].as_array().unwrap();
    let row = rows.iter().find(|row| row["order"] == order).unwrap();
    row.clone()
}

/// The server looks at each start.
fn look(stage: &mut Stage, order: &str) {
    stage.stop_server().unwrap();
    stage.serve().unwrap();
    let begun = Instant::now();
    while listed(stage, order)["expired"]["receipts"][0].is_null() {
        assert!(begun.elapsed() < PATIENCE, "{}", listed(stage, order));
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn evidence_expires_by_a_signed_rule_and_stays_under_a_hold_until_it_is_lifted() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = stage(&dir.path().join("stage"));
    stage.run_agent().unwrap();
    let (free, kept) = (collected(&stage), collected(&stage));
    stage.stop_agent().unwrap();

    let arguments = args![
        "hold",
        "place",
        "--order",
        kept,
        "--reason",
        "4 Gs 12/26",
        "--json"
    ];
    let placed = json(&stage.fieldseal(&arguments).unwrap());
    assert_eq!(placed["collections"], 1);
    let hold = placed["hold"].as_str().unwrap().to_owned();
    let arguments = args!["retention", "set", "--days", "0", "--reason", "a test"];
    let ruled = stage.fieldseal(&arguments).unwrap();
    assert!(
        ruled.code == 0 && ruled.out.contains("rule 1 of lab is in force"),
        "{ruled:?}"
    );
    let shown = stage
        .fieldseal_at(BOBS, &args!["retention", "show"])
        .unwrap();
    assert!(shown.code == 0 && shown.out.contains("0 days"), "{shown:?}");
    let due = json(
        &stage
            .fieldseal(&args!["retention", "due", "--within", "1d", "--json"])
            .unwrap(),
    );
    let due = due["collections"].as_array().unwrap();
    let of = |order: &str| due.iter().find(|row| row["order"] == order).unwrap();
    assert_eq!(of(&kept)["holds"][0], hold.as_str());
    assert_eq!(of(&free)["holds"].as_array().unwrap().len(), 0);

    look(&mut stage, &free);
    assert!(listed(&stage, &kept)["expired"].is_null());
    let table = stage.fieldseal(&args!["list"]).unwrap();
    assert!(
        table.out.contains("expired on ") && table.out.contains(", held"),
        "{table:?}"
    );
    let output = dir.path().join("expired");
    let fetched = stage
        .fieldseal(&args!["fetch", free, "--output", output])
        .unwrap();
    assert_eq!(fetched.code, 2, "{fetched:?}");
    assert!(fetched.err.contains("by rule 1 of lab"), "{fetched:?}");
    let verified = stage.fieldseal(&args!["verify", output]).unwrap();
    assert!(
        verified.code == 2 && verified.out.contains("expired on "),
        "{verified:?}"
    );
    let output = dir.path().join("kept");
    let fetched = stage
        .fieldseal(&args!["fetch", kept, "--output", output])
        .unwrap();
    assert_eq!(fetched.code, 0, "{fetched:?}");

    // Who placed a hold does not lift it, even as an admin.
    let lift = args!["hold", "lift", hold, "--reason", "the case is closed"];
    let own = stage.fieldseal(&lift).unwrap();
    assert!(
        own.code == 1 && own.err.contains("another admin"),
        "{own:?}"
    );
    let lifted = stage.fieldseal_at(BOBS, &lift).unwrap();
    assert_eq!(lifted.code, 0, "{lifted:?}");
    look(&mut stage, &kept);

    for home in ["home", BOBS] {
        let audit = stage.fieldseal_at(home, &args!["audit"]).unwrap();
        assert_eq!(audit.code, 0, "{audit:?}");
        for told in [
            "retention rule 1 with digest ",
            "was set by ann",
            &format!("hold {hold} was placed by ann"),
            &format!("hold {hold} was lifted by bob"),
            " expired by the retention rule with digest ",
        ] {
            assert!(audit.out.contains(told), "{told} {audit:?}");
        }
    }
    let nothing = fs::read_dir(stage.path("server/evidence/blobs")).unwrap();
    let left = nothing.flat_map(|shelf| fs::read_dir(shelf.unwrap().path()).unwrap());
    assert_eq!(left.count(), 0, "no ciphertext is left");
}
