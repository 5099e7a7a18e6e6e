//! How one record lies in the state file, and how a torn end is told from damage.
//!
//! File: 16 bytes of magic, 16 random bytes of salt, 8 bytes that check both; then frames:
//! length (u32, little-endian), 4 bytes that check it, 8 bytes that check the record, the record.
//! Every check is the beginning of a SHA-256 over the salt, the frame's offset and the bytes, so
//! that a record which carries the bytes of a frame never passes for one. The rest of the file is
//! zeros: a length of zero is the end.

use sha2::{Digest as _, Sha256};

/// The file's first bytes.
pub(super) const MAGIC: &[u8; 16] = b"fieldseal-state\n";
/// Magic, salt and the check over both.
pub(super) const FILE_HEAD_BYTES: usize = 40;
/// The longest record: a policy of 4 MiB, escaped in JSON, and what stands beside it.
pub(super) const MAX_RECORD_BYTES: usize = 24 << 20;
const HEAD_BYTES: usize = 16;

/// What binds frames to this file.
pub(super) type Salt = [u8; 16];

/// The file's head.
pub(super) fn file_head(salt: &Salt) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend(salt);
    let sum = check::<8>(salt, 0, &head);
    head.extend(sum);
    head
}

/// The salt, where the head is whole.
pub(super) fn read_file_head(bytes: &[u8]) -> Option<Salt> {
    let head = bytes.get(..FILE_HEAD_BYTES)?;
    let salt: Salt = head[16..32].try_into().ok()?;
    let whole = &head[..16] == MAGIC && head[32..] == check::<8>(&salt, 0, &head[..32]);
    whole.then_some(salt)
}

/// The frame of `record` at `offset`; `None` where the record is empty or too long.
pub(super) fn encode(salt: &Salt, offset: u64, record: &[u8]) -> Option<Vec<u8>> {
    if record.is_empty() || record.len() > MAX_RECORD_BYTES {
        return None;
    }
    let length = u32::try_from(record.len()).ok()?.to_le_bytes();
    let mut frame = length.to_vec();
    frame.extend(check::<4>(salt, offset, &length));
    frame.extend(check::<8>(salt, offset, record));
    frame.extend(record);
    Some(frame)
}

/// What stands at a place in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A record, and where the next frame begins.
    Record(&'a [u8], usize),
    /// Zeros to the end of the file.
    End,
    /// A write that was cut: nothing whole stands behind it.
    Torn,
    /// Bytes that were whole once.
    Damaged,
}

/// What stands at `at`.
pub(super) fn read<'a>(salt: &Salt, file: &'a [u8], at: usize) -> Frame<'a> {
    let rest = file.get(at..).unwrap_or_default();
    if rest.iter().all(|b| *b == 0) {
        return Frame::End;
    }
    if let Some(record) = whole(salt, at, rest) {
        return Frame::Record(record, at + HEAD_BYTES + record.len());
    }
    let behind = |skip: usize| whole(salt, at + skip, &rest[skip..]).is_some();
    if (1..rest.len()).any(behind) {
        return Frame::Damaged;
    }
    Frame::Torn
}

/// The record of a whole frame at the beginning of `bytes`, which stand at `at`.
fn whole<'a>(salt: &Salt, at: usize, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    if length == &[0; 4] {
        return None;
    }
    let (head_sum, rest) = rest.split_first_chunk::<4>()?;
    let (record_sum, rest) = rest.split_first_chunk::<8>()?;
    let offset = at as u64;
    if *head_sum != check::<4>(salt, offset, length) {
        return None;
    }
    let record = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    (*record_sum == check::<8>(salt, offset, record)).then_some(record)
}

fn check<const N: usize>(salt: &Salt, offset: u64, bytes: &[u8]) -> [u8; N] {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(offset.to_le_bytes());
    hash.update(bytes);
    let all: [u8; 32] = hash.finalize().into();
    let mut sum = [0; N];
    sum.copy_from_slice(&all[..N]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_carries_a_frame_passes_for_none() {
        let salt = [7; 16];
        let inner = encode(&salt, 0, b"inner").unwrap();
        let mut file = encode(&salt, 0, &inner).unwrap();
        assert!(matches!(read(&salt, &file, 0), Frame::Record(r, _) if r == inner));
        // The outer frame broken: the inner one stands elsewhere than where it was made for.
        file[0] ^= 1;
        assert_eq!(read(&salt, &file, 0), Frame::Torn);
    }

    #[test]
    fn what_a_whole_frame_follows_is_damage() {
        let salt = [7; 16];
        let mut file = encode(&salt, 0, b"one").unwrap();
        let second = file.len();
        file.extend(encode(&salt, second as u64, b"two").unwrap());
        file.extend([0; 64]);
        file[5] ^= 1;
        assert_eq!(read(&salt, &file, 0), Frame::Damaged);
        assert!(matches!(
            read(&salt, &file, second),
            Frame::Record(b"two", _)
        ));
    }
}
