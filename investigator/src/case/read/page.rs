//! One page of a table: filtered, sorted, and begun where the last one ended, however far that is.

use std::time::{Duration, Instant};

use rusqlite::{ErrorCode, ToSql, params_from_iter};
use serde::{Deserialize, Serialize};

use super::{
    Database,
    value::{self, Value},
};
use crate::case::{
    indexes,
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
    /// And in the column by which those of one value are sorted: what the index holds behind it.
    pub second: Value,
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
    /// How long rows that do not fit are passed over before the page ends without being full; `None` for to the end.
    pub most: Option<Duration>,
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
    /// Whether it ended since its time was over: there may be more rows that fit, even where it has none.
    pub is_cut: bool,
}

/// How many rows there are, as far as that was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Count {
    /// So many.
    Exactly(u64),
    /// More than so many.
    MoreThan(u64),
    /// Counting would have taken too long.
    Unknown,
}

/// Rows that a filter must leave at the most to be asked for by the filter's index and sorted then.
const FEW_ROWS: i64 = 60_000;
/// So many times as long as rows are passed over that may take: where few rows lie scattered on a slow disk, they are
/// looked for in the order of the page instead, as many are.
const FEW_PATIENCE: u32 = 5;

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
        let search = |is_few| Search {
            table,
            columns: &columns,
            ask,
            is_few,
            end: ask.most.map(|most| Instant::now() + most),
        };
        let few = match self.are_few(table, &ask.filters)? {
            true => self.gather_in_time(&search(true))?,
            false => None,
        };
        let (mut rows, cut) = match few {
            Some(found) => found,
            None => self.gather(&search(false))?,
        };
        let is_full = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| is_full).map(|(_, at)| at.clone());
        Ok(Page {
            rows: rows.into_iter().map(|(row, _)| row).collect(),
            is_cut: cut.is_some() && !is_full,
            next: last.or(cut),
            columns,
        })
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
        self.count_some(table, filters, -1)
    }

    /// The same, but no more than `most` rows are counted, and no longer than `time`.
    ///
    /// # Errors
    /// As for [`page`](Self::page).
    pub fn count_up_to(
        &self,
        source: &str,
        filters: &[Filter],
        (most, time): (u64, Duration),
    ) -> anyhow::Result<Count> {
        if filters.is_empty() {
            return Ok(Count::Exactly(self.count(source, filters)?));
        }
        let table = self.table(source)?;
        let bound = i64::try_from(most)?.saturating_add(1);
        let counted = self.within(time, || self.count_some(table, filters, bound));
        match counted {
            Ok(rows) if rows > most => Ok(Count::MoreThan(most)),
            Ok(rows) => Ok(Count::Exactly(rows)),
            Err(error) if is_interrupted(&error) => Ok(Count::Unknown),
            Err(error) => Err(error),
        }
    }

    /// Counts up to `most` rows; all where it is negative.
    fn count_some(&self, table: &Table, filters: &[Filter], most: i64) -> anyhow::Result<u64> {
        let filter = self.conditions(table, filters)?;
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {}{} LIMIT {most})",
            quoted(&table.name),
            filter.sql()
        );
        let mut found = self.connection.prepare_cached(&sql)?;
        Ok(found.query_row(params_from_iter(&filter.bound), |row| row.get(0))?)
    }

    /// Whether one of the filters has an index, and leaves few rows.
    fn are_few(&self, table: &Table, filters: &[Filter]) -> anyhow::Result<bool> {
        for filter in filters {
            let by_index = matches!(
                filter.operator,
                Operator::Is | Operator::Less | Operator::AtLeast | Operator::BeginsWith
            );
            let has_index = indexes::has(table, &filter.column) || filter.column == "collection";
            if by_index && has_index {
                let one = std::slice::from_ref(filter);
                let rows = self.count_some(table, one, FEW_ROWS + 1)?;
                if i64::try_from(rows)? <= FEW_ROWS {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The rows of a page and one more, and where it was when its time was over.
    fn gather(&self, search: &Search<'_>) -> anyhow::Result<Gathered> {
        let limit = search.ask.limit.clamp(1, MOST_ROWS);
        let (mut rows, mut cut) = (Vec::new(), None);
        for stretch in stretches(search.table, search.ask)? {
            let left = limit + 1 - rows.len();
            cut = self.walk(search, &stretch, left, &mut rows)?;
            if cut.is_some() || rows.len() > limit {
                break;
            }
        }
        Ok((rows, cut))
    }

    /// The same, or nothing where it takes longer than it may.
    fn gather_in_time(&self, search: &Search<'_>) -> anyhow::Result<Option<Gathered>> {
        let Some(most) = search.ask.most else {
            return self.gather(search).map(Some);
        };
        match self.within(most.saturating_mul(FEW_PATIENCE), || self.gather(search)) {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_interrupted(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds the rows of a stretch that fit; gives where it was when its time was over.
    fn walk(
        &self,
        search: &Search<'_>,
        stretch: &Stretch,
        left: usize,
        rows: &mut Vec<(Vec<Value>, Cursor)>,
    ) -> anyhow::Result<Option<Cursor>> {
        let filter = self.conditions(search.table, &search.ask.filters)?;
        let is_looked_through = search.end.is_some() && !search.is_few && !filter.terms.is_empty();
        let (sql, bound) = search.statement(stretch, filter, is_looked_through);
        let mut found = self.connection.prepare_cached(&sql)?;
        let bound = bound.iter().map(|value| value as &dyn ToSql);
        let mut answer = found.query(params_from_iter(bound))?;
        let (count, full) = (search.columns.len(), rows.len() + left);
        let mut looked_at = 0_u32;
        while let Some(row) = answer.next()? {
            let fits = row.get(count + 2)?;
            if fits {
                rows.push((value::row(row, count)?, stretch.cursor(row, count)?));
                if rows.len() >= full {
                    return Ok(None);
                }
            }
            looked_at = looked_at.wrapping_add(1);
            if !fits && looked_at.is_multiple_of(LOOK_EVERY) && search.is_over() {
                return Ok(Some(stretch.cursor(row, count)?));
            }
        }
        Ok(None)
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

/// Rows with where each stands, and where the search was when its time was over.
type Gathered = (Vec<(Vec<Value>, Cursor)>, Option<Cursor>);

/// Between two looks at the clock: rows.
const LOOK_EVERY: u32 = 256;

/// What is looked for, and until when.
struct Search<'a> {
    table: &'a Table,
    columns: &'a [String],
    ask: &'a Ask,
    is_few: bool,
    end: Option<Instant>,
}

/// Rows that lie one after the other in an index: those that have something in the column that sorts, those that have
/// nothing there, or all by their number.
struct Stretch {
    /// The columns of the order, quoted; the row's number is the last.
    keys: Vec<String>,
    term: Option<String>,
    after: Option<Vec<Value>>,
    descending: bool,
    /// What stands for the cursor's value and second, in the statement.
    shown: [String; 2],
}

impl Stretch {
    fn cursor(&self, row: &rusqlite::Row<'_>, count: usize) -> rusqlite::Result<Cursor> {
        Ok(Cursor {
            value: value::one(row, count)?,
            second: value::one(row, count + 1)?,
            row_id: row.get(0)?,
        })
    }
}

impl Search<'_> {
    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// The statement, and what is bound in it: all rows with a word on each whether it fits, or `limit` that do.
    fn statement(
        &self,
        stretch: &Stretch,
        filter: Where,
        is_looked_through: bool,
    ) -> (String, Vec<Value>) {
        let (sign, order) = match stretch.descending {
            true => ("<", "DESC"),
            false => (">", "ASC"),
        };
        // The filter's own index leads to few rows; that of the order would lead through all.
        let plus = if self.is_few { "+" } else { "" };
        let keys: Vec<_> = stretch.keys.iter().map(|k| format!("{plus}{k}")).collect();
        let mut all = Where {
            terms: Vec::new(),
            bound: Vec::new(),
        };
        let fits = match is_looked_through {
            true => {
                all.bound.extend(filter.bound);
                format!("({}) IS TRUE", filter.terms.join(" AND "))
            }
            false => {
                all = filter;
                "1".to_owned()
            }
        };
        if let Some(term) = &stretch.term {
            all.add(term.clone(), []);
        }
        if let Some(after) = &stretch.after {
            let marks = vec!["?"; keys.len()].join(", ");
            let term = format!("({}) {sign} ({marks})", keys.join(", "));
            all.add(term, after.iter().cloned());
        }
        let named: Vec<_> = self.columns.iter().map(|c| quoted(c)).collect();
        let by: Vec<_> = keys.iter().map(|k| format!("{k} {order}")).collect();
        let limit = match is_looked_through {
            true => String::new(),
            false => format!(" LIMIT {}", self.ask.limit.clamp(1, MOST_ROWS) + 1),
        };
        let sql = format!(
            "SELECT {}, {}, {}, {fits} FROM {}{} ORDER BY {}{limit}",
            named.join(", "),
            stretch.shown[0],
            stretch.shown[1],
            quoted(&self.table.name),
            all.sql(),
            by.join(", "),
        );
        (sql, all.bound)
    }
}

/// The stretches that are left behind the page before.
fn stretches(table: &Table, ask: &Ask) -> anyhow::Result<Vec<Stretch>> {
    let descending = ask.sort.as_ref().is_some_and(|s| s.descending);
    let null = || "NULL".to_owned();
    let Some(sort) = ask.sort.as_ref().filter(|s| s.column != "row_id") else {
        let after = ask.after.as_ref().map(|c| vec![Value::Integer(c.row_id)]);
        return Ok(vec![Stretch {
            keys: vec!["row_id".to_owned()],
            term: None,
            after,
            descending,
            shown: [null(), null()],
        }]);
    };
    let by = column(table, &sort.column)?;
    let second = quoted(indexes::second(&sort.column));
    let tail = |c: &Cursor| [c.second.clone(), Value::Integer(c.row_id)];
    let (in_empty, after) = match &ask.after {
        Some(c) => (c.value == Value::Null, Some(c)),
        None => (false, None),
    };
    let whole = |c: &Cursor| [vec![c.value.clone()], tail(c).to_vec()].concat();
    let present = Stretch {
        keys: vec![by.clone(), second.clone(), "row_id".to_owned()],
        term: Some(format!("{by} IS NOT NULL")),
        after: after.map(whole),
        descending,
        shown: [by.clone(), second.clone()],
    };
    let empty = Stretch {
        keys: vec![second.clone(), "row_id".to_owned()],
        term: Some(format!("{by} IS NULL")),
        after: after.filter(|_| in_empty).map(|c| tail(c).to_vec()),
        descending,
        shown: [null(), second],
    };
    Ok(match in_empty {
        true => vec![empty],
        false => vec![present, empty],
    })
}

fn is_interrupted(error: &anyhow::Error) -> bool {
    let found = error
        .chain()
        .find_map(|e| e.downcast_ref::<rusqlite::Error>());
    found.is_some_and(|e| e.sqlite_error_code() == Some(ErrorCode::OperationInterrupted))
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
