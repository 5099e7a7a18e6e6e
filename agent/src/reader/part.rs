//! The open part: the archive's writer over the encryption over the descriptor that was handed to us.

use std::{
    collections::HashSet,
    fs::File,
    hash::{BuildHasher as _, RandomState},
    io::{self, BufWriter, Read, Write},
};

use evidence::{
    archive::{self, Closing, Lines, PartLimits, PartWriter, Stored, WriteError},
    digest::{Digest, DigestWriter},
    gap::Gap,
    instant::Instant,
    records::{CollectionRecord, Counts, FileRecord, LogLine},
    wrap::{Recipient, WrapError, WrapWriter},
};

use super::{
    seal::{Seal, SealError},
    task::Authority,
};
use crate::platform::disk;

/// What gathers before it is written: few calls, and no more memory than this.
pub(super) const BUFFER_BYTES: usize = 256 * 1024;

/// A part could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The file that was handed to us failed.
    #[error("the part can't be written. Check the free space and health of the output's medium.")]
    Write(#[source] io::Error),
    /// The archive's writer failed.
    #[error("the part can't be written. Check the free space and health of the output's medium.")]
    Archive(#[from] WriteError),
    /// The encryption could not be set up.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// It could not be sealed.
    #[error("the part can't be sealed. Nothing in it is evidence; collect again.")]
    Seal(#[from] archive::SealError<SealError>),
}

/// So much is written before the system is told to bring it to its medium.
const WRITE_BACK_BYTES: u64 = 8 << 20;

/// The file that was handed to us.
struct Output {
    file: File,
    written_bytes: u64,
    begun_bytes: u64,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.written_bytes += count as u64;
        let waiting_bytes = self.written_bytes - self.begun_bytes;
        if waiting_bytes >= WRITE_BACK_BYTES {
            disk::begin_writing_back(&self.file, self.begun_bytes, waiting_bytes);
            self.begun_bytes = self.written_bytes;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The file below, with its digest.
type Below = DigestWriter<BufWriter<Output>>;

/// Between the archive and the file: encryption, or nothing.
enum Wrap {
    Age(Box<WrapWriter<Below>>),
    None(Below),
}

impl Write for Wrap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Age(inner) => inner.write(bytes),
            Self::None(inner) => inner.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Age(inner) => inner.flush(),
            Self::None(inner) => inner.flush(),
        }
    }
}

impl Wrap {
    fn finish(self) -> io::Result<(Digest, u64)> {
        let below = match self {
            Self::Age(inner) => inner.finish()?,
            Self::None(inner) => inner,
        };
        let (mut file, sha256, size_bytes) = below.finish();
        file.flush()?;
        Ok((sha256, size_bytes))
    }
}

/// A part that is written to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// Over the plain ZIP.
    pub(super) plain_sha256: Digest,
    /// Its length.
    pub(super) plain_bytes: u64,
    /// Over the file as stored (the same, where nothing wraps it).
    pub(super) stored_sha256: Digest,
    /// Its length.
    pub(super) stored_bytes: u64,
}

/// A part from its first byte to its seal.
pub(super) struct OpenPart {
    writer: PartWriter<Wrap>,
    /// Hashes of the names so far: none may stand twice in one part. Two names with one hash cost a part, no more.
    names: HashSet<u64>,
    hasher: RandomState,
    /// Whose records are being written.
    results: Option<String>,
}

impl OpenPart {
    /// Begins a part in `file`.
    pub(super) fn new(
        file: File,
        recipients: &[Recipient],
        limits: PartLimits,
    ) -> Result<Self, PartError> {
        let output = Output {
            file,
            written_bytes: 0,
            begun_bytes: 0,
        };
        let below = DigestWriter::new(BufWriter::with_capacity(BUFFER_BYTES, output));
        let wrap = if recipients.is_empty() {
            Wrap::None(below)
        } else {
            Wrap::Age(Box::new(WrapWriter::new(recipients, below)?))
        };
        Ok(Self {
            writer: PartWriter::new(wrap, limits, Instant::now()),
            names: HashSet::new(),
            hasher: RandomState::new(),
            results: None,
        })
    }

    /// What is in it so far.
    pub(super) fn counts(&self) -> Counts {
        self.writer.counts()
    }

    /// Whether a limit is reached.
    pub(super) fn is_due(&self) -> bool {
        self.writer.due()
    }

    /// How many more bytes it should take.
    pub(super) fn room_bytes(&self) -> u64 {
        self.writer.room_bytes()
    }

    /// Whether `name` stands in it already.
    pub(super) fn has_entry(&self, name: &str) -> bool {
        self.names.contains(&self.hasher.hash_one(name))
    }

    /// Whether the records of `artifact` stand in it and are ended: they can't be gone on with here.
    pub(super) fn has_ended_results(&self, artifact: &str) -> bool {
        self.results.as_deref() != Some(artifact) && self.has_entry(artifact)
    }

    /// Writes records of `artifact`; its stream is begun where it isn't.
    pub(super) fn records(&mut self, artifact: &str, lines: &Lines) -> Result<(), PartError> {
        if self.results.as_deref() != Some(artifact) {
            self.end_results()?;
            self.note(artifact);
            self.writer.begin_results(artifact)?;
            self.results = Some(artifact.to_owned());
        }
        Ok(self.writer.records(lines)?)
    }

    /// Ends the records that are being written, if any are.
    pub(super) fn end_results(&mut self) -> Result<(), PartError> {
        match self.results.take() {
            Some(_) => Ok(self.writer.end_results()?),
            None => Ok(()),
        }
    }

    fn note(&mut self, name: &str) {
        self.names.insert(self.hasher.hash_one(name));
    }

    /// Stores content from `source`, read once.
    pub(super) fn content(&mut self, name: &str, source: impl Read) -> Result<Stored, PartError> {
        self.note(name);
        Ok(self.writer.content(name, source)?)
    }

    /// Adds one of the folders by which the system is told.
    pub(super) fn folder(&mut self, name: &str) -> Result<(), PartError> {
        Ok(self.writer.folder(name)?)
    }

    /// Adds a line of files.jsonl.
    pub(super) fn file_record(&mut self, record: &FileRecord) -> Result<(), PartError> {
        Ok(self.writer.file(record)?)
    }

    /// Adds a line of gaps.jsonl.
    pub(super) fn gap(&mut self, gap: &Gap) -> Result<(), PartError> {
        Ok(self.writer.gap(gap)?)
    }

    /// Adds a line of log.jsonl.
    pub(super) fn log(&mut self, line: &LogLine) -> Result<(), PartError> {
        Ok(self.writer.log(line)?)
    }

    /// Describes, seals and ends it.
    pub(super) fn finish(
        self,
        collection: &CollectionRecord,
        authority: &Authority,
        seal: &Seal,
    ) -> Result<Written, PartError> {
        // A local collection has neither order nor policy; both entries stand, empty.
        let closing = Closing {
            collection,
            order: &authority.order,
            policy: &authority.policy,
        };
        let sealed = self.writer.seal(&closing, |sums| seal.sign(sums))?;
        let (stored_sha256, stored_bytes) = sealed.inner.finish().map_err(PartError::Write)?;
        Ok(Written {
            plain_sha256: sealed.sha256,
            plain_bytes: sealed.size_bytes,
            stored_sha256,
            stored_bytes,
        })
    }
}
