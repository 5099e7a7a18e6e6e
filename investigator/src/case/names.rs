//! Which names of artifacts and fields may become names of tables and columns; the rest is kept, under other names.

/// No name is longer.
const NAME_BYTES: usize = 63;

/// Columns that every table of records has before those of its records.
pub(super) const OWN_COLUMNS: [&str; 6] = ["row_id", "host", "collection", "part", "line", "more"];

/// What SQLite itself calls the row's number.
const ROW_NUMBERS: [&str; 3] = ["rowid", "oid", "_rowid_"];

/// Tables and views that are not an artifact's.
const OWN_TABLES: [&str; 16] = [
    "case_info",
    "collections",
    "columns",
    "files",
    "gaps",
    "hosts",
    "load_faults",
    "log",
    "orders",
    "other_records",
    "part_rows",
    "parts",
    "refused_parts",
    "tables",
    "timeline",
    "timeline_hours",
];

/// Beginnings of names that are not an artifact's: of SQLite's own tables and functions, which a table would hide, of
/// indexes, and of what an artifact is called instead that takes a name of ours.
const NOT_TABLES: [&str; 5] = ["sqlite_", "json_", "pragma_", "by_", "artifact_"];

/// Lower-case letters, digits and `_`, a letter first: what needs no quotes and collides with nothing by case.
fn is_plain(name: &str) -> bool {
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    let all = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    begins && name.len() <= NAME_BYTES && name.bytes().all(all)
}

/// The column for a field of a record; `None` where its name can be none.
pub(super) fn column(field: &str) -> Option<String> {
    if ROW_NUMBERS.contains(&field) || OWN_COLUMNS.contains(&field) {
        return Some(format!("record_{field}"));
    }
    // What a field is called to evade the rule above has no column of its own either.
    (is_plain(field) && !field.starts_with("record_")).then(|| field.to_owned())
}

/// The table for an artifact; `None` where its name can be none.
pub(super) fn table(artifact: &str) -> Option<String> {
    if !is_plain(artifact) || NOT_TABLES.iter().any(|begin| artifact.starts_with(begin)) {
        return None;
    }
    let taken = OWN_TABLES.contains(&artifact) || artifact.starts_with("search");
    Some(if taken {
        format!("artifact_{artifact}")
    } else {
        artifact.to_owned()
    })
}

/// A name inside double quotes, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text inside single quotes, whatever is in it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_become_no_sql() {
        for hostile in [
            "",
            "1a",
            "a b",
            "a\"; DROP TABLE hosts; --",
            "Pid",
            "é",
            "a'",
            "record_host",
            &"x".repeat(64),
        ] {
            assert_eq!(column(hostile), None, "{hostile}");
        }
        assert_eq!(column("pid").as_deref(), Some("pid"));
        assert_eq!(column("host").as_deref(), Some("record_host"));
        assert_eq!(column("rowid").as_deref(), Some("record_rowid"));
        assert_eq!(column("order").as_deref(), Some("order"));
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("a'b"), "'a''b'");
    }

    #[test]
    fn an_artifact_takes_no_table_of_ours() {
        assert_eq!(table("processes").as_deref(), Some("processes"));
        assert_eq!(table("hosts").as_deref(), Some("artifact_hosts"));
        assert_eq!(
            table("search_data").as_deref(),
            Some("artifact_search_data")
        );
        for none in [
            "sqlite_master",
            "../x",
            "A",
            "a.b",
            "artifact_hosts",
            "by_processes_host",
            "json_each",
            "pragma_table_info",
        ] {
            assert_eq!(table(none), None, "{none}");
        }
    }
}
