//! The document of the database is held to the code: it names every table and column, and its examples run.

use std::collections::BTreeSet;

use super::*;

const DOCUMENT: &str = include_str!("../../../CASE.md");

fn loaded() -> Stage {
    let stage = Stage::new();
    two_hosts(&stage);
    stage.load();
    stage
}

/// Names in back-ticks in the first column of a chapter's table.
fn named(chapter: &str) -> BTreeSet<&str> {
    let heading = format!("\n### {chapter}\n");
    let (_, text) = DOCUMENT
        .split_once(&heading)
        .unwrap_or_else(|| panic!("{chapter} has no chapter"));
    let text = text.split("\n#").next().unwrap();
    let first = text.lines().filter_map(|line| line.strip_prefix("| `"));
    first
        .flat_map(|line| line.split(" | ").next().unwrap().split(", "))
        .map(|name| name.trim_matches('`'))
        .collect()
}

#[test]
fn every_table_of_the_case_and_every_column_is_named() {
    let stage = loaded();
    let of_records: BTreeSet<_> = stage
        .open()
        .sources()
        .unwrap()
        .into_iter()
        .map(|s| s.name)
        .collect();
    let tables = stage.query(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'search%' \
         AND name NOT LIKE 'sqlite%'",
    );
    let mut seen = 0;
    for table in tables.iter().map(|row| row[0].to_text()) {
        if of_records.contains(&table) {
            continue;
        }
        seen += 1;
        let columns = stage.query(&format!("SELECT name FROM pragma_table_info('{table}')"));
        let columns: BTreeSet<_> = columns.iter().map(|row| row[0].to_text()).collect();
        let columns: BTreeSet<_> = columns.iter().map(String::as_str).collect();
        assert_eq!(named(&table), columns, "{table}");
    }
    assert_eq!(seen, 12);
}

#[test]
fn every_column_with_another_name_than_its_field_is_named() {
    for source in loaded().open().sources().unwrap() {
        for column in source
            .columns
            .iter()
            .filter(|c| c.name.starts_with("record_"))
        {
            let named = format!("`{}`", column.name);
            assert!(DOCUMENT.contains(&named), "{named} in {}", source.name);
            assert!(
                DOCUMENT.contains(&format!("`{}`", source.name)),
                "{}",
                source.name
            );
        }
    }
}

#[test]
fn every_example_runs() {
    let stage = loaded();
    let examples = DOCUMENT.split("```sql\n").skip(1);
    let mut count = 0;
    for example in examples.map(|text| text.split("```").next().unwrap()) {
        query(&stage.open(), example).unwrap_or_else(|e| panic!("{example}: {e:#}"));
        count += 1;
    }
    assert_eq!(count, 10);
}

/// A hunt must not walk the tables: what it needs stands in indexes.
#[test]
fn hunts_are_answered_by_indexes() {
    let stage = loaded();
    for (sql, index) in [
        (
            "SELECT sha256, count(DISTINCT host) FROM running_executables GROUP BY sha256",
            "COVERING INDEX by_running_executables.sha256",
        ),
        (
            "SELECT DISTINCT host, path FROM file_hashes WHERE sha256 = 'x'",
            "by_file_hashes.sha256",
        ),
        (
            "SELECT host, count(*) FROM processes GROUP BY host",
            "COVERING INDEX by_processes.host",
        ),
        (
            "SELECT version, count(DISTINCT host) FROM packages WHERE name = 'x' GROUP BY version",
            "by_packages.name",
        ),
        (
            "SELECT * FROM timeline WHERE time >= 'a' AND time < 'b' ORDER BY time LIMIT 9",
            "by_processes.start_time",
        ),
    ] {
        let plan = stage.query(&format!("EXPLAIN QUERY PLAN {sql}"));
        let plan: Vec<_> = plan.iter().map(|row| row[3].to_text()).collect();
        assert!(
            plan.iter().any(|step| step.contains(index)),
            "{sql}: {plan:#?}"
        );
    }
}
