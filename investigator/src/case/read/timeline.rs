//! The timeline in order: what happened between two times, over all tables, a page at a time.

use evidence::instant::Instant;
use rusqlite::params_from_iter;
use serde::{Deserialize, Serialize};

use super::{Database, Value};
use crate::case::{
    indexes::{self, Arm},
    names::{literal, quoted},
};

/// No page is longer.
const MOST_EVENTS: usize = 10_000;

/// What of the timeline is looked at.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Window {
    /// From this time on.
    pub from: Option<Instant>,
    /// Before this time.
    pub to: Option<Instant>,
    /// Only this host.
    pub host: Option<String>,
    /// Only this collection.
    pub collection: Option<String>,
    /// Only these tables; all when empty.
    pub sources: Vec<String>,
    /// Only these kinds of event; all when empty.
    pub events: Vec<String>,
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The time of its last event.
    pub time: String,
    /// How many events of this very time were shown.
    pub shown: u32,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When.
    pub time: String,
    /// Where.
    pub host: String,
    /// In which collection it stands.
    pub collection: String,
    /// What, in words.
    pub event: String,
    /// To what.
    pub subject: Option<String>,
    /// The table of its record.
    pub source: String,
    /// The row of its record.
    pub row_id: i64,
}

impl Window {
    /// Where times are text, these are their bounds; a window without an end has none.
    pub(super) fn bounds(&self) -> (Option<String>, Option<String>) {
        let text = |at: Option<Instant>| at.and_then(Instant::to_rfc3339);
        (text(self.from), text(self.to))
    }

    pub(super) fn has(&self, arm: &Arm) -> bool {
        let among = |list: &[String], one: &String| list.is_empty() || list.contains(one);
        among(&self.sources, &arm.table) && among(&self.events, &arm.event)
    }

    /// The condition on one arm, and what is bound in it.
    pub(super) fn terms(&self, arm: &Arm, after: Option<&Moment>) -> (String, Vec<Value>) {
        let time = quoted(&arm.column);
        let (from, to) = self.bounds();
        let from = match after {
            Some(after) => Some(after.time.clone()),
            None => from,
        };
        let (mut terms, mut bound) = (vec![format!("{time} IS NOT NULL")], Vec::new());
        let pairs = [
            (format!("{time} >= ?"), from),
            (format!("{time} < ?"), to),
            ("host = ?".to_owned(), self.host.clone()),
            // Unlike the host's, its index would not help a range of time.
            ("+collection = ?".to_owned(), self.collection.clone()),
        ];
        for (term, value) in pairs {
            if let Some(value) = value {
                terms.push(term);
                bound.push(Value::Text(value));
            }
        }
        (terms.join(" AND "), bound)
    }
}

impl Database {
    /// Kinds of event that there can be, each with its table.
    pub fn events(&self) -> Vec<(String, String)> {
        let arms = indexes::arms(&self.catalog);
        arms.into_iter().map(|arm| (arm.table, arm.event)).collect()
    }

    /// What happened, the earliest first.
    ///
    /// # Errors
    /// It took longer than it may, or the file can't be read.
    pub fn timeline(
        &self,
        window: &Window,
        after: Option<&Moment>,
        limit: usize,
    ) -> anyhow::Result<(Vec<Event>, Option<Moment>)> {
        let limit = limit.clamp(1, MOST_EVENTS);
        let skipped = after.map_or(0, |m| m.shown as usize);
        let most = limit + skipped + 1;
        let mut events = Vec::new();
        for arm in indexes::arms(&self.catalog)
            .iter()
            .filter(|a| window.has(a))
        {
            events.extend(self.arm(arm, window, after, most)?);
        }
        // Each arm gave its first; the first of all are among them.
        // In the order of each arm's index, so that none is sorted for a page.
        let key = |e: &Event| {
            let of = (e.source.clone(), e.event.clone(), e.host.clone());
            (e.time.clone(), of, e.row_id)
        };
        events.sort_by_cached_key(key);
        events.drain(..skipped.min(events.len()));
        let is_last = events.len() <= limit;
        events.truncate(limit);
        let next = events.last().filter(|_| !is_last).map(|last| {
            let of_time = events
                .iter()
                .rev()
                .take_while(|e| e.time == last.time)
                .count();
            let before = after.filter(|a| a.time == last.time).map_or(0, |a| a.shown);
            Moment {
                time: last.time.clone(),
                shown: before + u32::try_from(of_time).unwrap_or(u32::MAX),
            }
        });
        Ok((events, next))
    }

    fn arm(
        &self,
        arm: &Arm,
        window: &Window,
        after: Option<&Moment>,
        most: usize,
    ) -> anyhow::Result<Vec<Event>> {
        let (terms, bound) = window.terms(arm, after);
        let time = quoted(&arm.column);
        let sql = format!(
            "SELECT {time}, host, collection, {subject}, row_id FROM {table} WHERE {terms} \
             ORDER BY {time}, host, row_id LIMIT {most} -- {event}",
            subject = arm.subject,
            table = quoted(&arm.table),
            event = literal(&arm.event).replace('\n', " "),
        );
        let mut found = self.connection.prepare_cached(&sql)?;
        let rows = found.query_map(params_from_iter(&bound), |row| {
            Ok(Event {
                time: row.get(0)?,
                host: row.get(1)?,
                collection: row.get(2)?,
                subject: row.get(3)?,
                row_id: row.get(4)?,
                event: arm.event.clone(),
                source: arm.table.clone(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
