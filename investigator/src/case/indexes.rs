//! What makes the tables quick: their indexes, the timeline over all of them, and statistics for SQLite's planner.

use rusqlite::Connection;

use super::{
    catalog::Catalog,
    names::{literal, quoted},
    table::{Column, Table},
};

/// Columns that are looked up in hunts, or that long tables are sorted by, in whatever table they stand.
const LOOKED_UP: [&str; 10] = [
    "size_bytes",
    "pid",
    "user",
    "sha256",
    "md5",
    "path",
    "exe",
    "name",
    "remote_address",
    "artifact",
];

/// What every index of ours is called at first.
const PREFIX: &str = "by_";

/// Between table and column in an index's name: in neither of theirs, so that no two indexes, and no index and no
/// table, are ever called the same. SQLite keeps all in one list of names.
const BETWEEN: &str = ".";

/// So many arms the timeline may have; SQLite takes no view of more than 500.
const MOST_ARMS: usize = 400;

/// Makes every index that is missing.
pub(super) fn create(connection: &Connection, catalog: &Catalog) -> rusqlite::Result<()> {
    for table in catalog.tables.values() {
        let on = format!("host, {}", second("host"));
        create_one(connection, &table.name, "host", &on)?;
        for column in table.columns.iter().filter(|c| is_indexed(c)) {
            // With the host in it, an index alone answers on how many hosts something is.
            let on = format!("{}, {}", quoted(&column.name), second(&column.name));
            create_one(connection, &table.name, &column.name, &on)?;
        }
    }
    Ok(())
}

/// What an index holds behind its column; the row's number comes last in every index.
pub(super) fn second(column: &str) -> &'static str {
    if column == "host" {
        "collection"
    } else {
        "host"
    }
}

/// Whether a column of a table has an index.
pub(super) fn has(table: &Table, column: &str) -> bool {
    let found = table.columns.iter().find(|c| c.name == column);
    column == "host" || found.is_some_and(is_indexed)
}

fn create_one(connection: &Connection, table: &str, name: &str, on: &str) -> rusqlite::Result<()> {
    let index = quoted(&format!("{PREFIX}{table}{BETWEEN}{name}"));
    let table = quoted(table);
    connection.execute_batch(&format!(
        "CREATE INDEX IF NOT EXISTS {index} ON {table} ({on})"
    ))
}

fn is_indexed(column: &Column) -> bool {
    column.is_time || LOOKED_UP.contains(&column.name.as_str())
}

/// Takes the indexes away, so that much can be loaded at once.
pub(super) fn drop_all(connection: &Connection) -> rusqlite::Result<()> {
    let sql =
        "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'by\\_%' ESCAPE '\\'";
    let mut found = connection.prepare(sql)?;
    let names: Vec<String> = found
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in names {
        connection.execute_batch(&format!("DROP INDEX {}", quoted(&name)))?;
    }
    Ok(())
}

/// What happened, for each point in time that a table has.
pub(super) fn event(table: &str, column: &str) -> String {
    match (table, column) {
        ("processes", "start_time") => "process started",
        ("sessions", "time") => "login record",
        ("log", "time") => "agent's log",
        ("gaps", "time") => "not obtained",
        ("system", "time") => "fact of the system",
        (_, "modified") => "modified",
        (_, "accessed") => "accessed",
        (_, "changed") => "metadata changed",
        (_, "created" | "born") => "created",
        (_, other) => return other.replace('_', " "),
    }
    .to_owned()
}

/// One kind of event: a point in time of one table.
#[derive(Debug, Clone)]
pub(super) struct Arm {
    pub(super) table: String,
    pub(super) column: String,
    pub(super) event: String,
    pub(super) subject: String,
}

/// Everything that has a time.
pub(super) fn arms(catalog: &Catalog) -> Vec<Arm> {
    let of = |table: &Table| {
        let subject = table.subject.clone().unwrap_or_else(|| "NULL".to_owned());
        let name = table.name.clone();
        let times = table.columns.iter().filter(|c| c.is_time);
        let arms = times.map(move |column| Arm {
            event: event(&name, &column.name),
            table: name.clone(),
            column: column.name.clone(),
            subject: subject.clone(),
        });
        arms.collect::<Vec<_>>()
    };
    let mut all: Vec<_> = catalog.tables.values().flat_map(of).collect();
    all.truncate(MOST_ARMS);
    all
}

/// Makes the timeline anew, over the tables and columns that there are now.
pub(super) fn timeline(connection: &Connection, catalog: &Catalog) -> rusqlite::Result<()> {
    let arms = arms(catalog).into_iter().map(|arm| {
        format!(
            "SELECT {time} AS time, host, collection, {event} AS event, {subject} AS subject, {source} AS source, \
             row_id FROM {table} WHERE {time} IS NOT NULL",
            time = quoted(&arm.column),
            event = literal(&arm.event),
            subject = arm.subject,
            source = literal(&arm.table),
            table = quoted(&arm.table),
        )
    });
    let sql = arms.collect::<Vec<_>>().join("\nUNION ALL ");
    connection.execute_batch(&format!(
        "DROP VIEW IF EXISTS timeline; CREATE VIEW timeline AS {sql};"
    ))
}

/// Looks at a sample of every index, so that queries take the right one.
pub(super) fn analyse(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("PRAGMA analysis_limit = 400; ANALYZE;")
}
