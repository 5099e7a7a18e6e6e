//! How much happened when: the timeline as counts, between two times.

use anyhow::{Context as _, ensure};
use evidence::instant::Instant;
use rusqlite::params_from_iter;
use serde::Serialize;

use super::{Database, Value, Window};
use crate::case::{
    indexes::{self, Arm},
    names::quoted,
};

/// No more buckets.
const MOST_BUCKETS: u32 = 2_000;

/// A stretch of time, and how much happened in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// From this time on.
    pub from: String,
    /// Before this time.
    pub to: String,
    /// How many events.
    pub events: u64,
}

impl Database {
    /// The first and the last time of the timeline within the window; `None` where nothing happened.
    ///
    /// # Errors
    /// It took longer than it may, or the file can't be read.
    pub fn span(&self, window: &Window) -> anyhow::Result<Option<(String, String)>> {
        let mut span: Option<(String, String)> = None;
        for arm in indexes::arms(&self.catalog)
            .iter()
            .filter(|a| window.has(a))
        {
            let (terms, bound) = window.terms(arm, None);
            let (time, table) = (quoted(&arm.column), quoted(&arm.table));
            // Two statements, so that each takes one end of the index.
            let end = |which: &str| -> rusqlite::Result<Option<String>> {
                let sql = format!("SELECT {which}({time}) FROM {table} WHERE {terms}");
                let mut found = self.connection.prepare_cached(&sql)?;
                found.query_row(params_from_iter(&bound), |row| row.get(0))
            };
            if let (Some(first), Some(last)) = (end("min")?, end("max")?) {
                span = Some(match span {
                    Some((from, to)) => (from.min(first), to.max(last)),
                    None => (first, last),
                });
            }
        }
        Ok(span)
    }

    /// Cuts the time from `from` to before `to` into `buckets` of one length, and counts what happened in each.
    ///
    /// # Errors
    /// The times make no sense, or it took longer than it may.
    pub fn histogram(
        &self,
        window: &Window,
        (from, to): (Instant, Instant),
        buckets: u32,
    ) -> anyhow::Result<Vec<Bucket>> {
        ensure!(
            from < to,
            "The end is not after the beginning. Name a later one."
        );
        let edges = edges(from, to, buckets.clamp(1, MOST_BUCKETS))?;
        let pairs = edges.windows(2).map(|pair| Bucket {
            from: pair[0].clone(),
            to: pair[1].clone(),
            events: 0,
        });
        let mut all: Vec<Bucket> = pairs.collect();
        for arm in indexes::arms(&self.catalog)
            .iter()
            .filter(|a| window.has(a))
        {
            self.count_arm(arm, window, &mut all)?;
        }
        Ok(all)
    }

    fn count_arm(&self, arm: &Arm, window: &Window, buckets: &mut [Bucket]) -> anyhow::Result<()> {
        let own = Window {
            from: None,
            to: None,
            ..window.clone()
        };
        let (terms, bound) = own.terms(arm, None);
        let (time, table) = (quoted(&arm.column), quoted(&arm.table));
        let sql =
            format!("SELECT count(*) FROM {table} WHERE {terms} AND {time} >= ? AND {time} < ?");
        let mut found = self.connection.prepare_cached(&sql)?;
        for bucket in buckets {
            let edges = [&bucket.from, &bucket.to].map(|edge| Value::Text(edge.clone()));
            let bound = bound.iter().chain(&edges);
            bucket.events +=
                found.query_row(params_from_iter(bound), |row| row.get::<_, u64>(0))?;
        }
        Ok(())
    }
}

/// The edges of so many stretches of one length.
fn edges(from: Instant, to: Instant, buckets: u32) -> anyhow::Result<Vec<String>> {
    let ns = |at: Instant| i128::from(at.seconds) * 1_000_000_000 + i128::from(at.ns);
    let (first, length) = (ns(from), ns(to) - ns(from));
    let edge = |number: u32| {
        let at = first + length * i128::from(number) / i128::from(buckets);
        let instant = Instant {
            seconds: i64::try_from(at.div_euclid(1_000_000_000)).ok()?,
            ns: u32::try_from(at.rem_euclid(1_000_000_000)).ok()?,
        };
        instant.to_rfc3339()
    };
    (0..=buckets)
        .map(edge)
        .collect::<Option<_>>()
        .context("The times lie outside the years 1 to 9999. Name others.")
}
