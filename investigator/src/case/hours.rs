//! How much happened in each hour: counted while records are loaded, so that nobody counts millions for a picture.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::{line::Cell, table::Table};

/// The hour in a time as records write it: `2026-11-20T10`. Texts compare as these beginnings do.
pub(super) const HOUR_BYTES: usize = 13;

/// So many hours wait in memory before they are written.
const WAITING: usize = 50_000;

/// Hours of one table that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Hours(HashMap<(usize, String), u64>);

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
            *self.0.entry((at, text[..end].to_owned())).or_default() += 1;
        }
    }

    /// Whether it is time to write them.
    pub(super) fn are_many(&self) -> bool {
        self.0.len() >= WAITING
    }

    /// Writes what waits.
    pub(super) fn write(&mut self, connection: &Connection, table: &Table) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(
            "INSERT INTO timeline_hours VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET events = events + excluded.events",
        )?;
        for ((at, hour), events) in self.0.drain() {
            if let Some(column) = table.columns.get(at) {
                insert.execute(params![table.name, column.name, hour, events])?;
            }
        }
        Ok(())
    }
}
