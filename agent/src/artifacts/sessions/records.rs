//! The binary records of utmp, wtmp, btmp and lastlog, in the two layouts of glibc.

use crate::artifacts::Record;
use crate::artifacts::source::{put, put_bytes, time};

/// How long a record is and where its parts stand.
///
/// Most 64-bit systems kept the 32-bit times of old (384 and 292 bytes); aarch64 and its kin have
/// 64-bit ones (400 and 296 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) size: usize,
    session_bytes: usize,
    time: usize,
    time_bytes: usize,
    address: usize,
}

pub(super) const NARROW: Layout = Layout {
    size: 384,
    session_bytes: 4,
    time: 340,
    time_bytes: 4,
    address: 348,
};
pub(super) const WIDE: Layout = Layout {
    size: 400,
    session_bytes: 8,
    time: 344,
    time_bytes: 8,
    address: 360,
};

/// The layout that `bytes` have: the one under which more records have a type and a time that make
/// sense. Empty slots, all zero, count for neither.
pub(super) fn layout(bytes: &[u8]) -> Layout {
    let sane = |layout: Layout| {
        let pieces = bytes.chunks_exact(layout.size).take(256);
        pieces.filter(|piece| makes_sense(piece, layout)).count()
    };
    if sane(WIDE) > sane(NARROW) {
        WIDE
    } else {
        NARROW
    }
}

fn makes_sense(record: &[u8], layout: Layout) -> bool {
    let width = layout.time_bytes;
    let seconds = signed(record, layout.time, width).unwrap_or(0);
    let micros = signed(record, layout.time + width, width).unwrap_or(-1);
    (1..=9).contains(&r_type(record)) && seconds > 0 && (0..1_000_000).contains(&micros)
}

fn r_type(record: &[u8]) -> i16 {
    array(record, 0).map_or(-1, i16::from_ne_bytes)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// A signed number of 4 or 8 bytes.
fn signed(bytes: &[u8], at: usize, width: usize) -> Option<i64> {
    if width == 8 {
        array(bytes, at).map(i64::from_ne_bytes)
    } else {
        array(bytes, at).map(|b| i64::from(i32::from_ne_bytes(b)))
    }
}

/// A text of a fixed field, up to its first NUL.
fn fixed(bytes: &[u8], at: usize, length: usize) -> &[u8] {
    let field = bytes.get(at..at.saturating_add(length)).unwrap_or_default();
    field.split(|&b| b == 0).next().unwrap_or_default()
}

/// One record of utmp, wtmp or btmp; `None` for an empty slot.
pub(super) fn login(bytes: &[u8], layout: Layout) -> Option<Record> {
    let kind = r_type(bytes);
    if kind == 0 && bytes.iter().all(|&b| b == 0) {
        return None;
    }
    let mut record = Record::new();
    let name = match kind {
        0 => "empty",
        1 => "run_level",
        2 => "boot",
        3 => "new_time",
        4 => "old_time",
        5 => "init",
        6 => "login",
        7 => "user",
        8 => "dead",
        9 => "accounting",
        _ => "unknown",
    };
    put(&mut record, "type", name);
    put(&mut record, "type_number", kind);
    put(&mut record, "pid", array(bytes, 4).map(i32::from_ne_bytes));
    put_bytes(&mut record, "line", fixed(bytes, 8, 32));
    put_bytes(&mut record, "id", fixed(bytes, 40, 4));
    put_bytes(&mut record, "user", fixed(bytes, 44, 32));
    put_bytes(&mut record, "host", fixed(bytes, 76, 256));
    put(
        &mut record,
        "exit_status",
        array(bytes, 334).map(i16::from_ne_bytes),
    );
    put(
        &mut record,
        "session",
        signed(bytes, 336, layout.session_bytes),
    );
    let seconds = signed(bytes, layout.time, layout.time_bytes)?;
    let micros = signed(bytes, layout.time + layout.time_bytes, layout.time_bytes)?;
    put(&mut record, "time", moment(seconds, micros));
    put(&mut record, "address", address(bytes, layout.address));
    Some(record)
}

/// Microseconds past a second are out of range only in a forged or broken record: then none.
fn moment(seconds: i64, micros: i64) -> serde_json::Value {
    let micros = u32::try_from(micros).ok().filter(|&m| m < 1_000_000);
    time(seconds, micros.unwrap_or(0) * 1000)
}

fn address(bytes: &[u8], at: usize) -> Option<String> {
    let all: [u8; 16] = array(bytes, at)?;
    let four: [u8; 4] = array(&all, 0)?;
    if all == [0; 16] {
        None
    } else if all.get(4..) == Some(&[0; 12]) {
        Some(std::net::Ipv4Addr::from(four).to_string())
    } else {
        Some(std::net::Ipv6Addr::from(all).to_string())
    }
}

/// One user's record of lastlog; `None` for a user who never logged in.
pub(super) fn last(bytes: &[u8]) -> Option<Record> {
    let width = if bytes.len() == 296 { 8 } else { 4 };
    let seconds = signed(bytes, 0, width)?;
    if bytes.iter().all(|&b| b == 0) {
        return None;
    }
    let mut record = Record::new();
    put(&mut record, "type", "last");
    put(&mut record, "time", time(seconds, 0));
    put_bytes(&mut record, "line", fixed(bytes, width, 32));
    put_bytes(&mut record, "host", fixed(bytes, width + 32, 256));
    Some(record)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A record as a login writes it.
    pub(crate) fn sample(layout: Layout, user: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; layout.size];
        bytes[0..2].copy_from_slice(&7_i16.to_ne_bytes());
        bytes[4..8].copy_from_slice(&321_i32.to_ne_bytes());
        bytes[8..13].copy_from_slice(b"pts/0");
        bytes[44..44 + user.len()].copy_from_slice(user);
        bytes[76..80].copy_from_slice(b"host");
        let (at, width) = (layout.time, layout.time_bytes);
        bytes[at..at + 4].copy_from_slice(&1_700_000_000_i32.to_ne_bytes());
        bytes[at + width..at + width + 4].copy_from_slice(&5_i32.to_ne_bytes());
        bytes[layout.address..layout.address + 4].copy_from_slice(&[192, 0, 2, 7]);
        bytes
    }

    #[test]
    fn both_layouts_are_told_apart_and_read() {
        for wanted in [NARROW, WIDE] {
            let bytes = sample(wanted, b"eve").repeat(24);
            assert_eq!(layout(&bytes), wanted);
            let record = login(&bytes[..wanted.size], wanted).unwrap();
            assert_eq!(record["user"], "eve");
            assert_eq!(record["pid"], 321);
            assert_eq!(record["address"], "192.0.2.7");
            assert_eq!(record["time"], "2023-11-14T22:13:20.000005000Z");
        }
    }

    #[test]
    fn short_and_hostile_records_do_not_panic() {
        for length in 0..400 {
            let _ = login(&vec![0xff; length], WIDE);
            let _ = login(&vec![0x41; length], NARROW);
            let _ = last(&vec![0xfe; length]);
            let _ = layout(&vec![1; length]);
        }
        assert!(login(&[0; 384], NARROW).is_none());
    }
}
