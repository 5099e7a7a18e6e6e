//! One record whole, and where in the evidence it stands.

use rusqlite::OptionalExtension as _;
use serde::Serialize;

use super::{
    ColumnInfo, Database, columns,
    value::{self, Value},
};
use crate::case::names::{OWN_COLUMNS, quoted};

/// A record.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// Its table.
    pub source: String,
    /// Its row.
    pub row_id: i64,
    /// The host.
    pub host: String,
    /// The collection.
    pub collection: String,
    /// The part.
    pub part: u32,
    /// The line in the part's record file, from 1.
    pub line: u64,
    /// Fields that have no column, as one JSON object.
    pub more: Option<String>,
    /// The fields, with what they mean; those of no value too.
    pub fields: Vec<(ColumnInfo, Value)>,
}

impl Database {
    /// The record in this row; `None` where there is none.
    ///
    /// # Errors
    /// There is no such table, or the file can't be read.
    pub fn record(&self, source: &str, row_id: i64) -> anyhow::Result<Option<Record>> {
        let table = self.table(source)?;
        let own = OWN_COLUMNS.iter().map(|c| quoted(c));
        let named: Vec<_> = own
            .chain(table.columns.iter().map(|c| quoted(&c.name)))
            .collect();
        let sql = format!(
            "SELECT {} FROM {} WHERE row_id = ?1",
            named.join(", "),
            quoted(source)
        );
        let mut found = self.connection.prepare_cached(&sql)?;
        let count = named.len();
        let record = found.query_row([row_id], |row| {
            let values = value::row(row, count)?.into_iter().skip(OWN_COLUMNS.len());
            Ok(Record {
                source: source.to_owned(),
                row_id: row.get(0)?,
                host: row.get(1)?,
                collection: row.get(2)?,
                part: row.get(3)?,
                line: row.get(4)?,
                more: row.get(5)?,
                fields: columns(table).into_iter().zip(values).collect(),
            })
        });
        Ok(record.optional()?)
    }
}
