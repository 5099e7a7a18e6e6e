//! Writes a ZIP in one pass, never seeking back: what a pipe, a stick or an encryptor can take.
//!
//! It knows names, methods and digests, and nothing of what the entries mean.

use std::{
    fmt,
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use flate2::{Compression, write::DeflateEncoder};
use sha2::{Digest as _, Sha256};
use zip::{
    CompressionMethod, DateTime, System, ZipWriter,
    write::{SimpleFileOptions, StreamWriter},
};

use crate::{
    digest::Digest,
    instant::Instant,
    names::{self, NameFault},
};

/// So much of an entry is looked at before its method is chosen.
const SAMPLE_BYTES: usize = 16 << 10;
const BUFFER_BYTES: usize = 64 << 10;

/// The archive could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The name can't stand in an archive.
    #[error(
        "{name:?} can't be the name of an entry: {fault}. Make names with `names::unix_entry`."
    )]
    Name {
        /// The name.
        name: String,
        /// Why.
        fault: NameFault,
    },
    /// The ZIP layer or the disk below it failed; the part is lost.
    #[error(
        "the archive can't be written. Check the disk that it goes to; the part must be begun again."
    )]
    Zip(#[from] zip::result::ZipError),
    /// The disk below failed; the part is lost.
    #[error(
        "the archive can't be written. Check the disk that it goes to; the part must be begun again."
    )]
    Io(#[from] io::Error),
    /// It failed before, and takes nothing more.
    #[error("the archive failed before and takes nothing more. Begin the part again.")]
    Broken,
    /// A call that doesn't fit what is being written.
    #[error("{0}. This is a fault of the program that writes; please report it.")]
    Misuse(&'static str),
    /// A record could not be put into JSON.
    #[error(
        "a record can't be written as JSON. This is a fault of its artifact; please report it."
    )]
    Json(#[from] serde_json::Error),
}

/// An entry as it was stored.
#[derive(Debug)]
pub struct Stored {
    /// Plain bytes.
    pub size_bytes: u64,
    /// Over them.
    pub sha256: Digest,
    /// Where the source failed on the way: what was read before is stored, and the rest is a gap.
    pub read_error: Option<io::Error>,
}

/// A ZIP being streamed into `W`. Dropped unfinished, it leaves no end record behind.
pub struct StreamZip<W: Write> {
    // Before `zip`: fields are dropped in this order, and `ZipWriter` writes an end record when
    // dropped, which would make a part that was given up look complete.
    closed: Closed,
    zip: ZipWriter<StreamWriter<Gate<W>>>,
    sums: Vec<u8>,
    entries: u64,
    open: Option<Open>,
    time: DateTime,
    /// What is read of a source at once; one for all entries.
    buffer: Vec<u8>,
}

/// The entry being written.
struct Open {
    name: String,
    hash: Sha256,
    size_bytes: u64,
    summed: bool,
}

impl<W: Write> StreamZip<W> {
    /// Begins an archive whose entries carry the ZIP time `time` (it means nothing).
    pub fn new(inner: W, time: Instant) -> Self {
        let closed = Arc::new(AtomicBool::new(false));
        let gate = Gate {
            inner,
            closed: Arc::clone(&closed),
        };
        Self {
            closed: Closed(closed),
            zip: ZipWriter::new_stream(gate),
            sums: Vec::new(),
            entries: 0,
            open: None,
            time: dos_time(time).unwrap_or_default(),
            buffer: Vec::new(),
        }
    }

    /// How many entries there are.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// SHA256SUMS so far: a line an entry, in the order of the stream.
    pub fn sums(&self) -> &[u8] {
        &self.sums
    }

    /// What is below; behind it by what deflate still holds back.
    pub fn inner(&self) -> Option<&W> {
        self.zip.get_ref().map(|stream| &stream.get_ref().inner)
    }

    /// Whether an entry is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Stores all of `source` under `name`, read once: digest, CRC and deflate in one pass.
    ///
    /// # Errors
    /// A name that can't be; the disk below. Not the source: see [`Stored::read_error`].
    pub fn entry(&mut self, name: &str, source: impl Read) -> Result<Stored, WriteError> {
        self.store(name, source, true)
    }

    /// Like [`Self::entry`], for the two entries that SHA256SUMS can't list.
    pub(super) fn unlisted(&mut self, name: &str, bytes: &[u8]) -> Result<Stored, WriteError> {
        self.store(name, bytes, false)
    }

    fn store(
        &mut self,
        name: &str,
        mut source: impl Read,
        summed: bool,
    ) -> Result<Stored, WriteError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(BUFFER_BYTES, 0);
        let stored = self.store_through(&mut buffer, name, &mut source, summed);
        self.buffer = buffer;
        stored
    }

    fn store_through(
        &mut self,
        buffer: &mut [u8],
        name: &str,
        source: &mut impl Read,
        summed: bool,
    ) -> Result<Stored, WriteError> {
        let (sample, mut read_error) = fill(source, &mut buffer[..SAMPLE_BYTES]);
        // What fits the sample whole can't grow past 4 GiB any more, and costs less to deflate than to try first.
        let small = sample < SAMPLE_BYTES;
        let deflate = if small {
            sample > 0
        } else {
            deflates(&buffer[..sample])
        };
        self.begin(name, deflate, small, summed)?;
        let mut got = sample;
        while got > 0 {
            self.write(&buffer[..got])?;
            if small || read_error.is_some() {
                break;
            }
            (got, read_error) = fill(source, buffer);
        }
        let (size_bytes, sha256) = self.end()?;
        Ok(Stored {
            size_bytes,
            sha256,
            read_error,
        })
    }

    /// Opens an entry of unknown length, to be filled by [`Self::write`].
    ///
    /// # Errors
    /// A name that can't be, or an entry still open; the disk below.
    pub fn begin_stream(&mut self, name: &str) -> Result<(), WriteError> {
        self.begin(name, true, false, true)
    }

    fn begin(
        &mut self,
        name: &str,
        deflate: bool,
        small: bool,
        summed: bool,
    ) -> Result<(), WriteError> {
        if self.open.is_some() {
            return Err(WriteError::Misuse("an entry is still open"));
        }
        check_name(name, false)?;
        let method = if deflate {
            CompressionMethod::Deflated
        } else {
            CompressionMethod::Stored
        };
        let options = self
            .options()
            .compression_method(method)
            .compression_level(deflate.then_some(1))
            .large_file(!small)
            .unix_permissions(0o600);
        self.alive()?;
        let started = self.zip.start_file(name, options);
        self.keep(started)?;
        self.entries += 1;
        self.open = Some(Open {
            name: name.to_owned(),
            hash: Sha256::new(),
            size_bytes: 0,
            summed,
        });
        Ok(())
    }

    /// Writes into the open entry.
    ///
    /// # Errors
    /// No entry is open; the disk below.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.alive()?;
        let Some(open) = &mut self.open else {
            return Err(WriteError::Misuse("no entry is open"));
        };
        open.hash.update(bytes);
        open.size_bytes += bytes.len() as u64;
        let written = self.zip.write_all(bytes);
        self.keep(written)
    }

    /// Ends the open entry and puts its line into SHA256SUMS: length and digest.
    ///
    /// # Errors
    /// No entry is open.
    pub fn end(&mut self) -> Result<(u64, Digest), WriteError> {
        self.alive()?;
        let open = self
            .open
            .take()
            .ok_or(WriteError::Misuse("no entry is open"))?;
        let sha256 = Digest(open.hash.finalize().into());
        if open.summed {
            let line = format!("{sha256}  {}\n", open.name);
            self.sums.extend_from_slice(line.as_bytes());
        }
        Ok((open.size_bytes, sha256))
    }

    /// Adds one of the permitted folders ([`names::FOLDERS`]).
    ///
    /// # Errors
    /// Any other name; an entry still open; the disk below.
    pub fn folder(&mut self, name: &str) -> Result<(), WriteError> {
        if self.open.is_some() {
            return Err(WriteError::Misuse("an entry is still open"));
        }
        check_name(name, true)?;
        self.alive()?;
        let options = self.options().unix_permissions(0o700);
        let added = self.zip.add_directory(name, options);
        self.keep(added)?;
        self.entries += 1;
        Ok(())
    }

    /// Writes the directory and gives back what is below.
    ///
    /// # Errors
    /// An entry is still open; the disk below.
    pub fn finish(self) -> Result<W, WriteError> {
        if self.open.is_some() {
            return Err(WriteError::Misuse("an entry is still open"));
        }
        self.alive()?;
        let Self { closed, zip, .. } = self;
        let below = zip.finish()?.into_inner();
        drop(closed);
        Ok(below.inner)
    }

    fn options(&self) -> SimpleFileOptions {
        SimpleFileOptions::default()
            .system(System::Unix)
            .last_modified_time(self.time)
    }

    fn alive(&self) -> Result<(), WriteError> {
        if self.closed.0.load(Ordering::Relaxed) {
            return Err(WriteError::Broken);
        }
        Ok(())
    }

    /// After a failure nothing more is written, least of all an end record.
    fn keep<T, E: Into<WriteError>>(&self, result: Result<T, E>) -> Result<T, WriteError> {
        result.map_err(|error| {
            self.closed.0.store(true, Ordering::Relaxed);
            error.into()
        })
    }
}

/// Shuts the gate when dropped.
struct Closed(Arc<AtomicBool>);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What lies below the ZIP layer; once shut (by a failure, by a drop) it swallows what comes.
struct Gate<W> {
    inner: W,
    closed: Arc<AtomicBool>,
}

impl<W: Write> Gate<W> {
    fn pass<T>(&mut self, shut: T, write: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        if self.closed.load(Ordering::Relaxed) {
            return Ok(shut);
        }
        let result = write(&mut self.inner);
        if matches!(&result, Err(error) if error.kind() != io::ErrorKind::Interrupted) {
            self.closed.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl<W: Write> Write for Gate<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pass(bytes.len(), |inner| inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass((), Write::flush)
    }
}

impl<W: Write> fmt::Debug for StreamZip<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamZip")
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

fn check_name(name: &str, folder: bool) -> Result<(), WriteError> {
    let fault = match names::check(name) {
        Ok(()) if !folder && !names::is_folder(name) => return Ok(()),
        Ok(()) if folder && names::FOLDERS.contains(&name) => return Ok(()),
        Ok(()) => NameFault::Component,
        Err(fault) => fault,
    };
    let name = name.to_owned();
    Err(WriteError::Name { name, fault })
}

/// Reads until `buffer` is full or `source` has no more to give.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut got = 0;
    while got < buffer.len() {
        match source.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (got, Some(error)),
        }
    }
    (got, None)
}

/// Whether deflate saves 3 % of the sample; else the entry is stored.
fn deflates(sample: &[u8]) -> bool {
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::new(1));
    let packed = deflate.write_all(sample).and_then(|()| deflate.finish());
    packed.is_ok_and(|packed| packed.len() * 100 <= sample.len() * 97 && !sample.is_empty())
}

/// UTC, rounded down to 2 s; `None` outside the years 1980 to 2107.
fn dos_time(time: Instant) -> Option<DateTime> {
    let time = jiff::Timestamp::from_second(time.seconds).ok()?;
    let time = jiff::tz::Offset::UTC.to_datetime(time);
    DateTime::from_date_and_time(
        u16::try_from(time.year()).ok()?,
        u8::try_from(time.month()).ok()?,
        u8::try_from(time.day()).ok()?,
        u8::try_from(time.hour()).ok()?,
        u8::try_from(time.minute()).ok()?,
        u8::try_from(time.second() & !1).ok()?,
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Instant = Instant {
        seconds: 1_700_000_001,
        ns: 5,
    };

    #[test]
    fn an_abandoned_archive_has_no_end() {
        let mut bytes = Vec::new();
        let mut zip = StreamZip::new(&mut bytes, TIME);
        zip.entry("fs/a", &b"abc"[..]).unwrap();
        drop(zip);
        assert!(!bytes.windows(4).any(|b| b == b"PK\x05\x06"));
    }

    #[test]
    fn a_failing_source_is_told_and_its_beginning_kept() {
        struct Bad;
        impl Read for Bad {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("bad sector"))
            }
        }
        let mut zip = StreamZip::new(Vec::new(), TIME);
        let stored = zip.entry("fs/a", (&[7_u8; 40_000][..]).chain(Bad)).unwrap();
        assert_eq!(stored.size_bytes, 40_000);
        assert!(stored.read_error.is_some());
        assert_eq!(stored.sha256, Digest::of(&[7; 40_000]));
        zip.finish().unwrap();
    }

    #[test]
    fn a_full_disk_breaks_it_for_good() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::other("no space"))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut zip = StreamZip::new(Full, TIME);
        assert!(zip.entry("fs/a", &b"abc"[..]).is_err());
        assert!(matches!(
            zip.folder(names::FOLDERS[0]),
            Err(WriteError::Broken)
        ));
        assert!(zip.finish().is_err());
    }

    #[test]
    fn refuses_names_and_folders_outside_the_rules() {
        let mut zip = StreamZip::new(Vec::new(), TIME);
        for name in ["../x", "fs/a\\b", "fs/", ""] {
            assert!(zip.entry(name, &b""[..]).is_err(), "{name}");
        }
        assert!(zip.folder("fs/other/").is_err());
    }
}
