//! Opens the file of a case, makes it where it is not there, and refuses one that is something else.

use std::{fs, io, path::Path, time::Duration};

use anyhow::{Context as _, bail, ensure};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, config::DbConfig};

use super::meta::{APPLICATION, TABLES, VERSION};
use crate::private;

/// How long to wait for another program that writes.
const PATIENCE: Duration = Duration::from_secs(5);

/// A page of a new file. Every index is made in a pass over its table, and larger pages make that a quarter of the calls.
const PAGE_BYTES: i64 = 16 << 10;

/// Pages kept in memory while loading.
const CACHE_KIB: i64 = 96 * 1024;

/// How much of the search index waits in memory: the less often it is written, the less is merged later.
const SEARCH_MEMORY: &str = "INSERT INTO search (search, rank) VALUES ('hashsize', ?1)";
const SEARCH_BYTES: i64 = 32 << 20;

/// Opens the database for loading, new or there already.
///
/// # Errors
/// It is no case database, or of another version, or can't be written.
pub(super) fn open_to_write(path: &Path) -> anyhow::Result<Connection> {
    make_file(path).with_context(|| {
        let shown = path.display();
        format!("{shown} can't be made. Name another place with --database.")
    })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags)?;
    let is_new = check(&connection, path)?;
    if is_new {
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    }
    // A reader may look on while rows are written; where the file system can't do it, the other way is as safe.
    let _mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "FILE")?;
    connection.pragma_update(None, "threads", 2)?;
    if is_new {
        connection.pragma_update(None, "application_id", APPLICATION)?;
        connection.pragma_update(None, "user_version", VERSION)?;
    }
    connection.execute_batch(TABLES).with_context(|| {
        format!(
            "{} can't be written. Is another load running?",
            path.display()
        )
    })?;
    if is_new {
        connection.execute(SEARCH_MEMORY, [SEARCH_BYTES])?;
    }
    Ok(connection)
}

/// Opens the database for reading alone.
///
/// # Errors
/// There is none, or it is something else.
pub(super) fn open_to_read(path: &Path) -> anyhow::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags)?;
    let is_new = check(&connection, path)?;
    ensure!(
        !is_new,
        "{} holds nothing yet. Load evidence into it.",
        path.display()
    );
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "mmap_size", 1_i64 << 30)?;
    Ok(connection)
}

fn open(path: &Path, flags: OpenFlags) -> anyhow::Result<Connection> {
    let shown = path.display();
    let connection = Connection::open_with_flags(path, flags)
        .with_context(|| format!("{shown} can't be opened. Check the path."))?;
    connection.busy_timeout(PATIENCE)?;
    // Whoever made the file has no say in what its schema may do here.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(connection)
}

/// Whether it is still empty.
fn check(connection: &Connection, path: &Path) -> anyhow::Result<bool> {
    let shown = path.display();
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = number("application_id")
        .with_context(|| format!("{shown} is no case database. Name another file."))?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |r| r.get(0))?;
    if application == 0 && tables == 0 {
        return Ok(true);
    }
    if application != APPLICATION {
        bail!("{shown} is a database of another program. Name another file.");
    }
    let version = number("user_version")?;
    ensure!(
        version == VERSION,
        "{shown} has the schema {version}, and this program knows {VERSION}. Load the evidence into a new file."
    );
    Ok(false)
}

/// What the database says of itself under `name`.
///
/// # Errors
/// It can't be read.
pub(super) fn info(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection
        .query_row(
            "SELECT value FROM case_info WHERE name = ?1",
            [name],
            |row| row.get(0),
        )
        .optional()
}

/// Notes it.
///
/// # Errors
/// It can't be written.
pub(super) fn set_info(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO case_info VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2";
    connection.execute(sql, [name, value]).map(|_| ())
}

/// Only its owner may read what lies in it.
fn make_file(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        private::create_folder(folder)?;
    }
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(()),
        Err(_) => private::create(path, b""),
    }
}
