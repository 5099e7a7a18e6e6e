//! What is not loaded, and what can't be done to a case.

use std::fs;

use evidence::{digest::Digest, verify::Trust};

use super::*;
use crate::{case::verified, commands::files, exit::Exit};

#[test]
fn a_part_that_was_changed_is_not_loaded_and_the_rest_is() {
    let stage = Stage::new();
    two_hosts(&stage);
    let victim = stage
        .evidence()
        .join(Draft::default().id())
        .join("part-0001.zip");
    let mut bytes = fs::read(&victim).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&victim, bytes).unwrap();
    let outcome = stage.load();
    assert_eq!((outcome.loaded, outcome.refused.len()), (1, 1));
    let refused = &outcome.refused[0];
    assert!(
        refused.not_genuine && refused.path.ends_with("part-0001.zip"),
        "{refused:?}"
    );
    assert!(!refused.why.is_empty());
    assert_eq!(stage.query("SELECT host FROM hosts"), [[text("db-1")]]);
    let noted = stage.query("SELECT why FROM refused_parts");
    assert_eq!(noted, [[text(&refused.why)]]);
}

/// Every way to cheat that the vectors name: what verify calls false is loaded by nobody.
#[test]
fn what_verify_refuses_is_refused() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../evidence/tests/vectors");
    let index: Vec<serde_json::Value> =
        serde_json::from_slice(&fs::read(home.join("index.json")).unwrap()).unwrap();
    let mut false_ones = 0;
    for entry in &index {
        let name = entry["name"].as_str().unwrap();
        let given = |what: &str| entry["given"].as_array().unwrap().iter().any(|g| g == what);
        let pem = |file: &str| {
            Trust::from_pem(&fs::read_to_string(home.join("trust").join(file)).unwrap()).unwrap()
        };
        let mut options = Options::default();
        if given("trust") {
            options.trust = pem("root.crt");
        }
        if given("stamp_trust") {
            options.stamp_trust = pem("tsa.crt");
        }
        if given("policy") {
            options
                .policies
                .push(fs::read(home.join("trust/policy.json")).unwrap());
        }
        for (what, file) in [
            ("identity", "vault.txt"),
            ("other_identity", "other-vault.txt"),
        ] {
            if given(what) {
                options.identities = files::identities(&home.join("trust").join(file)).unwrap();
            }
        }
        let parts = files::parts(&[home.join(name)]).unwrap().parts;
        let judged = verified::judge(&parts, &options, true);
        let is_false = entry["exit_code"] == 1;
        let refused = judged.refused.iter().any(|r| r.not_genuine);
        assert_eq!(refused, is_false, "{name}: {:?}", judged.refused);
        false_ones += u32::from(is_false);
        for (report, _) in &judged.genuine {
            assert!(report.findings.verdict().exit_code() != 1, "{name}");
        }
    }
    assert!(false_ones > 100);
}

#[test]
fn a_part_that_contradicts_what_is_loaded_is_not() {
    let stage = Stage::new();
    let first = Draft {
        last: false,
        ..Draft::default()
    };
    let made = first
        .result("processes", &[r#"{"pid":1}"#])
        .make(&stage.evidence());
    stage.load();
    fs::remove_file(&made.path).unwrap();
    let stranger = Draft {
        part: 2,
        previous: Some(Digest::of(b"another")),
        ..Draft::default()
    };
    let second = stranger.make(&stage.evidence());
    let outcome = stage.load();
    assert!(
        outcome.refused[0].why.contains("does not follow"),
        "{outcome:?}"
    );
    fs::remove_file(second.path).unwrap();
    Draft::default()
        .result("processes", &[r#"{"pid":9}"#])
        .make(&stage.evidence());
    let outcome = stage.load();
    assert!(
        outcome.refused[0]
            .why
            .contains("another part of this number"),
        "{outcome:?}"
    );
    assert_eq!(stage.number("SELECT pid FROM processes"), 1);
}

#[test]
fn a_case_keeps_to_itself() {
    let stage = Stage::new();
    two_hosts(&stage);
    stage.load();
    let other = Draft {
        collection: 9,
        case: Some("C-2".to_owned()),
        ..Draft::default()
    };
    other.make(&stage.evidence());
    let nameless = Draft {
        collection: 8,
        case: None,
        ..Draft::default()
    };
    nameless.make(&stage.evidence());
    let outcome = stage.load();
    assert_eq!(
        (outcome.loaded, outcome.kept, outcome.refused.len()),
        (0, 2, 2)
    );
    let reasons: Vec<_> = outcome.refused.iter().map(|r| r.why.as_str()).collect();
    assert!(reasons.iter().any(|w| w.contains("C-1")), "{reasons:?}");
    assert!(reasons.iter().any(|w| w.contains("--case")), "{reasons:?}");
    assert_eq!(stage.open().case().unwrap(), "C-1");
}

#[test]
fn a_query_can_only_read() {
    let stage = Stage::new();
    two_hosts(&stage);
    stage.load();
    let before = fs::read(stage.database()).unwrap();
    let database = stage.open();
    let outside = stage.dir.path().join("outside.sqlite");
    let attach = format!("ATTACH '{}' AS o", outside.display());
    let vacuum = format!("VACUUM INTO '{}'", outside.display());
    for sql in [
        "DELETE FROM processes",
        "UPDATE parts SET verdict = 'genuine'",
        "INSERT INTO search (search) VALUES ('optimize')",
        "INSERT INTO search (search, rank) VALUES ('rank', 'bm25()')",
        "DROP TABLE hosts",
        "CREATE TEMP TABLE t (a)",
        "PRAGMA query_only = 0",
        "PRAGMA writable_schema = 1",
        "PRAGMA journal_mode = WAL",
        "PRAGMA temp_store_directory = '/tmp'",
        "SELECT load_extension('x')",
        "SELECT 1; DELETE FROM processes",
        "SELECT ?",
        "BEGIN",
        "nonsense",
        "",
        &attach,
        &vacuum,
    ] {
        let error = query(&database, sql).err();
        let error = error.unwrap_or_else(|| panic!("{sql} was run"));
        assert_eq!(Exit::of(&error), Exit::Usage, "{sql}: {error:#}");
    }
    assert!(!exists(&outside));
    for sql in [
        "SELECT name FROM pragma_table_info('processes')",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT count(*) FROM n",
        "SELECT value FROM processes, json_each(cmdline)",
        "SELECT count(*) FROM search WHERE search MATCH 'miner'",
        "SELECT * FROM timeline ORDER BY time LIMIT 1",
        "SELECT 1;",
    ] {
        query(&database, sql).unwrap_or_else(|e| panic!("{sql}: {e:#}"));
    }
    assert_eq!(fs::read(stage.database()).unwrap(), before);
}

#[test]
fn what_is_no_case_database_is_refused() {
    let stage = Stage::new();
    two_hosts(&stage);
    for (name, bytes) in [
        ("text", &b"not a database at all, only text"[..]),
        ("empty", b""),
    ] {
        let path = stage.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert!(Database::open_read(&path).is_err(), "{name}");
    }
    let other = stage.dir.path().join("other.sqlite");
    let connection = rusqlite::Connection::open(&other).unwrap();
    connection.execute_batch("CREATE TABLE t (a)").unwrap();
    drop(connection);
    assert!(Database::open_read(&other).is_err());
    assert!(Database::open_read(Path::new("nowhere.sqlite")).is_err());
    assert!(!exists(Path::new("nowhere.sqlite")));
    let options = stage.options.clone();
    let place = crate::case::load::Place::File(other);
    let loader = crate::case::Loader::new(place, None, &options);
    let parts = files::parts(&[stage.evidence()]).unwrap().parts;
    assert!(loader.load(&parts, &mut |_| Ok(())).is_err());
}
