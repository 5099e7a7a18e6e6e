//! Frames of the log file: how a leaf lies on disk, and how a torn end is told from damage.
//!
//! File: 16 bytes of magic, 12 random bytes of salt and their CRC-32, then frames. Frame: length (u32,
//! little-endian), checksum of the head, checksum of the leaf (CRC-32 each), the leaf.
//! Both checksums cover the salt and the frame's offset, so that a leaf that carries
//! the bytes of a frame never passes for one. They find accidents; intent is found by
//! the Merkle root.

use std::io::{self, Read};

/// The file's first bytes.
pub(super) const MAGIC: &[u8; 16] = b"fieldseal-log-1\n";
/// Magic, salt and the salt's checksum.
pub(super) const FILE_HEAD_BYTES: u64 = 32;
/// The longest leaf.
pub(super) const MAX_LEAF_BYTES: usize = 1024 * 1024;
/// The most that one append may write, and so the longest torn end.
pub(super) const MAX_APPEND_BYTES: usize = 8 * 1024 * 1024;
const HEAD_BYTES: usize = 12;

/// What binds frames to this file.
pub(super) type Salt = [u8; 12];

/// The frame of `leaf` at `offset`, or `None` when the leaf is too long.
pub(super) fn encode(salt: &Salt, offset: u64, leaf: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let length = u32::try_from(leaf.len()).ok()?;
    if leaf.len() > MAX_LEAF_BYTES {
        return None;
    }
    to.extend(length.to_le_bytes());
    to.extend(checksum(salt, offset, &length.to_le_bytes()));
    to.extend(checksum(salt, offset, leaf));
    to.extend(leaf);
    Some(())
}

/// How many bytes a leaf's frame takes.
pub(super) fn frame_bytes(leaf: &[u8]) -> u64 {
    (HEAD_BYTES + leaf.len()) as u64
}

/// What stands at an offset.
pub(super) enum Frame {
    /// A leaf.
    Leaf(Vec<u8>),
    /// The end of the file.
    End,
    /// Bytes that are no frame.
    Bad,
}

/// Reads the frame at `offset`, where `from` stands.
pub(super) fn read(salt: &Salt, offset: u64, from: &mut impl Read) -> io::Result<Frame> {
    let mut head = [0; HEAD_BYTES];
    let got = fill(from, &mut head)?;
    if got == 0 {
        return Ok(Frame::End);
    }
    let Some((length, sum)) = decode_head(salt, offset, &head[..got]) else {
        return Ok(Frame::Bad);
    };
    let mut leaf = vec![0; length];
    if fill(from, &mut leaf)? != length || checksum(salt, offset, &leaf) != sum {
        return Ok(Frame::Bad);
    }
    Ok(Frame::Leaf(leaf))
}

/// Whether a whole frame begins anywhere in `tail`, which starts at `offset`.
///
/// If so, the bad frame before it was written and damaged later; if not, it is what
/// a crash leaves of the last append.
pub(super) fn any_frame_in(salt: &Salt, offset: u64, tail: &[u8]) -> bool {
    (0..tail.len()).any(|at| {
        let (here, bytes) = (offset + at as u64, &tail[at..]);
        let Some((length, sum)) = decode_head(salt, here, bytes) else {
            return false;
        };
        let leaf = bytes.get(HEAD_BYTES..HEAD_BYTES + length);
        leaf.is_some_and(|leaf| checksum(salt, here, leaf) == sum)
    })
}

/// The leaf's length and checksum, when the head is whole and its own checksum holds.
fn decode_head(salt: &Salt, offset: u64, bytes: &[u8]) -> Option<(usize, [u8; 4])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (head_sum, rest) = rest.split_first_chunk::<4>()?;
    let (leaf_sum, _) = rest.split_first_chunk::<4>()?;
    if checksum(salt, offset, length) != *head_sum {
        return None;
    }
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    (length <= MAX_LEAF_BYTES).then_some((length, *leaf_sum))
}

/// The salt's own checksum: without the right salt every frame would look torn.
pub(super) fn salt_checksum(salt: &Salt) -> [u8; 4] {
    crc32fast::hash(salt).to_le_bytes()
}

fn checksum(salt: &Salt, offset: u64, bytes: &[u8]) -> [u8; 4] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(salt);
    crc.update(&offset.to_le_bytes());
    crc.update(bytes);
    crc.finalize().to_le_bytes()
}

/// Reads until `to` is full or the file ends; says how much.
pub(super) fn fill(from: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < to.len() {
        match from.read(&mut to[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}
