//! A real collection of this host, loaded: every line of every record file is a row, for other people's SQLite too.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use fieldseal_tests::programs::{self, Outcome, Programs};

struct Case {
    dir: tempfile::TempDir,
    programs: Programs,
}

impl Case {
    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(self.programs.path(program));
        command
            .args(arguments)
            .env("FIELDSEAL_HOME", self.path("home"));
        programs::run(&mut command, &|_| ()).unwrap()
    }

    fn fieldseal(&self, arguments: &[&str]) -> Outcome {
        self.run("fieldseal", arguments)
    }

    fn query(&self, arguments: &[&str]) -> Outcome {
        let mut all = vec!["query", "CASE-7"];
        all.extend(arguments);
        self.fieldseal(&all)
    }
}

/// Gathers from this host, encrypted to a vault.
fn collect(case: &Case) -> PathBuf {
    let tree = case.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("dropper.sh"), "#!/bin/sh\n").unwrap();
    fs::write(tree.join("=cmd|calc"), "x").unwrap();
    let vault = case.path("vault.txt");
    let made = case.fieldseal(&["keys", "vault", "--output", text(&vault)]);
    let recipient = made
        .out
        .split_whitespace()
        .find(|w| w.starts_with("age1"))
        .unwrap();
    let output = case.path("evidence");
    let collected = case.run(
        "fieldseal-agent",
        &[
            "collect",
            "--profile",
            "triage",
            "--case",
            "CASE-7",
            "--path",
            text(&tree),
            "--output",
            text(&output),
            "--recipient",
            recipient,
            "--foreground",
        ],
    );
    assert!(matches!(collected.code, 0 | 2), "{collected:?}");
    output
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Lines of every record file of every part, by age and unzip alone.
fn lines_in(case: &Case, evidence: &Path) -> BTreeMap<String, u64> {
    let script = r#"
        set -e
        for part in "$1"/*/part-*.zip.age; do
            age -d -i "$2" -o "$3" "$part"
            for entry in $(unzip -Z1 "$3" | grep -E '^results/|^(files|gaps|log).jsonl$'); do
                echo "$entry $(unzip -p "$3" "$entry" | wc -l)"
            done
            rm "$3"
        done"#;
    let plain = case.path("plain.zip");
    let vault = case.path("vault.txt");
    let output = Command::new("sh")
        .args([
            "-c",
            script,
            "sh",
            text(evidence),
            text(&vault),
            text(&plain),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut lines = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (entry, count) = line.rsplit_once(' ').unwrap();
        let name = entry
            .trim_start_matches("results/")
            .trim_end_matches(".jsonl");
        *lines.entry(name.to_owned()).or_default() += count.parse::<u64>().unwrap();
    }
    lines
}

/// Rows of every table, by Python's SQLite.
fn rows_in(database: &Path) -> BTreeMap<String, u64> {
    let script = "
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
names = [n for (n,) in db.execute('SELECT name FROM tables')]
print(json.dumps({n: db.execute('SELECT count(*) FROM \"%s\"' % n).fetchone()[0] for n in names}))
assert db.execute('PRAGMA integrity_check').fetchone()[0] == 'ok'
";
    let output = Command::new("python3")
        .args(["-c", script, text(database)])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let rows: BTreeMap<String, u64> = serde_json::from_slice(&output.stdout).unwrap();
    rows.into_iter().filter(|(_, rows)| *rows > 0).collect()
}

#[test]
fn a_collection_becomes_a_case_line_by_line() {
    let case = Case {
        dir: tempfile::tempdir().unwrap(),
        programs: Programs::build().unwrap(),
    };
    let evidence = collect(&case);
    let vault = case.path("vault.txt");
    let load = [
        "load",
        text(&evidence),
        "--identity",
        text(&vault),
        "--allow-unknown",
        "--json",
    ];
    // The host is not enrolled: who sealed is not known, and a person says that it may be loaded all the same.
    let loaded = case.fieldseal(&load);
    assert_eq!(loaded.code, 2, "{loaded:?}");
    let database = case.path("home/cases/CASE-7.sqlite");
    let mut lines = lines_in(&case, &evidence);
    lines.retain(|_, count| *count > 0);
    for artifact in ["processes", "file_hashes", "accounts", "files", "log"] {
        assert!(lines.contains_key(artifact), "{lines:?}");
    }
    assert_eq!(rows_in(&database), lines);
    let again: serde_json::Value = serde_json::from_str(&case.fieldseal(&load).out).unwrap();
    assert_eq!(again["loaded"], 0);
    assert_eq!(rows_in(&database), lines);
    questions_are_answered(&case);
    assert_eq!(case.fieldseal(&["query", "NONE", "SELECT 1"]).code, 64);
    let listed: serde_json::Value =
        serde_json::from_str(&case.fieldseal(&["cases", "--json"]).out).unwrap();
    assert_eq!(
        (&listed["case"], &listed["hosts"]),
        (&"CASE-7".into(), &1.into())
    );
}

fn questions_are_answered(case: &Case) {
    // The agent that gathered runs, and so do we.
    let agent = case.query(&[
        "SELECT count(*) AS n FROM processes WHERE exe LIKE '%fieldseal-agent'",
        "--json",
    ]);
    let n: serde_json::Value = serde_json::from_str(&agent.out).unwrap();
    assert!(n["n"].as_u64().unwrap() >= 1, "{agent:?}");
    let csv = case.query(&[
        "SELECT path FROM file_hashes WHERE path LIKE '%calc'",
        "--csv",
    ]);
    assert!(csv.code == 0 && csv.out.contains("=cmd|calc"), "{csv:?}");
    let names = "SELECT '=cmd|calc' AS name";
    assert!(case.query(&[names, "--csv"]).out.contains("\"'=cmd|calc\""));
    let found = case.query(&["--search", "dropper.sh", "--json"]);
    assert!(
        found.out.contains("\"source\":\"file_hashes\""),
        "{found:?}"
    );
    let limited = case.query(&[
        "SELECT * FROM timeline ORDER BY time",
        "--limit",
        "5",
        "--json",
    ]);
    assert_eq!(limited.out.lines().count(), 5, "{limited:?}");
    let schema = case.query(&["--schema"]);
    assert!(schema.out.contains("CREATE VIEW timeline"), "{schema:?}");
    for wrong in ["DELETE FROM processes", "ATTACH '/tmp/x' AS x", "nonsense"] {
        assert_eq!(case.query(&[wrong]).code, 64, "{wrong}");
    }
}
