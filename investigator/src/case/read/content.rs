//! A collected file's bytes, out of the part that holds it: decrypted and inflated on the way, never stored.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::PathBuf,
};

use anyhow::{Context as _, bail, ensure};
use evidence::{
    archive::{self, Limits},
    digest::{Digest, DigestWriter},
    records::Piece,
    wrap::{Identity, UnwrapReader},
};
use rusqlite::{OptionalExtension as _, params};

use super::Database;

/// So much is given at once, at most.
const MOST_BYTES: u64 = 64 << 20;

/// Where a file's bytes lie.
#[derive(Debug, Clone)]
pub struct Content {
    /// The file's length, as far as it is recorded.
    pub size_bytes: Option<u64>,
    /// Its digest.
    pub sha256: Option<String>,
    /// What it is made of, in order.
    stretches: Vec<Stretch>,
}

/// One entry of one part.
#[derive(Debug, Clone)]
struct Stretch {
    part: PathBuf,
    encrypted: bool,
    entry: String,
    offset_bytes: u64,
    size_bytes: Option<u64>,
}

/// What a file was found to be when it was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    /// How many bytes were written.
    pub size_bytes: u64,
    /// Over them.
    pub sha256: Digest,
}

/// A row of `files`, as far as it says where its bytes lie.
struct Row {
    collection: String,
    part: u32,
    path: String,
    path_b64: Option<String>,
    entry: Option<String>,
    hard_link_of: Option<String>,
    pieces: Option<String>,
    size_bytes: Option<u64>,
    sha256: Option<String>,
}

impl Database {
    /// Where the bytes of the file in this row of `files` lie; `None` where none were stored.
    ///
    /// # Errors
    /// There is no such row, or the file can't be read.
    pub fn content(&self, row_id: i64) -> anyhow::Result<Option<Content>> {
        let row = self.file_row("row_id = ?1", params![row_id])?;
        let row = row.with_context(|| format!("There is no file in row {row_id}."))?;
        let mut stretches = Vec::new();
        if let Some(entry) = &row.entry {
            if entry.ends_with('/') {
                return Ok(None);
            }
            stretches.push(self.stretch(&row.collection, row.part, entry, 0, row.size_bytes)?);
        } else if let Some(linked) = &row.hard_link_of {
            let first = self.file_row(
                "path IS NOT NULL AND collection = ?1 AND entry = ?2",
                params![row.collection, linked],
            )?;
            let Some(first) = first else { return Ok(None) };
            stretches.push(self.stretch(
                &row.collection,
                first.part,
                linked,
                0,
                first.size_bytes,
            )?);
        } else if row.pieces.is_some() {
            stretches = self.pieces(&row)?;
        }
        Ok((!stretches.is_empty()).then_some(Content {
            size_bytes: row.size_bytes,
            sha256: row.sha256,
            stretches,
        }))
    }

    fn file_row(&self, term: &str, bound: impl rusqlite::Params) -> anyhow::Result<Option<Row>> {
        let sql = format!(
            "SELECT collection, part, path, path_b64, entry, hard_link_of, pieces, size_bytes, sha256 \
             FROM files WHERE {term} LIMIT 1"
        );
        let mut found = self.connection.prepare_cached(&sql)?;
        let row = found.query_row(bound, |row| {
            Ok(Row {
                collection: row.get(0)?,
                part: row.get(1)?,
                path: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
                path_b64: row.get(3)?,
                entry: row.get(4)?,
                hard_link_of: row.get(5)?,
                pieces: row.get(6)?,
                size_bytes: row.get(7)?,
                sha256: row.get(8)?,
            })
        });
        Ok(row.optional()?)
    }

    fn stretch(
        &self,
        collection: &str,
        part: u32,
        entry: &str,
        offset_bytes: u64,
        size_bytes: Option<u64>,
    ) -> anyhow::Result<Stretch> {
        let sql = "SELECT path, encrypted FROM parts WHERE collection = ?1 AND part = ?2";
        let (path, encrypted): (String, bool) =
            self.connection
                .query_row(sql, params![collection, part], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
        Ok(Stretch {
            part: PathBuf::from(path),
            encrypted,
            entry: entry.to_owned(),
            offset_bytes,
            size_bytes,
        })
    }

    /// The pieces of a file that is larger than a part, over all parts of its last attempt.
    fn pieces(&self, row: &Row) -> anyhow::Result<Vec<Stretch>> {
        let sql = "SELECT f.part, f.pieces, p.attempt FROM files f JOIN parts p USING (collection, part) \
                   WHERE f.path = ?1 AND f.collection = ?2 AND f.path_b64 IS ?3 AND f.pieces IS NOT NULL";
        let mut found = self.connection.prepare_cached(sql)?;
        let mut rows = found.query(params![row.path, row.collection, row.path_b64])?;
        let mut all: Vec<(u32, u32, Piece)> = Vec::new();
        while let Some(row) = rows.next()? {
            let (part, text, attempt): (u32, String, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let pieces: Vec<Piece> = serde_json::from_str(&text)
                .context("The record of the file's pieces can't be read.")?;
            all.extend(pieces.into_iter().map(|piece| (attempt, part, piece)));
        }
        let last = all.iter().map(|(attempt, ..)| *attempt).max();
        all.retain(|(attempt, ..)| Some(*attempt) == last);
        all.sort_by_key(|(_, _, piece)| piece.number);
        let mut end = 0;
        for (_, _, piece) in &all {
            ensure!(
                piece.offset_bytes == end,
                "A piece of the file is missing. Load the other parts of the collection."
            );
            end = end.saturating_add(piece.size_bytes);
        }
        all.iter()
            .map(|(_, part, piece)| {
                let (offset, size) = (piece.offset_bytes, Some(piece.size_bytes));
                self.stretch(&row.collection, *part, &piece.entry, offset, size)
            })
            .collect()
    }
}

impl Content {
    /// `length` bytes from `from` on, fewer at the file's end; no more than 64 MiB at once.
    ///
    /// What is not read to its end is not held to its digest: the part was, when it was loaded.
    ///
    /// # Errors
    /// The part is not there any more, no key opens it, or it is damaged.
    pub fn range(
        &self,
        identities: &[Identity],
        from: u64,
        length: u64,
    ) -> anyhow::Result<Vec<u8>> {
        let end = from.saturating_add(length.min(MOST_BYTES));
        let mut bytes = Vec::new();
        for stretch in &self.stretches {
            let at = stretch.offset_bytes;
            let stretch_end = stretch
                .size_bytes
                .map_or(u64::MAX, |s| at.saturating_add(s));
            if stretch_end <= from || at >= end {
                continue;
            }
            let (skip, last) = (from.saturating_sub(at), end.min(stretch_end) - at);
            stretch.read(identities, &mut |plain| {
                io::copy(&mut plain.take(skip), &mut io::sink())?;
                plain.take(last - skip).read_to_end(&mut bytes)?;
                Ok(false)
            })?;
        }
        Ok(bytes)
    }

    /// Writes the whole file, and says what was written; it is held to its recorded digest.
    ///
    /// # Errors
    /// As for [`range`](Self::range), or it is not what was recorded.
    pub fn copy(&self, identities: &[Identity], to: &mut dyn io::Write) -> anyhow::Result<Whole> {
        let mut digest = DigestWriter::new(to);
        for stretch in &self.stretches {
            stretch.read(identities, &mut |plain| {
                io::copy(plain, &mut digest)?;
                Ok(true)
            })?;
        }
        let (_, sha256, size_bytes) = digest.finish();
        if let Some(recorded) = &self.sha256 {
            ensure!(
                *recorded == sha256.to_string(),
                "The file is not what was recorded. Verify its part."
            );
        }
        Ok(Whole { size_bytes, sha256 })
    }
}

/// Reads of an entry what it wants, and says whether the rest is to be checked.
type Take<'t> = dyn FnMut(&mut dyn Read) -> io::Result<bool> + 't;

impl Stretch {
    fn read(&self, identities: &[Identity], take: &mut Take<'_>) -> anyhow::Result<()> {
        let shown = self.part.display();
        let file = File::open(&self.part).with_context(|| {
            format!(
                "{shown} is not there any more. Put it back, or load it from where it lies now."
            )
        })?;
        let file = BufReader::with_capacity(1 << 17, file);
        if !self.encrypted {
            return self.read_in(file, take);
        }
        let plain = UnwrapReader::new(identities, file)
            .with_context(|| format!("{shown} can't be decrypted."))?;
        self.read_in(plain, take)
    }

    fn read_in(&self, zip: impl Read + Seek, take: &mut Take<'_>) -> anyhow::Result<()> {
        let mut taken = None;
        let report = archive::read_some(
            zip,
            &Limits::default(),
            |name| name == self.entry,
            |_, plain| {
                let outcome = take(plain);
                let goes_on = matches!(outcome, Ok(true));
                taken = Some(outcome);
                if goes_on {
                    Ok(())
                } else {
                    Err(io::Error::other("enough"))
                }
            },
        );
        let shown = self.part.display();
        match (taken, report) {
            (Some(Ok(false)), _) => Ok(()),
            (Some(Ok(true)), Ok(report)) if report.faults.is_empty() => Ok(()),
            (Some(Err(error)), _) | (_, Err(error)) => {
                Err(error).with_context(|| format!("{shown} can't be read."))
            }
            (None, _) => bail!(
                "{shown} holds no {:?}. It is not the part that was loaded.",
                self.entry
            ),
            (Some(Ok(true)), Ok(_)) => bail!("{shown} is damaged. Fetch it again."),
        }
    }
}
