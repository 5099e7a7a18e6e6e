//! Reading a case: pages, counts, search, the timeline, process trees, single records, and files out of their parts.
//!
//! Nothing here writes, and no call takes longer the further one has paged. Whatever comes out is hostile text.

mod content;
mod histogram;
mod page;
mod query;
mod record;
mod search;
mod timeline;
mod tree;
mod value;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rusqlite::{Connection, InterruptHandle};
use serde::Serialize;

pub use self::{
    content::{Content, Whole},
    histogram::Bucket,
    page::{Ask, Count, Cursor, Filter, Operator, Page, Sort},
    query::Rows,
    record::Record,
    search::{Found, Hit},
    timeline::{Event, Moment, Window},
    tree::Process,
    value::Value,
};
use super::{catalog::Catalog, guard, indexes, schema, table::Table};

/// Between two looks at the time: instructions of SQLite's machine.
const LOOK: i32 = 100_000;

/// A case that is open for reading.
pub struct Database {
    connection: Connection,
    catalog: Catalog,
    path: PathBuf,
    deadline: Arc<Mutex<Option<Instant>>>,
}

/// A table of records, for who offers a choice of them.
#[derive(Debug, Clone, Serialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// The artifact, or the list of a part, that its records are from.
    pub artifact: String,
    /// What it holds.
    pub about: String,
    /// How many rows it has.
    pub rows: u64,
    /// The columns of its records; `row_id`, `host`, `collection`, `part`, `line`, `more` stand before them.
    pub columns: Vec<ColumnInfo>,
}

/// A column of a [`Source`].
#[derive(Debug, Clone, Serialize)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// The JSON type of its field, and unit where it has one; empty where it is not declared.
    pub kind: String,
    /// What it says.
    pub about: String,
    /// Whether it stands in the timeline.
    pub is_time: bool,
    /// Whether an index holds it in order, so that no table is too long to be sorted by it.
    pub is_indexed: bool,
}

impl Database {
    /// Opens a case; the connection can't write, whatever it is told.
    ///
    /// # Errors
    /// There is none at `path`, or it is something else.
    pub fn open_read(path: &Path) -> anyhow::Result<Self> {
        let connection = schema::open_to_read(path)?;
        let catalog = Catalog::read(&connection)
            .with_context(|| format!("{} can't be read.", path.display()))?;
        guard::confine(&connection)?;
        let deadline = Arc::new(Mutex::new(None::<Instant>));
        let end = Arc::clone(&deadline);
        connection.progress_handler(
            LOOK,
            Some(move || {
                let end = *end.lock().unwrap_or_else(PoisonError::into_inner);
                end.is_some_and(|end| Instant::now() >= end)
            }),
        )?;
        Ok(Self {
            connection,
            catalog,
            path: path.to_owned(),
            deadline,
        })
    }

    /// The case's reference.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn case(&self) -> anyhow::Result<String> {
        Ok(schema::info(&self.connection, "reference")?.unwrap_or_default())
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on, whatever takes longer than `most` ends with an error; `None` lets it run.
    pub fn set_deadline(&self, most: Option<Duration>) {
        let end = most.map(|most| Instant::now() + most);
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }

    /// What `ask` gives, unless it takes longer than `most`, or than the deadline that stands.
    fn within<R>(&self, most: Duration, ask: impl FnOnce() -> R) -> R {
        let end = || self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *end();
        let sooner = Instant::now() + most;
        *end() = Some(before.map_or(sooner, |before| before.min(sooner)));
        let answer = ask();
        *end() = before;
        answer
    }

    /// Ends what runs, from another thread.
    pub fn interrupter(&self) -> InterruptHandle {
        self.connection.get_interrupt_handle()
    }

    /// The tables of records, with their columns and how many rows each has.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn sources(&self) -> anyhow::Result<Vec<Source>> {
        let tables = self.catalog.tables.values();
        tables.map(|table| self.described(table)).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// There is no such table, or the file can't be read.
    pub fn source(&self, name: &str) -> anyhow::Result<Source> {
        self.described(self.table(name)?)
    }

    fn described(&self, table: &Table) -> anyhow::Result<Source> {
        Ok(Source {
            name: table.name.clone(),
            artifact: table.artifact.clone(),
            about: table.about.clone(),
            rows: self.count(&table.name, &[])?,
            columns: columns(table),
        })
    }

    fn table(&self, name: &str) -> anyhow::Result<&Table> {
        match self.catalog.tables.get(name) {
            Some(table) => Ok(table),
            None => bail!("There is no table {name:?}. See `fieldseal query --schema`."),
        }
    }
}

fn columns(table: &Table) -> Vec<ColumnInfo> {
    let of = table.columns.iter().map(|column| ColumnInfo {
        name: column.name.clone(),
        kind: column.kind.clone(),
        about: column.about.clone(),
        is_time: column.is_time,
        is_indexed: indexes::has(table, &column.name),
    });
    of.collect()
}
