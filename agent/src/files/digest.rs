//! Digests of files, each read once: SHA-256 always, MD5 and SHA-1 on request; a large sparse file by its data extents.
//!
//! Two files are under way at a time, because a processor digests two hardly slower than one.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    sync::atomic::{AtomicBool, Ordering},
};

use md5::Md5;
use sha1::Sha1;
use sha2::Digest as _;

use super::{pace::Pace, stat::Stat};
use crate::platform::{
    sha256::{self, BLOCK_BYTES, Block, State},
    tree,
};

/// The read size: 64 KiB was the fastest of all tried on a warm tree.
const BUFFER_BYTES: usize = 64 * 1024;
/// How far past its first length a growing file is followed.
const GROWTH_BYTES: u64 = 64 * 1024 * 1024;
/// How many extents a record lists.
const EXTENTS_AT_MOST: usize = 4096;

/// What to compute, and from which length on a sparse file is read by extents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// MD5 too.
    pub md5: bool,
    /// SHA-1 too.
    pub sha1: bool,
    /// A sparse file longer than this is digested by its data extents.
    pub sparse_limit_bytes: u64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            md5: false,
            sha1: false,
            sparse_limit_bytes: 1 << 30,
        }
    }
}

/// The digests of what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    /// SHA-256 of what was read, which is the file's only where `extents` is none.
    pub sha256: evidence::digest::Digest,
    /// MD5, lower-case hex.
    pub md5: Option<String>,
    /// SHA-1, lower-case hex.
    pub sha1: Option<String>,
    /// How many bytes went in.
    pub read_bytes: u64,
    /// Offset and length of each data extent, when only those were read.
    pub extents: Option<Vec<(u64, u64)>>,
    /// There were more extents than a record lists; the digest still covers them all.
    pub extents_cut: bool,
    /// The file outgrew its first length by more than is followed.
    pub growth_cut: bool,
    /// It ended before the length that the system claimed: it shrank, or the claim was never true.
    pub ended_early: bool,
}

/// Why there is no digest.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    /// The read failed.
    #[error("the file could not be read to its end: {0}. Look at the disk and the kernel's log.")]
    Read(#[from] io::Error),
    /// The run must stop.
    #[error("the read was stopped. Collect again for the rest.")]
    Stopped,
}

/// Whether the file claims more than it has on disk.
pub fn is_sparse(stat: &Stat) -> bool {
    stat.allocated_bytes < stat.size_bytes
}

/// What to say of a file that was cut while it was read.
pub fn shrank(size_bytes: u64, read_bytes: u64) -> String {
    format!("it shrank while it was read: of {size_bytes} bytes, {read_bytes} were there")
}

/// A file that is dealt with, and what came with it.
#[derive(Debug)]
pub struct Done<T> {
    /// What came with it.
    pub what: T,
    /// The file, read to where its digest says.
    pub file: File,
    /// Its digests.
    pub outcome: Result<Digests, DigestError>,
}

/// Files under way on one thread, each with a `T` of its caller's.
#[derive(Debug)]
pub struct Digesting<T> {
    wanted: Wanted,
    under_way: Vec<UnderWay<T>>,
    /// A buffer that no file has at the moment.
    spare: Vec<Vec<u8>>,
}

impl<T> Digesting<T> {
    /// How many go side by side.
    const ABREAST: usize = 2;

    /// With nothing under way.
    pub fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            under_way: Vec::with_capacity(Self::ABREAST),
            spare: Vec::new(),
        }
    }

    /// Takes in `file`, which stands at its start and was `stat` when opened. Where too many are under way already, one
    /// is brought to its end first.
    pub fn add(
        &mut self,
        what: T,
        file: File,
        stat: &Stat,
        reading: (&Pace, &AtomicBool),
    ) -> Option<Done<T>> {
        let done = if self.under_way.len() < Self::ABREAST {
            None
        } else {
            self.next(reading)
        };
        let buffer = self.spare.pop();
        let buffer = buffer.unwrap_or_else(|| vec![0; BUFFER_BYTES + 2 * BLOCK_BYTES]);
        self.under_way.push(UnderWay {
            what,
            source: Source::new(file, stat, self.wanted),
            message: Message {
                state: sha256::START,
                buffer,
                used: 0,
                filled: 0,
                is_padded: false,
            },
            md5: self.wanted.md5.then(Md5::new),
            sha1: self.wanted.sha1.then(Sha1::new),
        });
        done
    }

    /// Works until a file is done; none when nothing is under way.
    pub fn next(&mut self, reading: (&Pace, &AtomicBool)) -> Option<Done<T>> {
        loop {
            for at in 0..self.under_way.len() {
                match self.under_way[at].read_on(reading) {
                    Ok(()) if !self.under_way[at].message.is_done() => {}
                    outcome => return Some(self.take(at, outcome)),
                }
            }
            match self.under_way.as_mut_slice() {
                [] => return None,
                [one] => one.message.compress(),
                [one, other, ..] => Message::compress_both(&mut one.message, &mut other.message),
            }
        }
    }

    fn take(&mut self, at: usize, outcome: Result<(), DigestError>) -> Done<T> {
        let UnderWay {
            what,
            source,
            message,
            md5,
            sha1,
        } = self.under_way.remove(at);
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let ended_early = source.has_ended_early();
        let Source {
            file,
            read_bytes,
            left_bytes,
            extents,
            ..
        } = source;
        let outcome = outcome.map(|()| Digests {
            sha256: message.digest(),
            md5: md5.map(|h| hex(&h.finalize())),
            sha1: sha1.map(|h| hex(&h.finalize())),
            read_bytes,
            growth_cut: extents.is_none() && left_bytes == 0,
            ended_early,
            extents_cut: extents.as_ref().is_some_and(|e| e.is_cut),
            extents: extents.map(|e| e.listed),
        });
        self.spare.push(message.buffer);
        Done {
            what,
            file,
            outcome,
        }
    }
}

#[derive(Debug)]
struct UnderWay<T> {
    what: T,
    source: Source,
    message: Message,
    md5: Option<Md5>,
    sha1: Option<Sha1>,
}

impl<T> UnderWay<T> {
    /// Reads on where no whole block waits.
    fn read_on(&mut self, (pace, stop): (&Pace, &AtomicBool)) -> Result<(), DigestError> {
        if self.message.has_blocks() {
            return Ok(());
        }
        if stop.load(Ordering::Relaxed) || pace.is_stopped() {
            return Err(DigestError::Stopped);
        }
        self.message.drop_used();
        // Whole buffers, so that what goes side by side is long.
        while !self.message.is_padded && !self.message.is_full() {
            let room = self.message.room();
            let (count, is_end) = self.source.read(room)?;
            let new = &room[..count];
            if let Some(md5) = &mut self.md5 {
                md5.update(new);
            }
            if let Some(sha1) = &mut self.sha1 {
                sha1.update(new);
            }
            self.message.filled += count;
            if is_end {
                self.message.pad(self.source.read_bytes);
            }
            if count > 0 {
                pace.passed(count);
            }
        }
        Ok(())
    }
}

/// A message of SHA-256 (FIPS 180-4), of which a part waits in a buffer.
#[derive(Debug)]
struct Message {
    state: State,
    buffer: Vec<u8>,
    /// So much of the buffer is worked in; whole blocks.
    used: usize,
    /// So much of it is there.
    filled: usize,
    is_padded: bool,
}

impl Message {
    fn blocks(&self) -> &[Block] {
        self.buffer[self.used..self.filled].as_chunks().0
    }

    fn has_blocks(&self) -> bool {
        self.filled - self.used >= BLOCK_BYTES
    }

    fn is_done(&self) -> bool {
        self.is_padded && !self.has_blocks()
    }

    fn is_full(&self) -> bool {
        self.filled >= BUFFER_BYTES
    }

    fn drop_used(&mut self) {
        self.buffer.copy_within(self.used..self.filled, 0);
        self.filled -= self.used;
        self.used = 0;
    }

    /// Where the next bytes go: behind those that wait.
    fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[self.filled..BUFFER_BYTES]
    }

    /// Ends a message of `length_bytes` (5.1.1): a one bit, zeros, the length in bits.
    fn pad(&mut self, length_bytes: u64) {
        let end = (self.filled + 9).next_multiple_of(BLOCK_BYTES);
        self.buffer[self.filled..end].fill(0);
        self.buffer[self.filled] = 0x80;
        let bits = length_bytes.wrapping_mul(8);
        self.buffer[end - 8..end].copy_from_slice(&bits.to_be_bytes());
        self.filled = end;
        self.is_padded = true;
    }

    fn compress(&mut self) {
        let blocks = self.buffer[self.used..self.filled].as_chunks().0;
        sha2::block_api::compress256(&mut self.state, blocks);
        self.used += blocks.len() * BLOCK_BYTES;
    }

    /// As far as the shorter one goes.
    fn compress_both(one: &mut Self, other: &mut Self) {
        let (mut first, mut second) = (one.state, other.state);
        let blocks = sha256::compress((&mut first, one.blocks()), (&mut second, other.blocks()));
        (one.state, other.state) = (first, second);
        one.used += blocks * BLOCK_BYTES;
        other.used += blocks * BLOCK_BYTES;
    }

    fn digest(&self) -> evidence::digest::Digest {
        let mut bytes = [0; 32];
        for (to, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *to = word.to_be_bytes();
        }
        evidence::digest::Digest(bytes)
    }
}

/// What of a file is read: all, and some way past its first length; or its data extents.
#[derive(Debug)]
struct Source {
    file: File,
    size_bytes: u64,
    read_bytes: u64,
    /// Of the file, or of the extent that is being read.
    left_bytes: u64,
    extents: Option<Extents>,
}

#[derive(Debug, Default)]
struct Extents {
    listed: Vec<(u64, u64)>,
    is_cut: bool,
    ended_early: bool,
    /// Behind the last one.
    at: u64,
}

impl Source {
    fn new(file: File, stat: &Stat, wanted: Wanted) -> Self {
        let by_extents = is_sparse(stat) && stat.size_bytes > wanted.sparse_limit_bytes;
        Self {
            file,
            size_bytes: stat.size_bytes,
            read_bytes: 0,
            left_bytes: match by_extents {
                true => 0,
                false => stat.size_bytes.saturating_add(GROWTH_BYTES),
            },
            extents: by_extents.then(Extents::default),
        }
    }

    /// The next bytes, and whether they are the last: how many, none where there are no more.
    fn read(&mut self, room: &mut [u8]) -> Result<(usize, bool), DigestError> {
        if self.left_bytes == 0 && !self.next_extent()? {
            return Ok((0, true));
        }
        let room_bytes = usize::try_from(self.left_bytes).map_or(room.len(), |l| l.min(room.len()));
        let count = loop {
            match self.file.read(&mut room[..room_bytes]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.left_bytes -= count as u64;
        self.read_bytes += count as u64;
        if let Some(extents) = &mut self.extents {
            extents.ended_early |= count == 0;
            if let Some((_, length)) = extents.listed.last_mut().filter(|_| !extents.is_cut) {
                *length += count as u64;
            }
        }
        // A file is at its end where it gives less than there is room for, and no less than it claimed: nothing more
        // needs to be asked. One that gives less than it claimed is asked again.
        let is_short = count < room_bytes && self.extents.is_none();
        let is_end = count == 0 || (is_short && self.read_bytes >= self.size_bytes);
        Ok((count, is_end))
    }

    /// Goes to the next data extent, if only those are read and there is one more.
    fn next_extent(&mut self) -> Result<bool, DigestError> {
        let Some(extents) = &mut self.extents else {
            return Ok(false);
        };
        if extents.at >= self.size_bytes {
            return Ok(false);
        }
        let found = tree::next_data(&self.file, extents.at).map_err(io::Error::from)?;
        let Some((start, end)) = found.map(|(start, end)| (start, end.min(self.size_bytes))) else {
            return Ok(false);
        };
        if end <= start {
            return Ok(false);
        }
        self.file.seek(io::SeekFrom::Start(start))?;
        if extents.listed.len() < EXTENTS_AT_MOST {
            extents.listed.push((start, 0));
        } else {
            extents.is_cut = true;
        }
        extents.at = end;
        self.left_bytes = end - start;
        Ok(true)
    }

    fn has_ended_early(&self) -> bool {
        match &self.extents {
            Some(extents) => extents.ended_early,
            None => self.read_bytes < self.size_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn open(tree: &Path, name: &str) -> crate::files::Opened {
        crate::files::open_file(tree, &Path::new("/").join(name)).unwrap()
    }

    /// Digests `names` of `tree`, several at once; in the order in which they end.
    fn digest(tree: &Path, names: &[&str], wanted: Wanted) -> Vec<(String, Digests)> {
        let (pace, stop) = (Pace::free(), AtomicBool::new(false));
        let mut digesting = Digesting::new(wanted);
        let mut done = Vec::new();
        for name in names {
            let opened = open(tree, name);
            done.extend(digesting.add(*name, opened.file, &opened.before, (&pace, &stop)));
        }
        done.extend(std::iter::from_fn(|| digesting.next((&pace, &stop))));
        let end = |d: Done<&str>| (d.what.to_owned(), d.outcome.unwrap());
        done.into_iter().map(end).collect()
    }

    #[test]
    fn every_length_agrees_with_sha2_whatever_goes_beside_it() {
        let tree = tempfile::tempdir().unwrap();
        let edge = BUFFER_BYTES;
        let lengths = [
            0,
            1,
            55,
            56,
            63,
            64,
            65,
            119,
            120,
            128,
            1000,
            edge - 9,
            edge - 8,
            edge - 1,
            edge,
            edge + 1,
            3 * edge + 77,
            0,
            64,
            5 * edge,
        ];
        let mut names = Vec::new();
        for (number, length) in lengths.into_iter().enumerate() {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 7 + number) as u8).collect();
            let name = format!("{number}");
            fs::write(tree.path().join(&name), bytes).unwrap();
            names.push(name);
        }
        let named: Vec<&str> = names.iter().map(String::as_str).collect();
        let wanted = Wanted {
            md5: true,
            sha1: true,
            ..Wanted::default()
        };
        let done = digest(tree.path(), &named, wanted);
        assert_eq!(done.len(), lengths.len());
        for (name, digests) in done {
            let bytes = fs::read(tree.path().join(&name)).unwrap();
            let hex = |bytes: &[u8]| Some(data_encoding::HEXLOWER.encode(bytes));
            assert_eq!(
                digests.sha256,
                evidence::digest::Digest::of(&bytes),
                "{name}"
            );
            assert_eq!(digests.md5, hex(&Md5::digest(&bytes)), "{name}");
            assert_eq!(digests.sha1, hex(&Sha1::digest(&bytes)), "{name}");
            assert_eq!(digests.read_bytes, bytes.len() as u64, "{name}");
            assert!(!digests.growth_cut && !digests.ended_early, "{name}");
        }
    }

    #[test]
    fn a_short_file_does_not_wait_for_the_long_one_beside_it() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("long"), vec![1; 10 * BUFFER_BYTES]).unwrap();
        for name in ["a", "b", "c"] {
            fs::write(tree.path().join(name), name).unwrap();
        }
        let done = digest(tree.path(), &["long", "a", "b", "c"], Wanted::default());
        let order: Vec<&str> = done.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(order, ["a", "b", "c", "long"]);
    }

    #[test]
    fn a_file_that_grew_is_read_to_its_new_end_and_said_to_have_changed() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("f");
        fs::write(&path, "ab").unwrap();
        let opened = open(tree.path(), "f");
        fs::write(&path, "abc").unwrap();
        let (pace, stop) = (Pace::free(), AtomicBool::new(false));
        let mut digesting = Digesting::new(Wanted::default());
        digesting.add((), opened.file, &opened.before, (&pace, &stop));
        let done = digesting.next((&pace, &stop)).unwrap();
        let digests = done.outcome.unwrap();
        assert_eq!(digests.read_bytes, 3);
        assert_eq!(digests.sha256, evidence::digest::Digest::of(b"abc"));
        assert!(
            opened
                .before
                .has_changed(&Stat::of_open(&done.file).unwrap())
        );
    }

    #[test]
    fn a_stop_ends_what_is_under_way() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("f"), "abc").unwrap();
        let opened = open(tree.path(), "f");
        let (pace, stop) = (Pace::free(), AtomicBool::new(true));
        let mut digesting = Digesting::new(Wanted::default());
        digesting.add((), opened.file, &opened.before, (&pace, &stop));
        let done = digesting.next((&pace, &stop)).unwrap();
        assert!(matches!(done.outcome, Err(DigestError::Stopped)));
        assert!(digesting.next((&pace, &stop)).is_none());
    }
}
