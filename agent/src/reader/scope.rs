//! What an order's scope leaves out: whole artifacts, and records by whose they are and when.

use std::{ffi::OsStr, path::PathBuf};

use data_encoding::BASE64;
use evidence::{archive::Lines, instant::Instant};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    artifacts::Extent,
    files::{Bounds, Outside},
    platform::names::OsStrExt as _,
};

/// Why an artifact of this extent is left out whole at `now`, if it is.
pub(super) fn leaves_out(bounds: &Bounds, extent: Extent, now: Instant) -> Option<Outside> {
    match extent {
        Extent::Files => None,
        _ if bounds.names_paths() => Some(Outside::Path),
        Extent::Events => None,
        Extent::Host if bounds.names_users() => Some(Outside::User),
        Extent::Host | Extent::Users(_) => bounds.time(now).err(),
    }
}

/// The lines that may be told, and how many may not.
pub(super) fn choose(bounds: &Bounds, extent: Extent, lines: Lines) -> (Lines, u64) {
    if matches!(extent, Extent::Host) {
        return (lines, 0);
    }
    let (mut kept, mut left_out) = (Lines::default(), 0);
    for line in lines.text().split_inclusive(|byte| *byte == b'\n') {
        let record: Map<String, Value> = serde_json::from_slice(line).unwrap_or_default();
        // What was written a moment ago is written again as it was: keys keep their order.
        let is_kept = judge(bounds, extent, &record).is_ok() && kept.push(&record).is_ok();
        left_out += u64::from(!is_kept);
    }
    (kept, left_out)
}

fn judge(bounds: &Bounds, extent: Extent, record: &Map<String, Value>) -> Result<(), Outside> {
    let uid = |field: &str| {
        let uid = record.get(field).and_then(Value::as_u64)?;
        u32::try_from(uid).ok()
    };
    let time = |field: &str| Instant::deserialize(record.get(field)?).ok();
    match extent {
        Extent::Users(field) => bounds.user(uid(field)),
        Extent::Events => {
            let name = record.get("user").and_then(Value::as_str);
            bounds
                .user(uid("uid"))
                .or_else(|_| bounds.user_name(name))?;
            match time("time") {
                Some(time) => bounds.time(time),
                // Nobody knows when: it is left out unless the scope has no time.
                None => bounds.timeless(),
            }
        }
        Extent::Files => {
            bounds.path(&path(record).ok_or(Outside::Path)?)?;
            bounds.user(uid("uid"))?;
            match time("modified").zip(time("changed")) {
                Some((modified, changed)) => bounds.life(time("born"), modified.max(changed)),
                None => bounds.timeless(),
            }
        }
        Extent::Host => Ok(()),
    }
}

/// The file that `record` is of, by its exact bytes.
fn path(record: &Map<String, Value>) -> Option<PathBuf> {
    let text = |field: &str| record.get(field).and_then(Value::as_str);
    let bytes = match text("path_b64") {
        Some(exact) => BASE64.decode(exact.as_bytes()).ok()?,
        None => text("path")?.as_bytes().to_vec(),
    };
    Some(PathBuf::from(OsStr::from_bytes(&bytes)))
}
