//! One page of a table: filtered, sorted, and begun where the last one ended, however far that is.

use rusqlite::{ToSql, params_from_iter};
use serde::{Deserialize, Serialize};

use super::{
    Database,
    value::{self, Value},
};
use crate::case::{
    names::{OWN_COLUMNS, quoted},
    table::Table,
};

/// No page is longer.
const MOST_ROWS: usize = 10_000;

/// How a column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// The same.
    Is,
    /// Something else, nothing included.
    IsNot,
    /// Less; of times, before.
    Less,
    /// No less; of times, at or after.
    AtLeast,
    /// A text that begins so.
    BeginsWith,
    /// A text that has this in it; upper and lower case of ASCII are the same.
    Contains,
    /// Nothing at all.
    IsEmpty,
    /// Something.
    IsPresent,
}

/// What rows must be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Filter {
    /// A column of the table, ours included.
    pub column: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub value: Value,
}

/// In which order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sort {
    /// By which column; rows that have nothing there come last either way.
    pub column: String,
    /// The greatest first.
    pub descending: bool,
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    /// The last row's value in the column that sorts.
    pub value: Value,
    /// The last row.
    pub row_id: i64,
}

/// What is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ask {
    /// The table.
    pub source: String,
    /// Which columns; all when empty. `row_id` is always the first of the answer.
    pub columns: Vec<String>,
    /// All must hold.
    pub filters: Vec<Filter>,
    /// By `row_id` where there is none.
    pub sort: Option<Sort>,
    /// The end of the page before.
    pub after: Option<Cursor>,
    /// How many rows.
    pub limit: usize,
}

/// A page.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// Where the next page begins; `None` where this is the last.
    pub next: Option<Cursor>,
}

/// A condition and what is bound in it.
pub(super) struct Where {
    terms: Vec<String>,
    bound: Vec<Value>,
}

impl Where {
    fn sql(&self) -> String {
        match self.terms.as_slice() {
            [] => String::new(),
            terms => format!(" WHERE {}", terms.join(" AND ")),
        }
    }

    fn add(&mut self, term: String, bound: impl IntoIterator<Item = Value>) {
        self.terms.push(term);
        self.bound.extend(bound);
    }
}

impl Database {
    /// One page of a table.
    ///
    /// # Errors
    /// There is no such table or column, or it took longer than it may.
    pub fn page(&self, ask: &Ask) -> anyhow::Result<Page> {
        let table = self.table(&ask.source)?;
        let columns = chosen(table, &ask.columns)?;
        let limit = ask.limit.clamp(1, MOST_ROWS);
        let sorted = ask.sort.as_ref().filter(|s| s.column != "row_id");
        let Some(sort) = sorted else {
            let descending = ask.sort.as_ref().is_some_and(|s| s.descending);
            let after = ask.after.as_ref().map(|c| c.row_id);
            let rows = self.by_row(table, &columns, ask, None, (after, descending), limit)?;
            return Ok(page(columns, rows, None, limit));
        };
        let by = column(table, &sort.column)?;
        let mut all = columns.clone();
        // Where the page ends must be known, whether it is shown or not.
        all.push(sort.column.clone());
        let in_empty = matches!(
            &ask.after,
            Some(Cursor {
                value: Value::Null,
                ..
            })
        );
        let mut rows = Vec::new();
        if !in_empty {
            rows = self.by_column(table, &all, ask, (&by, sort.descending), limit + 1)?;
        }
        if rows.len() <= limit {
            let after = ask.after.as_ref().filter(|_| in_empty).map(|c| c.row_id);
            let empty = format!("{by} IS NULL");
            let left = limit + 1 - rows.len();
            let more = self.by_row(
                table,
                &all,
                ask,
                Some(empty),
                (after, sort.descending),
                left.saturating_sub(1),
            )?;
            rows.extend(more);
        }
        Ok(page(columns, rows, Some(()), limit))
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// As for [`page`](Self::page).
    pub fn count(&self, source: &str, filters: &[Filter]) -> anyhow::Result<u64> {
        let table = self.table(source)?;
        if filters.is_empty() {
            let sql = "SELECT coalesce(sum(rows), 0) FROM part_rows WHERE source = ?1";
            return Ok(self.connection.query_row(sql, [source], |row| row.get(0))?);
        }
        let filter = self.conditions(table, filters)?;
        let sql = format!("SELECT count(*) FROM {}{}", quoted(source), filter.sql());
        let mut found = self.connection.prepare_cached(&sql)?;
        Ok(found.query_row(params_from_iter(&filter.bound), |row| row.get(0))?)
    }

    fn by_row(
        &self,
        table: &Table,
        columns: &[String],
        ask: &Ask,
        term: Option<String>,
        (after, descending): (Option<i64>, bool),
        limit: usize,
    ) -> anyhow::Result<Vec<Vec<Value>>> {
        let mut filter = self.conditions(table, &ask.filters)?;
        if let Some(term) = term {
            filter.add(term, []);
        }
        let (sign, order) = direction(descending);
        if let Some(row) = after {
            filter.add(format!("row_id {sign} ?"), [Value::Integer(row)]);
        }
        let tail = format!(" ORDER BY row_id {order} LIMIT {}", limit + 1);
        self.rows(table, columns, &filter, &tail)
    }

    fn by_column(
        &self,
        table: &Table,
        columns: &[String],
        ask: &Ask,
        (by, descending): (&str, bool),
        limit: usize,
    ) -> anyhow::Result<Vec<Vec<Value>>> {
        let mut filter = self.conditions(table, &ask.filters)?;
        let (sign, order) = direction(descending);
        match &ask.after {
            Some(after) => filter.add(
                format!("({by}, row_id) {sign} (?, ?)"),
                [after.value.clone(), Value::Integer(after.row_id)],
            ),
            None => filter.add(format!("{by} IS NOT NULL"), []),
        }
        let tail = format!(" ORDER BY {by} {order}, row_id {order} LIMIT {limit}");
        self.rows(table, columns, &filter, &tail)
    }

    fn rows(
        &self,
        table: &Table,
        columns: &[String],
        filter: &Where,
        tail: &str,
    ) -> anyhow::Result<Vec<Vec<Value>>> {
        let named: Vec<_> = columns.iter().map(|c| quoted(c)).collect();
        let (named, table) = (named.join(", "), quoted(&table.name));
        let sql = format!("SELECT {named} FROM {table}{}{tail}", filter.sql());
        let mut found = self.connection.prepare_cached(&sql)?;
        let bound = filter.bound.iter().map(|value| value as &dyn ToSql);
        let mut rows = found.query(params_from_iter(bound))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(value::row(row, columns.len())?);
        }
        Ok(all)
    }

    fn conditions(&self, table: &Table, filters: &[Filter]) -> anyhow::Result<Where> {
        let mut all = Where {
            terms: Vec::new(),
            bound: Vec::new(),
        };
        for filter in filters {
            let name = column(table, &filter.column)?;
            if filter.column == "collection" && filter.operator == Operator::Is {
                let (term, bound) = self.rows_of_collection(&table.name, &filter.value)?;
                all.add(term, bound);
                continue;
            }
            let value = filter.value.clone();
            match filter.operator {
                Operator::Is => all.add(format!("{name} = ?"), [value]),
                Operator::IsNot => all.add(format!("{name} IS NOT ?"), [value]),
                Operator::Less => all.add(format!("{name} < ?"), [value]),
                Operator::AtLeast => all.add(format!("{name} >= ?"), [value]),
                Operator::IsEmpty => all.add(format!("{name} IS NULL"), []),
                Operator::IsPresent => all.add(format!("{name} IS NOT NULL"), []),
                Operator::Contains => {
                    let pattern = Value::Text(format!("%{}%", like(&value.to_text())));
                    all.add(format!("{name} LIKE ? ESCAPE '\\'"), [pattern]);
                }
                Operator::BeginsWith => {
                    let from = value.to_text();
                    // Above every text that begins so: the last character that there is follows.
                    let to = format!("{from}\u{10ffff}");
                    let term = format!("{name} >= ? AND {name} < ?");
                    all.add(term, [Value::Text(from), Value::Text(to)]);
                }
            }
        }
        Ok(all)
    }

    /// Rows of one part lie side by side, so that a collection needs no index.
    fn rows_of_collection(
        &self,
        source: &str,
        collection: &Value,
    ) -> anyhow::Result<(String, Vec<Value>)> {
        let sql = "SELECT first_row, last_row FROM part_rows WHERE collection = ?1 AND source = ?2 ORDER BY first_row";
        let mut found = self.connection.prepare_cached(sql)?;
        let mut rows = found.query([collection, &Value::Text(source.to_owned())])?;
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        while let Some(row) = rows.next()? {
            let (first, last) = (row.get(0)?, row.get(1)?);
            match ranges.last_mut() {
                Some(range) if range.1 + 1 == first => range.1 = last,
                _ => ranges.push((first, last)),
            }
        }
        if ranges.is_empty() {
            return Ok(("0".to_owned(), Vec::new()));
        }
        let terms = vec!["row_id BETWEEN ? AND ?"; ranges.len()].join(" OR ");
        let bound = ranges.into_iter().flat_map(|(first, last)| [first, last]);
        Ok((format!("({terms})"), bound.map(Value::Integer).collect()))
    }
}

fn direction(descending: bool) -> (&'static str, &'static str) {
    if descending {
        ("<", "DESC")
    } else {
        (">", "ASC")
    }
}

/// A column of the table, quoted.
fn column(table: &Table, name: &str) -> anyhow::Result<String> {
    let is_own = OWN_COLUMNS.contains(&name);
    anyhow::ensure!(
        is_own || table.columns.iter().any(|c| c.name == name),
        "The table {:?} has no column {name:?}. See `fieldseal query --schema`.",
        table.name
    );
    Ok(quoted(name))
}

fn chosen(table: &Table, wanted: &[String]) -> anyhow::Result<Vec<String>> {
    let mut columns = vec!["row_id".to_owned()];
    if wanted.is_empty() {
        columns.extend(OWN_COLUMNS.iter().skip(1).map(|&c| c.to_owned()));
        columns.extend(table.columns.iter().map(|c| c.name.clone()));
        return Ok(columns);
    }
    for name in wanted.iter().filter(|n| *n != "row_id") {
        column(table, name)?;
        columns.push(name.clone());
    }
    Ok(columns)
}

/// Cuts what is beyond the page, and says where the next begins.
fn page(columns: Vec<String>, mut rows: Vec<Vec<Value>>, sorted: Option<()>, limit: usize) -> Page {
    let is_last = rows.len() <= limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| !is_last).and_then(|row| {
        let Some(Value::Integer(row_id)) = row.first() else {
            return None;
        };
        let value = row.last().filter(|_| sorted.is_some()).cloned();
        Some(Cursor {
            value: value.unwrap_or(Value::Null),
            row_id: *row_id,
        })
    });
    for row in &mut rows {
        row.truncate(columns.len());
    }
    Page {
        columns,
        rows,
        next,
    }
}

/// A text that means itself in LIKE.
fn like(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
