//! What is not believed is kept apart, with its reasons: it may be evidence of something.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use evidence::digest::{Digest, DigestWriter};
use serde_json::json;

use super::{fault::Fault, stick::Found};
use crate::{
    folder::Folder,
    keyfile::{self, free_bytes, private_dir, sync_dir},
    refusal::Refusal,
};

/// How much may be set apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) max_file_bytes: u64,
    pub(super) min_free_bytes: u64,
}

/// Copies these files of a collection and writes down why; says where, from the server's folder on.
///
/// The same files again have the same place. What is no plain file, or for which there is no room, is named only.
pub(super) fn keep(
    folder: &Folder,
    found: &Found,
    names: &[String],
    reasons: &[String],
    room: Room,
) -> Result<String, Fault> {
    let base = folder.quarantine();
    let partial = base.join(format!("{}.partial", found.collection));
    let made = || -> io::Result<()> {
        private_dir(&base)?;
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        private_dir(&partial)
    };
    made().map_err(Refusal::failed)?;
    let (mut files, mut left, mut whole) = (Vec::new(), Vec::new(), DigestWriter::new(io::sink()));
    for name in names {
        match copy(found, name, &partial, room) {
            Ok(sha256) => {
                let line = format!("{name} {sha256}\n");
                io::Write::write_all(&mut whole, line.as_bytes()).map_err(Refusal::failed)?;
                files.push(json!({"name": name, "sha256": sha256}));
            }
            Err(why) => left.push(json!({"name": name, "why": why})),
        }
    }
    let report = json!({"v": 1, "collection": found.collection, "reasons": reasons, "files": files, "left_out": left});
    let name = format!(
        "{}-{}",
        found.collection,
        &whole.finish().1.to_string()[..16]
    );
    finish(&partial, &base.join(&name), &report.to_string()).map_err(Refusal::failed)?;
    Ok(format!("quarantine/{name}"))
}

/// A place that is there already holds the same.
fn finish(partial: &Path, place: &PathBuf, report: &str) -> io::Result<()> {
    if place.exists() {
        return fs::remove_dir_all(partial);
    }
    keyfile::create(&partial.join("reasons.json"), report.as_bytes(), 0o600)?;
    fs::rename(partial, place)?;
    place.parent().map_or(Ok(()), sync_dir)
}

fn copy(found: &Found, name: &str, to: &Path, room: Room) -> Result<Digest, String> {
    let (file, size) = found
        .open(name, room.max_file_bytes)
        .map_err(|e| e.to_string())?;
    let text = |e: io::Error| e.to_string();
    if free_bytes(to).map_err(text)? < size.saturating_add(room.min_free_bytes) {
        return Err("there is no room for it".into());
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    let mut into = DigestWriter::new(options.open(to.join(name)).map_err(text)?);
    io::copy(&mut io::Read::take(file, size), &mut into).map_err(text)?;
    let (copy, sha256, _) = into.finish();
    copy.sync_all().map_err(text)?;
    Ok(sha256)
}
