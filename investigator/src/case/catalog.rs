//! All tables of records of one database, read from it and kept in step with it.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::{
    declared, names,
    table::{Column, Table},
};

/// So many tables there may be; records of further artifacts stand in [`OTHER`].
const MOST_TABLES: usize = 200;

/// Where the records of an artifact stand that can have no table.
pub(super) const OTHER: &str = "other_records";

/// The tables, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Catalog {
    /// By name.
    pub(super) tables: BTreeMap<String, Table>,
}

impl Catalog {
    /// Reads what the database has.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut catalog = Self::default();
        let mut found =
            connection.prepare("SELECT id, name, artifact, about, subject FROM tables")?;
        let mut rows = found.query([])?;
        while let Some(row) = rows.next()? {
            let (name, artifact): (String, String) = (row.get(1)?, row.get(2)?);
            let about: String = row.get(3)?;
            let mut table = Table::new(row.get(0)?, &name, &artifact, &about);
            table.subject = row.get(4)?;
            catalog.tables.insert(name, table);
        }
        let sql = "SELECT source, name, field, kind, about, is_time FROM columns ORDER BY source, position";
        let mut found = connection.prepare(sql)?;
        let mut rows = found.query([])?;
        while let Some(row) = rows.next()? {
            let source: String = row.get(0)?;
            if let Some(table) = catalog.tables.get_mut(&source) {
                table.push(Column {
                    name: row.get(1)?,
                    field: row.get(2)?,
                    kind: row.get(3)?,
                    about: row.get(4)?,
                    is_time: row.get(5)?,
                });
            }
        }
        Ok(catalog)
    }

    /// Makes every table and column that is declared and not there.
    pub(super) fn declare(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let lists = declared::LISTS.iter().map(|d| (d.name.to_owned(), d));
        let artifacts = declared::ARTIFACTS.iter();
        let artifacts = artifacts.filter_map(|d| Some((names::table(d.name)?, d)));
        for (name, declared) in lists.chain(artifacts) {
            match self.tables.get_mut(&name) {
                Some(table) => table.declare(connection, declared)?,
                None => {
                    let made = Table::create(connection, &name, declared.name, Some(declared))?;
                    self.tables.insert(name, made);
                }
            }
        }
        if !self.tables.contains_key(OTHER) {
            let mut other = Table::create(connection, OTHER, "", None)?;
            other.grow(
                connection,
                "artifact",
                "string",
                "The artifact, as the entry is called.",
            )?;
            self.tables.insert(OTHER.to_owned(), other);
        }
        Ok(())
    }

    /// The name of the table for records of an artifact, made where there is none yet.
    pub(super) fn of_artifact(
        &mut self,
        connection: &Connection,
        artifact: &str,
    ) -> rusqlite::Result<String> {
        let Some(name) = names::table(artifact) else {
            return Ok(OTHER.to_owned());
        };
        if !self.tables.contains_key(&name) {
            if self.tables.len() >= MOST_TABLES {
                return Ok(OTHER.to_owned());
            }
            let declared = declared::find(artifact, false);
            let table = Table::create(connection, &name, artifact, declared)?;
            self.tables.insert(name.clone(), table);
        }
        Ok(name)
    }
}
