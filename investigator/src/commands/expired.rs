//! What the receipts beside evidence say of its expiry: the parts are gone from the server, by which rule, since when.
//!
//! They are told as they stand; whether the log holds them, and whether the rule was an admin's, is for `fieldseal audit`.

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    path::PathBuf,
};

use data_encoding::BASE64;
use evidence::{
    count,
    custody::event::{Action, Event},
};
use serde_json::json;

use super::files;

/// No receipt is longer.
const RECEIPT_BYTES: u64 = 4 << 20;

/// A line for each receipt of an expiry below the paths.
pub(super) fn told(paths: &[PathBuf]) -> Vec<String> {
    let entries = paths.iter().flat_map(walkdir::WalkDir::new);
    let files = entries.filter_map(Result::ok);
    let files = files.filter(|entry| entry.file_type().is_file());
    let lines = files.filter_map(|entry| {
        let name = entry.file_name().to_str()?;
        files::is_paper_of(name, files::EXPIRY)
            .then(|| line(&files::read(entry.path(), RECEIPT_BYTES).ok()?))?
    });
    // The same receipt may lie under a newer checkpoint too.
    lines.collect::<BTreeSet<_>>().into_iter().collect()
}

fn line(receipt: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(receipt).ok()?;
    let leaf = BASE64
        .decode(json.get("leaf_b64")?.as_str()?.as_bytes())
        .ok()?;
    let (_, event) = Event::read(&leaf).ok()?;
    let Action::Expired {
        collection,
        parts,
        rule_sha256,
    } = event.action
    else {
        return None;
    };
    let time = event.time.to_rfc3339()?;
    let (day, _) = time.split_once('T')?;
    Some(format!(
        "{collection}: {} expired on {day} by the retention rule with digest {rule_sha256} (`fieldseal audit` checks it)",
        count::of(parts.len() as u64, "part", "parts")
    ))
}

/// Prints them where there is nothing else to be said.
pub(super) fn show(lines: &[String], as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        return writeln!(out, "{}", json!({ "expired": lines }));
    }
    for line in lines {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "No part is left to be checked.")
}
