//! Digests of a file in one read: SHA-256 always, MD5 and SHA-1 on request; a large sparse file by its data extents.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    sync::atomic::{AtomicBool, Ordering},
};

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::{pace::Pace, stat::Stat, system};

/// The read size: 64 KiB was the fastest of all tried on a warm tree.
pub const BUFFER_BYTES: usize = 64 * 1024;
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

struct Running<'a> {
    sha256: Sha256,
    md5: Option<Md5>,
    sha1: Option<Sha1>,
    read_bytes: u64,
    pace: &'a Pace,
    stop: &'a AtomicBool,
}

impl Running<'_> {
    /// Reads at most `at_most_bytes` from where `file` stands.
    fn take(
        &mut self,
        file: &mut File,
        buffer: &mut [u8],
        at_most_bytes: u64,
    ) -> Result<u64, DigestError> {
        let mut left = at_most_bytes;
        while left > 0 {
            if self.stop.load(Ordering::Relaxed) || self.pace.is_stopped() {
                return Err(DigestError::Stopped);
            }
            let room = usize::try_from(left).map_or(buffer.len(), |l| l.min(buffer.len()));
            let count = match file.read(&mut buffer[..room]) {
                Ok(0) => break,
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e.into()),
            };
            self.update(&buffer[..count]);
            self.pace.passed(count);
            left -= count as u64;
        }
        Ok(at_most_bytes - left)
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(bytes);
        }
        self.read_bytes += bytes.len() as u64;
    }

    fn finish(self) -> Digests {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        Digests {
            sha256: evidence::digest::Digest(self.sha256.finalize().into()),
            md5: self.md5.map(|h| hex(&h.finalize())),
            sha1: self.sha1.map(|h| hex(&h.finalize())),
            read_bytes: self.read_bytes,
            extents: None,
            extents_cut: false,
            growth_cut: false,
            ended_early: false,
        }
    }
}

/// Reads `file` once, from its start, and digests it; `buffer` is the caller's, so that a thread has one for all.
///
/// # Errors
/// The read fails, or it was told to stop.
pub fn digest(
    file: &mut File,
    stat: &Stat,
    wanted: Wanted,
    buffer: &mut [u8],
    (pace, stop): (&Pace, &AtomicBool),
) -> Result<Digests, DigestError> {
    let mut running = Running {
        sha256: Sha256::new(),
        md5: wanted.md5.then(Md5::new),
        sha1: wanted.sha1.then(Sha1::new),
        read_bytes: 0,
        pace,
        stop,
    };
    if is_sparse(stat) && stat.size_bytes > wanted.sparse_limit_bytes {
        let found = by_extents(file, stat, &mut running, buffer)?;
        let digests = running.finish();
        return Ok(Digests {
            extents: Some(found.listed),
            extents_cut: found.is_cut,
            ended_early: found.ended_early,
            ..digests
        });
    }
    let limit = stat.size_bytes.saturating_add(GROWTH_BYTES);
    let read = running.take(file, buffer, limit)?;
    let digests = running.finish();
    Ok(Digests {
        growth_cut: read == limit,
        ended_early: read < stat.size_bytes,
        ..digests
    })
}

/// Whether the file claims more than it has on disk.
pub fn is_sparse(stat: &Stat) -> bool {
    stat.allocated_bytes < stat.size_bytes
}

/// What to say of a file that was cut while it was read.
pub fn shrank(size_bytes: u64, read_bytes: u64) -> String {
    format!("it shrank while it was read: of {size_bytes} bytes, {read_bytes} were there")
}

#[derive(Default)]
struct Extents {
    listed: Vec<(u64, u64)>,
    is_cut: bool,
    ended_early: bool,
}

fn by_extents(
    file: &mut File,
    stat: &Stat,
    running: &mut Running<'_>,
    buffer: &mut [u8],
) -> Result<Extents, DigestError> {
    let (mut found, mut at) = (Extents::default(), 0);
    while at < stat.size_bytes {
        let Some((start, end)) = system::next_data(file, at).map_err(io::Error::from)? else {
            break;
        };
        let end = end.min(stat.size_bytes);
        if end <= start {
            break;
        }
        file.seek(io::SeekFrom::Start(start))?;
        let read = running.take(file, buffer, end - start)?;
        if found.listed.len() < EXTENTS_AT_MOST {
            found.listed.push((start, read));
        } else {
            found.is_cut = true;
        }
        if read < end - start {
            found.ended_early = true;
            break;
        }
        at = end;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grew_is_read_to_its_new_end_and_said_to_have_changed() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("f");
        std::fs::write(&path, "ab").unwrap();
        let mut opened = crate::files::open_file(tree.path(), std::path::Path::new("/f")).unwrap();
        std::fs::write(&path, "abc").unwrap();
        let (stop, mut buffer) = (AtomicBool::new(false), vec![0; BUFFER_BYTES]);
        let wanted = Wanted::default();
        let digests = digest(
            &mut opened.file,
            &opened.before,
            wanted,
            &mut buffer,
            (&Pace::free(), &stop),
        )
        .unwrap();
        assert_eq!(digests.read_bytes, 3);
        assert_eq!(digests.sha256, evidence::digest::Digest::of(b"abc"));
        let after = Stat::of_open(&opened.file).unwrap();
        assert!(opened.before.has_changed(&after));
    }
}
