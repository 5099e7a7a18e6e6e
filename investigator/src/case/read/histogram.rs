//! How much happened when: the timeline as counts, between two times.

use anyhow::{Context as _, ensure};
use evidence::instant::Instant;
use rusqlite::{params, params_from_iter};
use serde::Serialize;

use super::{Database, Value, Window};
use crate::case::{
    hours::HOUR_BYTES,
    indexes::{self, Arm},
    names::quoted,
};

/// No more buckets.
const MOST_BUCKETS: u32 = 2_000;
/// So much is counted one by one; more by the hours that were counted while loading.
const COUNTED_ONE_BY_ONE: u64 = 1_000_000;
const HOUR_S: i64 = 3_600;

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

    /// Cuts the time from `from` to before `to` into up to `buckets` of one length, and counts what happened in each.
    ///
    /// Where they are long, or much happened, they are whole hours, but for the first and the last.
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
        let buckets = buckets.clamp(1, MOST_BUCKETS);
        let arms = indexes::arms(&self.catalog);
        let arms: Vec<_> = arms.iter().filter(|a| window.has(a)).collect();
        let is_all = window.host.is_none() && window.collection.is_none();
        let hours = (to.seconds - from.seconds) / HOUR_S;
        let by_hours = is_all
            && (hours >= i64::from(buckets)
                || (hours > 1 && self.happened(&arms, from, to)? > COUNTED_ONE_BY_ONE));
        let edges = match by_hours {
            true => whole_hours(from, to, i64::from(buckets)),
            false => edges(from, to, buckets)?,
        };
        let mut all = Vec::with_capacity(edges.len());
        for pair in edges.windows(2) {
            let mut events = 0;
            for arm in &arms {
                events += match by_hours {
                    true => self.count_hours(arm, window, (pair[0], pair[1]))?,
                    false => self.count_arm(arm, window, (pair[0], pair[1]))?,
                };
            }
            all.push(Bucket {
                from: text(pair[0])?,
                to: text(pair[1])?,
                events,
            });
        }
        Ok(all)
    }

    /// How much happened in all hours that the times touch.
    fn happened(&self, arms: &[&Arm], from: Instant, to: Instant) -> anyhow::Result<u64> {
        let span = (floor(from), ceiling(to));
        arms.iter().map(|arm| self.hours(arm, span)).sum()
    }

    /// What was counted of an arm while records were loaded, between two whole hours.
    fn hours(&self, arm: &Arm, (from, to): (Instant, Instant)) -> anyhow::Result<u64> {
        let sql = "SELECT coalesce(sum(events), 0) FROM timeline_hours \
                   WHERE source = ?1 AND name = ?2 AND hour >= ?3 AND hour < ?4";
        let mut found = self.connection.prepare_cached(sql)?;
        let (mut from, mut to) = (text(from)?, text(to)?);
        from.truncate(HOUR_BYTES);
        to.truncate(HOUR_BYTES);
        let bound = params![arm.table, arm.column, from, to];
        Ok(found.query_row(bound, |row| row.get(0))?)
    }

    /// Counts by whole hours, and one by one only what lies in the hours that it begins and ends in.
    fn count_hours(
        &self,
        arm: &Arm,
        window: &Window,
        (from, to): (Instant, Instant),
    ) -> anyhow::Result<u64> {
        let (first, last) = (ceiling(from), floor(to));
        if first >= last {
            return self.count_arm(arm, window, (from, to));
        }
        let mut events = self.hours(arm, (first, last))?;
        for rest in [(from, first), (last, to)] {
            if rest.0 < rest.1 {
                events += self.count_arm(arm, window, rest)?;
            }
        }
        Ok(events)
    }

    fn count_arm(
        &self,
        arm: &Arm,
        window: &Window,
        (from, to): (Instant, Instant),
    ) -> anyhow::Result<u64> {
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
        let edges = [Value::Text(text(from)?), Value::Text(text(to)?)];
        let bound = bound.iter().chain(&edges);
        Ok(found.query_row(params_from_iter(bound), |row| row.get(0))?)
    }
}

fn text(at: Instant) -> anyhow::Result<String> {
    at.to_rfc3339()
        .context("The times lie outside the years 1 to 9999. Name others.")
}

/// The whole hour that it lies in.
fn floor(at: Instant) -> Instant {
    Instant {
        seconds: at.seconds - at.seconds.rem_euclid(HOUR_S),
        ns: 0,
    }
}

/// The first whole hour from it on.
fn ceiling(at: Instant) -> Instant {
    let hour = floor(at);
    match hour == at {
        true => at,
        false => later(hour, HOUR_S),
    }
}

fn later(at: Instant, seconds: i64) -> Instant {
    Instant {
        seconds: at.seconds + seconds,
        ..at
    }
}

/// The edges of at most so many stretches of whole hours, all as long but the first and the last.
fn whole_hours(from: Instant, to: Instant, most: i64) -> Vec<Instant> {
    let begin = floor(from);
    let hours = (ceiling(to).seconds - begin.seconds) / HOUR_S;
    let step = (hours + most - 1) / most * HOUR_S;
    let mut edges = vec![from];
    let mut next = later(begin, step);
    while next < to {
        edges.push(next);
        next = later(next, step);
    }
    edges.push(to);
    edges
}

/// The edges of so many stretches of one length.
fn edges(from: Instant, to: Instant, buckets: u32) -> anyhow::Result<Vec<Instant>> {
    let ns = |at: Instant| i128::from(at.seconds) * 1_000_000_000 + i128::from(at.ns);
    let (first, length) = (ns(from), ns(to) - ns(from));
    let edge = |number: u32| {
        let at = first + length * i128::from(number) / i128::from(buckets);
        Some(Instant {
            seconds: i64::try_from(at.div_euclid(1_000_000_000)).ok()?,
            ns: u32::try_from(at.rem_euclid(1_000_000_000)).ok()?,
        })
    };
    (0..=buckets)
        .map(edge)
        .collect::<Option<_>>()
        .context("The times lie outside the years 1 to 9999. Name others.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_hours_cover_the_time_and_are_not_too_many() {
        let at = |seconds| Instant { seconds, ns: 5 };
        for (from, to) in [(0, 3_601), (1_800, 400_000), (3_599, 36_000_000)] {
            let edges = whole_hours(at(from), at(to), 60);
            assert!(edges.len() <= 62, "{}", edges.len());
            assert_eq!((edges[0], edges[edges.len() - 1]), (at(from), at(to)));
            assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
            let inner = &edges[1..edges.len() - 1];
            assert!(inner.iter().all(|edge| floor(*edge) == *edge));
        }
    }
}
