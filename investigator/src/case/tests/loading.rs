//! What is loaded, and that it is loaded once, whatever comes between.

use std::fs;

use evidence::wrap::Identity;
use rusqlite::Connection;

use super::*;
use crate::case::{
    catalog::{Catalog, OTHER},
    lines::{Origin, Rows as LineRows},
    schema,
};

#[test]
fn every_record_becomes_a_row_of_its_artifact() {
    let stage = Stage::new();
    two_hosts(&stage);
    let outcome = stage.load();
    assert_eq!(
        (outcome.loaded, outcome.refused.len(), outcome.faults),
        (2, 0, 0)
    );
    for (table, rows) in [
        ("processes", 6),
        ("sessions", 2),
        ("running_executables", 2),
        ("files", 4),
        ("gaps", 2),
        ("log", 2),
        ("hosts", 2),
        ("collections", 2),
        ("parts", 2),
        ("connections", 0),
    ] {
        assert_eq!(
            stage.number(&format!("SELECT count(*) FROM {table}")),
            rows,
            "{table}"
        );
    }
    let rows = stage.query(
        "SELECT host, part, line, pid, cmdline, hidden, environment FROM processes WHERE hidden AND host = 'db-1'",
    );
    let cmdline = text(r#"["miner","--pool=evil.example"]"#);
    let number = Value::Integer;
    let wanted = vec![
        text("db-1"),
        number(1),
        number(3),
        number(4),
        cmdline,
        number(1),
        Value::Null,
    ];
    assert_eq!(rows, [wanted]);
    // What is called as one of our own columns.
    let rows = stage
        .query("SELECT host, record_host, record_line, line FROM sessions WHERE host = 'web-1'");
    assert_eq!(
        rows,
        [vec![
            text("web-1"),
            text("10.0.0.9"),
            text("pts/0"),
            number(1)
        ]]
    );
    // Times of files stand in columns, exact bytes beside their text.
    let rows = stage
        .query("SELECT modified, path_b64 FROM files WHERE path LIKE '%odd%' AND host = 'web-1'");
    let bytes = data_encoding::BASE64.encode(b"/var/log/odd-\xff");
    assert_eq!(
        rows,
        [vec![text("2026-11-20T09:58:20.000000000Z"), text(&bytes)]]
    );
    let verdicts = stage.query("SELECT DISTINCT verdict, signer_known FROM parts");
    assert_eq!(
        verdicts,
        [vec![text("genuine_with_reservations"), number(1)]]
    );
}

#[test]
fn what_is_loaded_twice_changes_nothing_and_what_comes_later_extends() {
    let stage = Stage::new();
    let first = Draft {
        last: false,
        ..Draft::default()
    };
    let first = first.result("processes", &[r#"{"pid":1}"#]);
    let made = first.make(&stage.evidence());
    assert_eq!(stage.load().loaded, 1);
    let dump = "SELECT group_concat(source || first_row || last_row) FROM part_rows";
    let before = (stage.query(dump), stage.query("SELECT * FROM parts"));
    let again = stage.load();
    assert_eq!((again.loaded, again.kept, again.records), (0, 1, 0));
    assert_eq!(
        (stage.query(dump), stage.query("SELECT * FROM parts")),
        before
    );
    let second = Draft {
        part: 2,
        previous: Some(made.sha256),
        before: made.counts,
        ..Draft::default()
    };
    second
        .result("processes", &[r#"{"pid":2}"#])
        .make(&stage.evidence());
    let more = stage.load();
    assert_eq!((more.loaded, more.kept), (1, 1));
    assert_eq!(stage.number("SELECT count(*) FROM processes"), 2);
    assert_eq!(stage.number("SELECT last_part FROM collections"), 2);
    assert_eq!(
        stage.number("SELECT count(*) FROM search WHERE search MATCH 'began'"),
        2
    );
}

#[test]
fn unknown_artifacts_and_fields_are_kept_whole() {
    let stage = Stage::new();
    let many: Vec<String> = (0..300).map(|n| format!("\"field_{n}\":{n}")).collect();
    Draft::default()
        .result(
            "widgets",
            &[r#"{"colour":"red","made_time":"2026-01-01T00:00:00.000000000Z","size":1.5,"deep":{"a":[1]}}"#,
              r#"{"colour":"blue","shape":"round"}"#],
        )
        .result("processes", &[r#"{"pid":1,"aura":"green","Pid":2,"a b":{"c":"d"}}"#])
        .result("many", &[&format!("{{{}}}", many.join(","))])
        .make(&stage.evidence());
    let outcome = stage.load();
    assert_eq!((outcome.loaded, outcome.faults), (1, 0));
    let rows = stage.query("SELECT colour, shape, size, deep FROM widgets ORDER BY line");
    let deep = text(r#"{"a":[1]}"#);
    assert_eq!(rows[0], [text("red"), Value::Null, Value::Real(1.5), deep]);
    assert_eq!(
        rows[1],
        [text("blue"), text("round"), Value::Null, Value::Null]
    );
    let rows = stage.query("SELECT aura, more, json_extract(more, '$.\"a b\".c') FROM processes");
    assert_eq!(
        rows,
        [vec![
            text("green"),
            text(r#"{"Pid":2,"a b":{"c":"d"}}"#),
            text("d")
        ]]
    );
    // Its time stands in the timeline, its words in the search.
    assert_eq!(
        stage.number("SELECT count(*) FROM timeline WHERE source = 'widgets'"),
        1
    );
    assert_eq!(
        stage.open().search("round", None, None, 9).unwrap().hits[0].source,
        "widgets"
    );
    // Beyond the columns that a table may have, fields stand in `more`.
    let kept = "SELECT field_3 + json_extract(more, '$.field_299') FROM many";
    assert_eq!(stage.number(kept), 302);
}

#[test]
fn hostile_names_and_texts_are_data() {
    let stage = Stage::new();
    let evil = "x\"); DROP TABLE hosts; --";
    let line = serde_json::json!({
        "name": "'; DELETE FROM parts; --\u{202e}\u{1b}[2J\u{0}", evil: evil, "host": "other", "rowid": 7, "more": "m",
    });
    Draft {
        hostname: "a'\"; DROP TABLE parts; --\u{1b}]0;x\u{7}".to_owned(),
        ..Draft::default()
    }
    .result("processes", &[&line.to_string()])
    .result(evil, &[r#"{"a":1}"#])
    .result("hosts", &[r#"{"b":2}"#])
    .result("SQLITE_MASTER", &[r#"{"c":3}"#])
    .make(&stage.evidence());
    let outcome = stage.load();
    assert_eq!((outcome.loaded, outcome.records), (1, 5));
    assert_eq!(stage.number("SELECT count(*) FROM hosts"), 1);
    assert_eq!(stage.number("SELECT count(*) FROM parts"), 1);
    let rows =
        stage.query("SELECT name, record_host, record_rowid, record_more, more FROM processes");
    assert_eq!(rows[0][0], text(line["name"].as_str().unwrap()));
    assert_eq!(rows[0][1..4], [text("other"), Value::Integer(7), text("m")]);
    assert!(rows[0][4].to_text().contains("DROP TABLE hosts"));
    let rows = stage.query("SELECT artifact, more FROM other_records ORDER BY artifact");
    assert_eq!(rows[0], [text("SQLITE_MASTER"), text(r#"{"c":3}"#)]);
    assert_eq!(rows[1], [text(evil), text(r#"{"a":1}"#)]);
    assert_eq!(stage.number("SELECT b FROM artifact_hosts"), 2);
}

#[test]
fn two_hosts_of_one_name_stay_two() {
    let stage = Stage::new();
    for number in [1, 2, 3] {
        Draft {
            collection: number,
            host: number.min(2),
            agent: number.min(2),
            ..Draft::default()
        }
        .make(&stage.evidence());
    }
    stage.load();
    let hosts = stage.query("SELECT host FROM hosts ORDER BY length(host)");
    assert_eq!(hosts.len(), 2);
    assert_eq!(hosts[0], [text("web-1")]);
    assert!(hosts[1][0].to_text().starts_with("web-1 ("));
}

/// SQLite has one list of names for tables and indexes: what a hostile part's artifact is called never meets an index.
#[test]
fn no_artifact_takes_the_name_of_an_index() {
    let hostile = |number| {
        Draft {
            collection: number,
            ..Draft::default()
        }
        .result("by_processes_host", &[r#"{"a":1}"#])
        .result("by_processes.host", &[r#"{"a":1}"#])
        .result("part_rows_by_source", &[r#"{"a":1}"#])
        .result("json_each", &[r#"{"a":1}"#])
        .result("a", &[r#"{"b_time":"2026-01-01T00:00:00.000000000Z"}"#])
        .result("a_b", &[r#"{"time":"2026-01-01T00:00:00.000000000Z"}"#])
    };
    let honest = |stage: &Stage, number| {
        let draft = Draft {
            collection: number,
            ..Draft::default()
        };
        draft
            .result("processes", &[r#"{"pid":1}"#])
            .make(&stage.evidence());
        assert_eq!(stage.load().loaded, 1);
    };
    for hostile_first in [true, false] {
        let stage = Stage::new();
        if !hostile_first {
            honest(&stage, 1);
        }
        hostile(2).make(&stage.evidence());
        assert_eq!(stage.load().loaded, 1);
        honest(&stage, 3);
        let others = stage.query("SELECT artifact FROM other_records ORDER BY artifact");
        let wanted = ["by_processes.host", "by_processes_host", "json_each"];
        assert_eq!(others, wanted.map(|name| [text(name)]));
        assert_eq!(stage.number("SELECT a FROM part_rows_by_source"), 1);
        // By host and by time, each of the two.
        let indexes =
            "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND tbl_name IN ('a', 'a_b')";
        assert_eq!(stage.number(indexes), 4);
    }
}

#[test]
fn a_load_that_is_killed_leaves_nothing_half_done() {
    let stage = Stage::new();
    two_hosts(&stage);
    // What a process that is killed leaves behind: the files as they are while a transaction is open.
    let connection = schema::open_to_write(&stage.database()).unwrap();
    let mut catalog = Catalog::default();
    connection
        .execute_batch("PRAGMA cache_size = 1; BEGIN IMMEDIATE")
        .unwrap();
    catalog.declare(&connection).unwrap();
    let origin = Origin {
        host: "h".to_owned(),
        collection: "c".to_owned(),
        part: 1,
    };
    let lines = "{\"pid\":1,\"name\":\"half\"}\n".repeat(5_000);
    let table = catalog.tables.get_mut("processes").unwrap();
    let mut rows = LineRows::new(&connection, origin).unwrap();
    rows.take(
        table,
        "results/processes.jsonl",
        None,
        &mut lines.as_bytes(),
    )
    .unwrap();
    let copy = stage.dir.path().join("killed.sqlite");
    for ending in ["", "-wal"] {
        let from = format!("{}{ending}", stage.database().display());
        if exists(Path::new(&from)) {
            fs::copy(from, format!("{}{ending}", copy.display())).unwrap();
        }
    }
    let outcome = testing::load(&stage.evidence(), &copy, &stage.options);
    assert_eq!(outcome.loaded, 2);
    let database = Database::open_read(&copy).unwrap();
    assert_eq!(database.count("processes", &[]).unwrap(), 6);
    assert_eq!(
        query(&database, "SELECT count(*) FROM processes").unwrap(),
        [[Value::Integer(6)]]
    );
    assert!(
        database
            .search("half", None, None, 9)
            .unwrap()
            .hits
            .is_empty()
    );
    assert!(
        !exists(&stage.dir.path().join("killed.sqlite-wal")),
        "one file again"
    );
}

#[test]
fn lines_that_are_no_records_are_told_with_their_reason() {
    let stage = Stage::new();
    let connection = schema::open_to_write(&stage.database()).unwrap();
    let mut catalog = Catalog::default();
    catalog.declare(&connection).unwrap();
    let origin = Origin {
        host: "h".to_owned(),
        collection: "c".to_owned(),
        part: 1,
    };
    let mut bytes =
        b"{\"pid\":1}\nnot json\n[1]\n{\"pid\":1,\"pid\":2}\n{\"name\":\"\xff\"}\n{\"pid\":3}\n"
            .to_vec();
    let deep = format!("{{\"maps\":{}1{}}}\n", "[".repeat(5_000), "]".repeat(5_000));
    bytes.extend_from_slice(deep.as_bytes());
    bytes.extend_from_slice(b"{\"pid\":4}");
    let table = catalog.tables.get_mut("processes").unwrap();
    let mut rows = LineRows::new(&connection, origin).unwrap();
    rows.take(
        table,
        "results/processes.jsonl",
        None,
        &mut bytes.as_slice(),
    )
    .unwrap();
    // How deep a value goes is its own affair: it is kept as text.
    assert_eq!((rows.tally.records, rows.tally.faults), (3, 5));
    let mut found = connection
        .prepare("SELECT line, why, text FROM load_faults ORDER BY line")
        .unwrap();
    let faults: Vec<(i64, String, String)> = found
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let lines: Vec<_> = faults.iter().map(|f| f.0).collect();
    assert_eq!(lines, [2, 3, 4, 5, 8]);
    assert!(
        faults[0].1.contains("expected") && faults[0].2 == "not json",
        "{faults:?}"
    );
    assert!(faults[4].1.contains("line feed"), "{faults:?}");
    assert!(faults.iter().all(|f| f.2.chars().count() <= 400));
}

#[test]
fn encrypted_parts_are_loaded_with_their_key_alone() {
    let mut stage = Stage::new();
    let vault = Identity::generate();
    let draft = Draft {
        vault: Some(vault.clone()),
        ..Draft::default()
    };
    draft
        .result("processes", &[r#"{"pid":1}"#])
        .make(&stage.evidence());
    let closed = stage.load();
    assert_eq!((closed.loaded, closed.refused.len()), (0, 1));
    assert!(!closed.refused[0].not_genuine, "{closed:?}");
    assert!(!exists(&stage.database()), "nothing to hold, no file");
    stage.options.identities = vec![Identity::generate(), vault];
    assert_eq!(stage.load().loaded, 1);
    assert_eq!(stage.number("SELECT encrypted FROM parts"), 1);
}

#[test]
fn other_takes_what_has_no_table() {
    let stage = Stage::new();
    let connection: Connection = schema::open_to_write(&stage.database()).unwrap();
    let mut catalog = Catalog::default();
    catalog.declare(&connection).unwrap();
    let known = catalog.tables.len();
    for number in 0..300 {
        let name = catalog
            .of_artifact(&connection, &format!("a{number}"))
            .unwrap();
        assert_eq!(name == OTHER, known + number >= 200, "{name}");
    }
}
