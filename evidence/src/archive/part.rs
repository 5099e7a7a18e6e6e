//! Lays out one part: evidence as it comes, then the records that describe it, then the seal.
//!
//! A streamed ZIP takes one entry at a time, so files.jsonl, gaps.jsonl and log.jsonl wait in
//! memory, deflated, until the part is closed. What is evidence and when a part is sealed is the
//! caller's to say; how it is signed, too.

use std::io::{Read, Write};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use serde::Serialize;

use super::{
    Lines, SEAL, SUMS,
    writer::{Stored, StreamZip, WriteError},
};
use crate::{
    digest::{Digest, DigestWriter},
    gap::{Gap, Severity},
    instant::Instant,
    names,
    records::{CollectionRecord, Counts, FileRecord, LogLine},
};

/// When a part should be closed. Each is checked by [`PartWriter::due`], none is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartLimits {
    /// Bytes of the archive; keep it below 4 GiB for sticks with FAT32.
    pub size_bytes: u64,
    /// Plain bytes; a verifier takes 8 GiB.
    pub plain_bytes: u64,
    /// Entries.
    pub entries: u64,
    /// Bytes of the waiting index in memory.
    pub index_bytes: u64,
    /// Plain bytes of one record file; a verifier takes 64 MB.
    pub record_file_bytes: u64,
}

impl Default for PartLimits {
    fn default() -> Self {
        Self {
            size_bytes: 1 << 30,
            plain_bytes: 7 << 30,
            entries: 20_000,
            index_bytes: 4 << 20,
            record_file_bytes: 60_000_000,
        }
    }
}

/// What the end of a part needs from its caller.
#[derive(Debug)]
pub struct Closing<'a> {
    /// collection.json, its counts filled from [`PartWriter::counts`].
    pub collection: &'a CollectionRecord,
    /// The signed order as received; empty where there is none.
    pub order: &'a [u8],
    /// The signed policy as received; empty where there is none.
    pub policy: &'a [u8],
}

/// A part that is complete.
#[derive(Debug)]
pub struct Sealed<W> {
    /// What the part was written to.
    pub inner: W,
    /// Over the plain part.
    pub sha256: Digest,
    /// Its length.
    pub size_bytes: u64,
}

/// The part could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError<E> {
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// SHA256SUMS could not be signed.
    #[error("SHA256SUMS could not be signed, so the part is incomplete. Check the seal key.")]
    Seal(#[source] E),
}

/// Writes one part from its first byte to its seal.
#[derive(Debug)]
pub struct PartWriter<W: Write> {
    zip: StreamZip<DigestWriter<W>>,
    limits: PartLimits,
    files: Waiting,
    gaps: Waiting,
    log: Waiting,
    counts: Counts,
    plain_bytes: u64,
    results_bytes: u64,
}

impl<W: Write> PartWriter<W> {
    /// Begins a part; `time` becomes the (meaningless) ZIP time of its entries.
    pub fn new(inner: W, limits: PartLimits, time: Instant) -> Self {
        Self {
            zip: StreamZip::new(DigestWriter::new(inner), time),
            limits,
            files: Waiting::new(),
            gaps: Waiting::new(),
            log: Waiting::new(),
            counts: Counts::default(),
            plain_bytes: 0,
            results_bytes: 0,
        }
    }

    /// Stores content under fs/ or pieces/. Its line in files.jsonl is [`Self::file`]'s.
    ///
    /// # Errors
    /// A name outside fs/ and pieces/; results are being written; the disk below.
    pub fn content(&mut self, name: &str, source: impl Read) -> Result<Stored, WriteError> {
        if !names::is_content(name) {
            return Err(WriteError::Misuse("content goes under fs/ or pieces/"));
        }
        let stored = self.zip.entry(name, source)?;
        self.counts.files += 1;
        self.counts.file_bytes += stored.size_bytes;
        self.plain_bytes += stored.size_bytes;
        Ok(stored)
    }

    /// Adds one of the permitted folders. Its line in files.jsonl is [`Self::file`]'s.
    ///
    /// # Errors
    /// Any other name; results are being written; the disk below.
    pub fn folder(&mut self, name: &str) -> Result<(), WriteError> {
        self.zip.folder(name)
    }

    /// Adds a line to files.jsonl.
    ///
    /// # Errors
    /// The record has no JSON.
    pub fn file(&mut self, record: &FileRecord) -> Result<(), WriteError> {
        self.files.add(record)?;
        self.counts.file_records += 1;
        Ok(())
    }

    /// Adds a line to gaps.jsonl.
    ///
    /// # Errors
    /// The record has no JSON.
    pub fn gap(&mut self, gap: &Gap) -> Result<(), WriteError> {
        self.gaps.add(gap)?;
        self.counts.gaps += 1;
        self.counts.serious_gaps += u64::from(gap.severity == Severity::Serious);
        Ok(())
    }

    /// Adds a line to log.jsonl.
    ///
    /// # Errors
    /// The line has no JSON.
    pub fn log(&mut self, line: &LogLine) -> Result<(), WriteError> {
        self.log.add(line)
    }

    /// Opens results/`artifact`.jsonl, to be filled by [`Self::records`].
    ///
    /// # Errors
    /// Other results are being written, or this part has these already; the disk below.
    pub fn begin_results(&mut self, artifact: &str) -> Result<(), WriteError> {
        self.results_bytes = 0;
        let name = names::escape(artifact.as_bytes());
        self.zip.begin_stream(&format!("results/{name}.jsonl"))
    }

    /// Writes records straight into the open results.
    ///
    /// # Errors
    /// No results are open; the disk below.
    pub fn records(&mut self, lines: &Lines) -> Result<(), WriteError> {
        self.zip.write(lines.text())?;
        self.counts.records += lines.count();
        self.results_bytes += lines.text().len() as u64;
        self.plain_bytes += lines.text().len() as u64;
        Ok(())
    }

    /// Writes one record straight into the open results.
    ///
    /// # Errors
    /// No results are open; the record has no JSON; the disk below.
    pub fn record(&mut self, record: &impl Serialize) -> Result<(), WriteError> {
        let mut lines = Lines::default();
        lines.push(record)?;
        self.records(&lines)
    }

    /// Closes the open results.
    ///
    /// # Errors
    /// No results are open; the disk below.
    pub fn end_results(&mut self) -> Result<(), WriteError> {
        self.results_bytes = 0;
        self.zip.end().map(|_| ())
    }

    /// Whether results are open, so that nothing else can be stored.
    pub fn in_results(&self) -> bool {
        self.zip.is_open()
    }

    /// What is in the part so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes of the archive that are below already.
    pub fn size_bytes(&self) -> u64 {
        self.zip.inner().map_or(0, DigestWriter::count_bytes)
    }

    /// How many more bytes the part should take; a larger file is stored in pieces.
    pub fn room_bytes(&self) -> u64 {
        let size = self.limits.size_bytes.saturating_sub(self.size_bytes());
        size.min(self.limits.plain_bytes.saturating_sub(self.plain_bytes))
    }

    /// Whether a limit is reached and the part should be closed.
    pub fn due(&self) -> bool {
        let waiting = [&self.files, &self.gaps, &self.log];
        let packed: u64 = waiting.iter().map(|w| w.packed_bytes()).sum();
        self.room_bytes() == 0
            || self.zip.entries() >= self.limits.entries
            || packed + self.zip.sums().len() as u64 >= self.limits.index_bytes
            || self.results_bytes >= self.limits.record_file_bytes
            || waiting
                .iter()
                .any(|w| w.plain_bytes >= self.limits.record_file_bytes)
    }

    /// Writes what describes the part, has `seal` sign SHA256SUMS, and ends the archive.
    ///
    /// # Errors
    /// Results are still open; the disk below; `seal` failed. The part is then incomplete.
    pub fn seal<E>(
        mut self,
        closing: &Closing<'_>,
        seal: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Sealed<W>, SealError<E>> {
        self.describe(closing)?;
        let sums = self.zip.sums().to_vec();
        self.zip.unlisted(SUMS, &sums)?;
        let signature = seal(&sums).map_err(SealError::Seal)?;
        self.zip.unlisted(SEAL, &signature)?;
        let (inner, sha256, size_bytes) = self.zip.finish()?.finish();
        Ok(Sealed {
            inner,
            sha256,
            size_bytes,
        })
    }

    fn describe(&mut self, closing: &Closing<'_>) -> Result<(), WriteError> {
        for (name, waiting) in [
            ("files.jsonl", &mut self.files),
            ("gaps.jsonl", &mut self.gaps),
            ("log.jsonl", &mut self.log),
        ] {
            let stored = self.zip.entry(name, waiting.take()?)?;
            if let Some(error) = stored.read_error {
                return Err(error.into());
            }
        }
        let mut collection = serde_json::to_vec_pretty(closing.collection)?;
        collection.push(b'\n');
        self.zip.entry("order.json", closing.order)?;
        self.zip.entry("policy.json", closing.policy)?;
        self.zip.entry("collection.json", &collection[..])?;
        Ok(())
    }
}

/// Lines that wait in memory, deflated.
#[derive(Debug)]
struct Waiting {
    packed: DeflateEncoder<Vec<u8>>,
    plain_bytes: u64,
    line: Vec<u8>,
}

impl Waiting {
    fn new() -> Self {
        Self {
            packed: DeflateEncoder::new(Vec::new(), Compression::new(1)),
            plain_bytes: 0,
            line: Vec::new(),
        }
    }

    fn add(&mut self, record: &impl Serialize) -> Result<(), WriteError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, record)?;
        self.line.push(b'\n');
        self.packed.write_all(&self.line)?;
        self.plain_bytes += self.line.len() as u64;
        Ok(())
    }

    fn packed_bytes(&self) -> u64 {
        self.packed.get_ref().len() as u64
    }

    /// The lines again, inflated as they are read.
    fn take(&mut self) -> Result<impl Read, WriteError> {
        let packed = self.packed.reset(Vec::new())?;
        Ok(DeflateDecoder::new(std::io::Cursor::new(packed)))
    }
}
