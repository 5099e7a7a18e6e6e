//! How much happened in each hour: counted while records are loaded, so that nobody counts millions for a picture.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::{line::Cell, table::Table};

/// The hour in a time as records write it: `2026-11-20T10`. Texts compare as these beginnings do.
pub(super) const HOUR_BYTES: usize = 13;

/// So many hours wait in memory before they are written.
const WAITING: usize = 50_000;

/// Hours of one table that wait to be written, for each of its columns.
#[derive(Debug, Default)]
pub(super) struct Hours(Vec<HashMap<String, u64>>);

impl Hours {
    /// Counts the times of one record.
    pub(super) fn add(&mut self, table: &Table, cells: &[Cell<'_>]) {
        let times = table.columns.iter().enumerate().zip(cells);
        for ((at, _), cell) in times.filter(|((_, column), _)| column.is_time) {
            let Cell::Text(text) = cell else {
                continue;
            };
            let mut end = text.len().min(HOUR_BYTES);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            self.count(at, &text[..end]);
        }
    }

    fn count(&mut self, column: usize, hour: &str) {
        if self.0.len() <= column {
            self.0.resize_with(column + 1, HashMap::new);
        }
        // Nearly every hour is known: no text is made to look it up.
        match self.0[column].get_mut(hour) {
            Some(events) => *events += 1,
            None => {
                self.0[column].insert(hour.to_owned(), 1);
            }
        }
    }

    /// Whether it is time to write them.
    pub(super) fn are_many(&self) -> bool {
        self.0.iter().map(HashMap::len).sum::<usize>() >= WAITING
    }

    /// Writes what waits.
    pub(super) fn write(&mut self, connection: &Connection, table: &Table) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(
            "INSERT INTO timeline_hours VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET events = events + excluded.events",
        )?;
        for (hours, column) in self.0.iter_mut().zip(&table.columns) {
            for (hour, events) in hours.drain() {
                insert.execute(params![table.name, column.name, hour, events])?;
            }
        }
        Ok(())
    }
}
