//! The lines of one record file into the rows of its table, streamed; what is no record becomes a fault with its reason.

use std::io::{self, BufRead, Read};

use rusqlite::{Connection, Statement, params};
use serde_json::value::RawValue;

use super::{
    hours::Hours,
    line::{self, Cell, Field},
    meta::SEARCH_SHIFT,
    table::{OWN, Table},
    text,
};

/// No line of a record file is longer.
const LINE_BYTES: u64 = 32 << 20;
/// So many faulty lines of a part have rows of their own; all are counted.
const FAULTS_KEPT: u64 = 10_000;
/// So much of a faulty line is kept.
const FAULT_CHARS: usize = 400;

/// Whose lines they are.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) host: String,
    pub(super) collection: String,
    pub(super) part: u32,
}

/// What became of the lines of a part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) records: u64,
    pub(super) faults: u64,
}

/// Writes rows of one part.
pub(super) struct Rows<'c> {
    connection: &'c Connection,
    origin: Origin,
    search: Statement<'c>,
    words: String,
    hours: Hours,
    pub(super) tally: Tally,
}

impl<'c> Rows<'c> {
    pub(super) fn new(connection: &'c Connection, origin: Origin) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            origin,
            search: connection.prepare("INSERT INTO search (rowid, text) VALUES (?1, ?2)")?,
            words: String::new(),
            hours: Hours::default(),
            tally: Tally::default(),
        })
    }

    /// Takes in every line of `entry`; `artifact` is noted in each row of a table that several share.
    pub(super) fn take(
        &mut self,
        table: &mut Table,
        entry: &str,
        artifact: Option<&str>,
        mut plain: &mut dyn BufRead,
    ) -> anyhow::Result<()> {
        let mut insert = self.connection.prepare(&table.insert())?;
        let first = next_row(self.connection, table)?;
        let (mut row, mut number, mut line) = (first, 0, Vec::new());
        loop {
            line.clear();
            let read = (&mut plain).take(LINE_BYTES).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            number += 1;
            let taken = match body(&line, read as u64) {
                Ok(body) => self.record(table, &mut insert, (row, number), artifact, body)?,
                Err(why) => Err(why.to_owned()),
            };
            match taken {
                Ok(()) => row += 1,
                Err(why) => self.fault(entry, number, &why, &line)?,
            }
            if read as u64 == LINE_BYTES && !line.ends_with(b"\n") {
                skip_line(&mut plain)?;
            }
        }
        drop(insert);
        self.hours.write(self.connection, table)?;
        self.note(table, first, row)?;
        Ok(())
    }

    /// One record; the inner error says why the line is none.
    fn record(
        &mut self,
        table: &mut Table,
        insert: &mut Statement<'c>,
        (row, number): (i64, i64),
        artifact: Option<&str>,
        body: &[u8],
    ) -> anyhow::Result<Result<(), String>> {
        let mut fields = Vec::with_capacity(40);
        if let Err(why) = line::fields(body, &mut fields) {
            return Ok(Err(why));
        }
        if table.name == "files" {
            flatten(&mut fields, "times");
        }
        let (mut cells, mut more) = (vec![Cell::Null; table.columns.len()], String::new());
        for (name, raw) in &fields {
            let slot = match table.slot(name) {
                Some(slot) => Some(slot),
                None => self.grow(table, insert, &mut cells, name)?,
            };
            match slot {
                Some(slot) => cells[slot] = Cell::of(raw),
                None => keep(&mut more, name, raw)?,
            }
        }
        if let (Some(artifact), Some(slot)) = (artifact, table.slot("artifact")) {
            cells[slot] = Cell::Text(artifact.into());
        }
        if !more.is_empty() {
            more.push('}');
        }
        self.bind(insert, row, number, &more, &cells)?;
        insert.raw_execute()?;
        self.hours.add(table, &cells);
        if self.hours.are_many() {
            self.hours.write(self.connection, table)?;
        }
        self.words.clear();
        for (cell, column) in cells.iter().zip(&table.columns) {
            if column.is_searched() {
                text::add(cell, &mut self.words);
            }
        }
        if !more.is_empty() {
            text::add(&Cell::Json(&more), &mut self.words);
        }
        if !self.words.is_empty() {
            self.search
                .execute(params![(table.id << SEARCH_SHIFT) | row, self.words])?;
        }
        Ok(Ok(()))
    }

    fn grow(
        &self,
        table: &mut Table,
        insert: &mut Statement<'c>,
        cells: &mut Vec<Cell<'_>>,
        name: &str,
    ) -> rusqlite::Result<Option<usize>> {
        if table.name == super::catalog::OTHER {
            return Ok(None);
        }
        let slot = table.grow(self.connection, name, "", "")?;
        if slot.is_some() {
            cells.push(Cell::Null);
            *insert = self.connection.prepare(&table.insert())?;
        }
        Ok(slot)
    }

    fn bind(
        &self,
        insert: &mut Statement<'_>,
        row: i64,
        number: i64,
        more: &str,
        cells: &[Cell<'_>],
    ) -> rusqlite::Result<()> {
        insert.raw_bind_parameter(1, row)?;
        insert.raw_bind_parameter(2, &self.origin.host)?;
        insert.raw_bind_parameter(3, &self.origin.collection)?;
        insert.raw_bind_parameter(4, self.origin.part)?;
        insert.raw_bind_parameter(5, number)?;
        insert.raw_bind_parameter(6, (!more.is_empty()).then_some(more))?;
        for (at, cell) in cells.iter().enumerate() {
            insert.raw_bind_parameter(OWN + 1 + at, cell)?;
        }
        Ok(())
    }

    fn fault(&mut self, entry: &str, number: i64, why: &str, line: &[u8]) -> rusqlite::Result<()> {
        self.tally.faults += 1;
        if self.tally.faults > FAULTS_KEPT {
            return Ok(());
        }
        let head = &line[..line.len().min(FAULT_CHARS * 4)];
        let text: String = String::from_utf8_lossy(head)
            .trim_end_matches('\n')
            .chars()
            .take(FAULT_CHARS)
            .collect();
        let Origin {
            host,
            collection,
            part,
        } = &self.origin;
        self.connection.execute(
            "INSERT OR REPLACE INTO load_faults VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![collection, part, host, entry, number, why, text],
        )?;
        Ok(())
    }

    /// Notes which rows of the table are this part's: they lie side by side.
    fn note(&mut self, table: &Table, first: i64, end: i64) -> rusqlite::Result<()> {
        let rows = end - first;
        self.tally.records += u64::try_from(rows).unwrap_or_default();
        if rows == 0 {
            return Ok(());
        }
        let Origin {
            host,
            collection,
            part,
        } = &self.origin;
        self.connection.execute(
            "INSERT INTO part_rows VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET last_row = excluded.last_row, rows = rows + excluded.rows",
            params![collection, part, table.name, host, first, end - 1, rows],
        )?;
        Ok(())
    }
}

fn next_row(connection: &Connection, table: &Table) -> rusqlite::Result<i64> {
    let quoted = super::names::quoted(&table.name);
    let sql = format!("SELECT coalesce(max(row_id), 0) + 1 FROM {quoted}");
    connection.query_row(&sql, [], |row| row.get(0))
}

/// The line without its end, where it has one.
fn body(line: &[u8], read_bytes: u64) -> Result<&[u8], &'static str> {
    match line.strip_suffix(b"\n") {
        Some(body) => Ok(body),
        None if read_bytes == LINE_BYTES => Err("the line is longer than a record may be"),
        None => Err("the line does not end in a line feed"),
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let end = buffer.iter().position(|&b| b == b'\n');
        let (length, is_end) = (end.map_or(buffer.len(), |at| at + 1), end.is_some());
        input.consume(length);
        if is_end || length == 0 {
            return Ok(());
        }
    }
}

/// Puts the fields of the object `name` in its place; one that is no object stays.
fn flatten<'l>(fields: &mut Vec<Field<'l>>, name: &str) {
    let Some(at) = fields.iter().position(|(key, _)| key == name) else {
        return;
    };
    let mut inner = Vec::new();
    let raw: &'l RawValue = fields[at].1;
    let is_free = |inner: &[Field<'l>], all: &[Field<'l>]| {
        !inner
            .iter()
            .any(|(key, _)| all.iter().any(|(other, _)| other == key))
    };
    if line::fields(raw.get().as_bytes(), &mut inner).is_ok() && is_free(&inner, fields) {
        fields.remove(at);
        fields.append(&mut inner);
    }
}

/// Adds a field that has no column.
fn keep(more: &mut String, name: &str, raw: &RawValue) -> serde_json::Result<()> {
    more.push(if more.is_empty() { '{' } else { ',' });
    more.push_str(&serde_json::to_string(name)?);
    more.push(':');
    more.push_str(raw.get());
    Ok(())
}
