//! Full-text search over every record, and look-up of digests, which are no words.

use anyhow::Context as _;
use rusqlite::params;
use serde::Serialize;

use super::Database;
use crate::case::{meta::SEARCH_SHIFT, names::quoted, table::Table, text};

/// No answer is longer.
const MOST_HITS: usize = 1_000;
/// So much of a hit's subject is shown.
const SUBJECT_CHARS: usize = 300;
/// Columns that hold digests.
const DIGESTS: [&str; 3] = ["sha256", "md5", "sha1"];

/// A record that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// Its table.
    pub source: String,
    /// Its row.
    pub row_id: i64,
    /// The host.
    pub host: String,
    /// The collection.
    pub collection: String,
    /// What it is about.
    pub subject: Option<String>,
}

/// An answer.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Found {
    /// The hits, by table and row.
    pub hits: Vec<Hit>,
    /// Where the next answer begins; `None` where this was the last.
    pub next: Option<i64>,
}

impl Database {
    /// Records in which all the words of `text` stand: a word, several, `"a phrase"`, or the beginning of a word and
    /// `*`. A digest (32, 40 or 64 hex digits) finds what has it. `after` is the [`Found::next`] of the answer before.
    ///
    /// # Errors
    /// There is no word in it, or it took longer than it may.
    pub fn search(
        &self,
        text: &str,
        source: Option<&str>,
        after: Option<i64>,
        limit: usize,
    ) -> anyhow::Result<Found> {
        let limit = limit.clamp(1, MOST_HITS);
        let digest = text.trim().to_ascii_lowercase();
        if text::is_digest(&digest) {
            return self.digest(&digest, source, after, limit);
        }
        let words =
            words(text).context("There is no word to search for. Give letters or digits.")?;
        let (mut from, mut to) = (after.map_or(i64::MIN, |a| a.saturating_add(1)), i64::MAX);
        if let Some(source) = source {
            let id = self.table(source)?.id;
            from = from.max(id << SEARCH_SHIFT);
            to = ((id + 1) << SEARCH_SHIFT) - 1;
        }
        let sql = "SELECT rowid FROM search WHERE search MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid LIMIT ?4";
        let mut found = self.connection.prepare_cached(sql)?;
        let most = i64::try_from(limit + 1)?;
        let rows: Vec<i64> = found
            .query_map(params![words, from, to, most], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let next = rows.get(limit).and(rows.get(limit - 1)).copied();
        let shown = rows.iter().take(limit);
        let hits = shown.filter_map(|&row| self.hit(row).transpose());
        Ok(Found {
            hits: hits.collect::<Result<_, _>>()?,
            next,
        })
    }

    /// How many records there are with these words; no more than `most` are counted.
    ///
    /// # Errors
    /// As for [`search`](Self::search).
    pub fn search_count(&self, text: &str, most: u32) -> anyhow::Result<u64> {
        let words =
            words(text).context("There is no word to search for. Give letters or digits.")?;
        let sql = "SELECT count(*) FROM (SELECT 1 FROM search WHERE search MATCH ?1 LIMIT ?2)";
        let mut found = self.connection.prepare_cached(sql)?;
        Ok(found.query_row(params![words, most], |row| row.get(0))?)
    }

    /// What a row of the index stands for.
    fn hit(&self, found: i64) -> anyhow::Result<Option<Hit>> {
        let (id, row) = (found >> SEARCH_SHIFT, found & ((1 << SEARCH_SHIFT) - 1));
        let table = self.catalog.tables.values().find(|t| t.id == id);
        match table {
            Some(table) => self
                .row_as_hit(table, "row_id = ?1", &row)
                .map(|mut hits| hits.pop()),
            None => Ok(None),
        }
    }

    fn row_as_hit(
        &self,
        table: &Table,
        term: &str,
        bound: &dyn rusqlite::ToSql,
    ) -> anyhow::Result<Vec<Hit>> {
        let subject = table.subject.as_deref().unwrap_or("NULL");
        let name = quoted(&table.name);
        let sql = format!(
            "SELECT row_id, host, collection, substr({subject}, 1, {SUBJECT_CHARS}) FROM {name} WHERE {term}"
        );
        let mut found = self.connection.prepare_cached(&sql)?;
        let hits = found.query_map([bound], |row| {
            Ok(Hit {
                source: table.name.clone(),
                row_id: row.get(0)?,
                host: row.get(1)?,
                collection: row.get(2)?,
                subject: row.get(3)?,
            })
        })?;
        Ok(hits.collect::<Result<_, _>>()?)
    }

    fn digest(
        &self,
        digest: &str,
        source: Option<&str>,
        after: Option<i64>,
        limit: usize,
    ) -> anyhow::Result<Found> {
        let mut found = Found::default();
        let tables = self.catalog.tables.values();
        let mut tables: Vec<_> = tables
            .filter(|t| source.is_none_or(|s| s == t.name))
            .collect();
        tables.sort_by_key(|t| t.id);
        for table in tables {
            let base = table.id << SEARCH_SHIFT;
            let has = DIGESTS
                .iter()
                .filter(|d| table.columns.iter().any(|c| c.name == **d));
            for column in has {
                let from = after.map_or(0, |after| after.saturating_sub(base).max(0));
                let left = limit + 1 - found.hits.len();
                let term = format!(
                    "{} = ?1 AND +row_id > {from} ORDER BY row_id LIMIT {left}",
                    quoted(column)
                );
                found.hits.extend(self.row_as_hit(table, &term, &digest)?);
                if found.hits.len() > limit {
                    found.hits.truncate(limit);
                    found.next = found.hits.last().map(|hit| base | hit.row_id);
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }
}

/// The words as the index wants them: each quoted, so that no sign in them is taken for an operator.
fn words(text: &str) -> Option<String> {
    let mut terms = Vec::new();
    for (at, piece) in text.split('"').enumerate() {
        if at % 2 == 1 {
            terms.extend(term(piece));
        } else {
            terms.extend(piece.split_whitespace().filter_map(term));
        }
    }
    (!terms.is_empty()).then(|| terms.join(" "))
}

fn term(text: &str) -> Option<String> {
    text.chars().any(char::is_alphanumeric).then(|| {
        let (word, star) = match text.strip_suffix('*') {
            Some(word) => (word, " *"),
            None => (text, ""),
        };
        let word = word.replace('\0', " ");
        format!("\"{word}\"{star}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sign_is_an_operator() {
        let as_sent = |text| words(text).unwrap_or_default();
        assert_eq!(as_sent("a OR b"), "\"a\" \"OR\" \"b\"");
        assert_eq!(as_sent("/etc/passwd ssh*"), "\"/etc/passwd\" \"ssh\" *");
        assert_eq!(as_sent("x \"two words\" y"), "\"x\" \"two words\" \"y\"");
        assert_eq!(as_sent("text:a NEAR(b"), "\"text:a\" \"NEAR(b\"");
        assert_eq!(words(" - \" \" *"), None);
    }
}
