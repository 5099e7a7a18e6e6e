//! A person's own statement: one, that reads, its rows streamed.

use anyhow::{Context as _, ensure};

use super::{
    Database,
    value::{self, Value},
};
use crate::exit::{OrMisuse as _, misuse};

/// Takes the rows of a statement as they come.
pub trait Rows {
    /// The columns' names, before the first row. Hostile only where the statement is.
    ///
    /// # Errors
    /// They can't be written.
    fn columns(&mut self, names: &[String]) -> anyhow::Result<()>;

    /// One row; `false` says that no more are wanted.
    ///
    /// # Errors
    /// It can't be written.
    fn row(&mut self, values: Vec<Value>) -> anyhow::Result<bool>;
}

impl Database {
    /// Runs one statement that reads.
    ///
    /// # Errors
    /// It is none, or would write, or took longer than it may.
    pub fn query(&self, sql: &str, rows: &mut dyn Rows) -> anyhow::Result<()> {
        let mut statement = self
            .connection
            .prepare(sql)
            .context(
                "The statement is not one that can be run here. Only one SELECT is; see --schema.",
            )
            .or_misuse()?;
        ensure!(
            statement.readonly(),
            misuse("The statement would write. Only what reads is run here.")
        );
        ensure!(
            statement.parameter_count() == 0,
            misuse("The statement has places for values that nobody gives. Write the values.")
        );
        let names: Vec<String> = statement
            .column_names()
            .iter()
            .map(|n| (*n).to_owned())
            .collect();
        let count = names.len();
        rows.columns(&names)?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next().context("The statement was ended.")? {
            if !rows.row(value::row(row, count)?)? {
                break;
            }
        }
        Ok(())
    }

    /// The statements that made the tables, views and indexes, for who wants to know what can be asked.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn schema(&self) -> anyhow::Result<Vec<String>> {
        let sql = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND type IN ('table', 'view') \
                   AND name NOT LIKE 'search\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
        let mut found = self.connection.prepare(sql)?;
        let all = found.query_map([], |row| row.get(0))?;
        Ok(all.collect::<Result<_, _>>()?)
    }
}
