//! Files that are larger than a part: their pieces over all parts, checked and joined.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::Path,
};

use anyhow::Context as _;
use evidence::{
    count,
    digest::{Digest, DigestWriter},
    names,
};

use super::{
    Say,
    extract::{Extracted, PieceFile},
    names::{Names, Rules},
    times,
};
use crate::private;

/// Joins every file in pieces below `root`; says whether all of them could be, and are what was recorded.
///
/// # Errors
/// The disk fails or is full.
pub fn join(parts: &[Extracted], root: &Path, say: &mut Say<'_>) -> anyhow::Result<bool> {
    let mut found: BTreeMap<&(u32, Vec<u8>), Vec<&PieceFile>> = BTreeMap::new();
    for piece in parts.iter().flat_map(|p| &p.pieces) {
        found.entry(&piece.of).or_default().push(piece);
    }
    // A run that was taken up again repeats unfinished files: the last attempt counts.
    let newest: BTreeMap<&[u8], Vec<&PieceFile>> = found
        .into_iter()
        .map(|((_, path), pieces)| (path.as_slice(), pieces))
        .collect();
    if newest.is_empty() {
        return Ok(true);
    }
    private::create_folder(root).with_context(|| format!("{} can't be made.", root.display()))?;
    let rules = Rules::of(root)
        .with_context(|| format!("Nothing can be written below {}.", root.display()))?;
    let (mut paths, mut used, mut is_whole) = (Names::new(rules), HashSet::new(), true);
    for (path, mut pieces) in newest {
        let shown = String::from_utf8_lossy(path).into_owned();
        let target = root.join(paths.file(&entry_name(path)));
        pieces.sort_by_key(|p| p.piece.number);
        let outcome = match check_order(&pieces).or_else(|| claim(&pieces, &mut used)) {
            Some(why) => Err(why),
            None => join_one(&pieces, &target)
                .with_context(|| format!("{} can't be written.", target.display()))?,
        };
        match outcome {
            Ok(()) => say(&format!(
                "{} joined from {}",
                target.display(),
                count::of(pieces.len() as u64, "piece", "pieces")
            ))?,
            Err(why) => {
                is_whole = false;
                say(&format!("{shown} is not joined: {why}"))?;
            }
        }
    }
    Ok(is_whole)
}

fn entry_name(path: &[u8]) -> String {
    match path {
        [drive, b':', rest @ ..] if drive.is_ascii_alphabetic() => {
            names::windows_entry(char::from(*drive), rest)
        }
        path => names::unix_entry(path),
    }
}

/// Why the pieces do not follow one another to the end.
fn check_order(pieces: &[&PieceFile]) -> Option<String> {
    let mut offset = 0;
    for (at, one) in pieces.iter().enumerate() {
        let (number, is_last) = (at as u64 + 1, at + 1 == pieces.len());
        if u64::from(one.piece.number) != number || one.file.is_none() {
            return Some(format!("piece {number} is missing or stands twice"));
        }
        if one.piece.offset_bytes != offset || (one.piece.last && !is_last) {
            return Some(format!("piece {number} does not fit the ones around it"));
        }
        offset = offset.saturating_add(one.piece.size_bytes);
    }
    let ends = pieces.last().is_some_and(|p| p.piece.last);
    (!ends).then(|| "the last piece is missing".to_owned())
}

/// Each stored piece is used once, so that what is joined is never more than what was extracted.
fn claim<'p>(pieces: &[&'p PieceFile], used: &mut HashSet<&'p Path>) -> Option<String> {
    let files = pieces.iter().filter_map(|p| p.file.as_deref());
    let twice = files.filter(|file| !used.insert(file)).count();
    (twice > 0).then(|| "one stored piece stands for several".to_owned())
}

/// Joins pieces into a new file, which stays only if every digest holds.
fn join_one(pieces: &[&PieceFile], target: &Path) -> io::Result<Result<(), String>> {
    if let Some(parent) = target.parent() {
        private::create_folder(parent)?;
    }
    let file = BufWriter::with_capacity(1 << 17, private::new_file(target)?);
    let mut whole = DigestWriter::new(file);
    let mut fault = None;
    for one in pieces {
        let Some(path) = &one.file else { continue };
        let (sha256, size_bytes) = append(path, &mut whole)?;
        if (sha256, size_bytes) != (one.piece.sha256, one.piece.size_bytes) {
            fault = Some(format!(
                "piece {} is not what was recorded",
                one.piece.number
            ));
        }
    }
    let (mut file, sha256, size_bytes) = whole.finish();
    file.flush()?;
    let recorded = pieces.last().and_then(|p| p.whole);
    if recorded != Some((sha256, size_bytes)) {
        fault.get_or_insert("the whole is not what was recorded".to_owned());
    }
    if let Some(why) = fault {
        fs::remove_file(target)?;
        return Ok(Err(why));
    }
    if let Some(last) = pieces.last() {
        times::restore(target, &last.times)?;
    }
    Ok(Ok(()))
}

fn append(path: &Path, whole: &mut impl io::Write) -> io::Result<(Digest, u64)> {
    let mut piece = DigestWriter::new(whole);
    io::copy(&mut File::open(path)?, &mut piece)?;
    let (_, sha256, size_bytes) = piece.finish();
    Ok((sha256, size_bytes))
}
