//! Between columns and types: a value that does not read is a damaged row, never a guess.

use std::str::FromStr;

use evidence::instant::Instant;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::index::IndexError;

/// A text column as the type that it stands for.
pub(super) fn parsed<T: FromStr>(row: &SqliteRow, name: &'static str) -> Result<T, IndexError> {
    let text: &str = row.try_get(name)?;
    text.parse().map_err(|_| IndexError::Damaged(name))
}

/// The same, where the column may be empty.
pub(super) fn parsed_or_none<T: FromStr>(
    row: &SqliteRow,
    name: &'static str,
) -> Result<Option<T>, IndexError> {
    let text: Option<&str> = row.try_get(name)?;
    text.map(|t| t.parse().map_err(|_| IndexError::Damaged(name)))
        .transpose()
}

/// A JSON column.
pub(super) fn json<T: serde::de::DeserializeOwned>(
    text: &str,
    name: &'static str,
) -> Result<T, IndexError> {
    serde_json::from_str(text).map_err(|_| IndexError::Damaged(name))
}

/// A size; the columns never hold a negative one.
pub(super) fn size(row: &SqliteRow, name: &str) -> Result<u64, IndexError> {
    Ok(row.try_get::<i64, _>(name)?.unsigned_abs())
}

/// SQLite's integers are signed; no size of ours comes near.
pub(super) fn sql_size(bytes: u64) -> Result<i64, IndexError> {
    i64::try_from(bytes).map_err(|_| IndexError::Full)
}

/// Nanoseconds since 1970; times before 1678 or after 2262 become the nearest that fits.
pub(super) fn to_ns(at: Instant) -> i64 {
    at.seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::from(at.ns))
}

/// The time of such a column.
pub(super) fn from_ns(ns: i64) -> Instant {
    Instant {
        seconds: ns.div_euclid(1_000_000_000),
        ns: u32::try_from(ns.rem_euclid(1_000_000_000)).unwrap_or(0),
    }
}

/// A time's column.
pub(super) fn time(row: &SqliteRow, name: &str) -> Result<Instant, IndexError> {
    Ok(from_ns(row.try_get(name)?))
}

/// The same, where the column may be empty.
pub(super) fn time_or_none(row: &SqliteRow, name: &str) -> Result<Option<Instant>, IndexError> {
    Ok(row.try_get::<Option<i64>, _>(name)?.map(from_ns))
}
