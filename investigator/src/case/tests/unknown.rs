//! Who seals without a root behind them: what they say of host, case and collection is theirs alone.

use std::fs;

use super::*;

/// A stranger says that it is web-1, and of its collection.
fn forged() -> Draft {
    Draft {
        agent: 200,
        ..Draft::default()
    }
    .result("processes", &[r#"{"pid":666}"#])
}

fn genuine() -> Draft {
    Draft::default().result("processes", &[r#"{"pid":1}"#])
}

#[test]
fn a_part_of_an_unknown_signer_is_not_loaded() {
    let stage = Stage::new();
    forged().make(&stage.evidence());
    let outcome = stage.load();
    assert_eq!((outcome.loaded, outcome.refused.len()), (0, 1));
    let refused = &outcome.refused[0];
    assert!(!refused.not_genuine, "{refused:?}");
    assert!(refused.why.contains("--allow-unknown"), "{refused:?}");
    assert!(!exists(&stage.database()), "it chooses no database");
}

#[test]
fn an_unknown_signer_never_stands_under_another_host_nor_in_its_way() {
    let stage = Stage::new();
    let made = forged().make(&stage.evidence());
    let outcome = stage.load_unknown();
    assert_eq!((outcome.loaded, outcome.unknown), (1, 1));
    assert!(outcome.reserved >= 1, "{outcome:?}");
    fs::remove_file(made.path).unwrap();
    // The genuine part of the same collection and number comes later.
    genuine().make(&stage.evidence());
    let outcome = stage.load();
    assert_eq!(
        (outcome.loaded, outcome.unknown, outcome.refused.len()),
        (1, 0, 0),
        "{outcome:?}"
    );
    let rows = stage.query("SELECT pid FROM processes WHERE host = 'web-1'");
    assert_eq!(rows, [[Value::Integer(1)]]);
    let strange = stage.query(
        "SELECT p.host, p.collection, p.signer_sha256 FROM processes JOIN parts p USING (collection, part) WHERE pid = 666",
    );
    let [host, collection, signer] = strange[0].as_slice() else {
        panic!("{strange:?}");
    };
    let mark = format!("unknown signer {}", &signer.to_text()[..16]);
    assert_eq!(*host, text(&format!("{mark}: web-1")));
    assert_eq!(*collection, text(&format!("{} by {mark}", forged().id())));
    // Once more, and nothing is new.
    forged().make(&stage.dir.path().join("evidence/later"));
    let again = stage.load_unknown();
    assert_eq!((again.kept, again.loaded), (1, 0), "{again:?}");
}

#[test]
fn beside_genuine_parts_an_unknown_signers_are_judged_alone() {
    let stage = Stage::new();
    forged().make(&stage.evidence().join("a"));
    genuine().make(&stage.evidence().join("b"));
    forged().make(&stage.evidence().join("c"));
    let outcome = stage.load_unknown();
    assert_eq!((outcome.loaded, outcome.refused.len()), (1, 2));
    for refused in &outcome.refused {
        assert!(refused.not_genuine, "{refused:?}");
        assert!(refused.why.contains("chain-duplicate"), "{refused:?}");
    }
    assert_eq!(stage.number("SELECT pid FROM processes"), 1);
}

/// An agent that is trusted speaks for itself alone, whatever host it says it is.
#[test]
fn two_agents_that_name_one_host_stay_two() {
    let stage = Stage::new();
    genuine().make(&stage.evidence());
    let other = Draft {
        collection: 2,
        agent: 2,
        ..Draft::default()
    };
    other
        .result("processes", &[r#"{"pid":2}"#])
        .make(&stage.evidence());
    assert_eq!(stage.load().loaded, 2);
    assert_eq!(stage.number("SELECT count(*) FROM hosts"), 2);
    let rows = stage.query("SELECT pid FROM processes WHERE host = 'web-1'");
    assert_eq!(rows, [[Value::Integer(1)]]);
}
