//! Writes ZIPs byte by byte, so that every field can be made to lie.

use std::io::Write as _;

use flate2::{Compression, write::DeflateEncoder};

/// One entry as it will stand in the file.
#[derive(Clone)]
pub(crate) struct Item {
    /// The name's bytes.
    pub(crate) name: Vec<u8>,
    /// The plain bytes.
    pub(crate) plain: Vec<u8>,
    /// Bytes before the local header that belong to nothing.
    pub(crate) gap: Vec<u8>,
    /// The extra fields of the local header and of the directory.
    pub(crate) extra: [Vec<u8>; 2],
    /// The comment.
    pub(crate) comment: Vec<u8>,
    /// The general flags.
    pub(crate) flags: u16,
    /// The Unix mode.
    pub(crate) mode: u32,
}

impl Item {
    /// An ordinary entry; a folder where the name ends in `/`.
    pub(crate) fn new(name: &str, plain: &[u8]) -> Self {
        Self {
            name: name.into(),
            plain: plain.to_vec(),
            gap: Vec::new(),
            extra: [Vec::new(), Vec::new()],
            comment: Vec::new(),
            flags: if name.is_ascii() { 0 } else { 1 << 11 },
            mode: if name.ends_with('/') {
                0o040_700
            } else {
                0o100_600
            },
        }
    }
}

/// A ZIP and where its parts stand.
#[derive(Default)]
pub(crate) struct Zip {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// Where each local header starts.
    pub(crate) locals: Vec<usize>,
    /// Where each entry's data starts.
    pub(crate) data: Vec<usize>,
    /// Where each record of the directory starts.
    pub(crate) centrals: Vec<usize>,
    /// Where the end record starts.
    pub(crate) end: usize,
}

/// Writes the entries, deflated where that is shorter.
pub(crate) fn write(items: &[Item]) -> Zip {
    let mut zip = Zip::default();
    let mut directory = Vec::new();
    for item in items {
        zip.bytes.extend_from_slice(&item.gap);
        let packed = deflate(&item.plain);
        let (method, data) = if packed.len() < item.plain.len() {
            (8, packed)
        } else {
            (0, item.plain.clone())
        };
        let offset = zip.bytes.len();
        let shared = shared(item, method, data.len());
        zip.locals.push(offset);
        local(&mut zip.bytes, item, &shared);
        zip.data.push(zip.bytes.len());
        zip.bytes.extend_from_slice(&data);
        zip.centrals.push(directory.len());
        central(&mut directory, item, &shared, offset);
    }
    let start = zip.bytes.len();
    zip.centrals.iter_mut().for_each(|at| *at += start);
    zip.bytes.extend_from_slice(&directory);
    zip.end = zip.bytes.len();
    put32(&mut zip.bytes, 0x0605_4b50);
    for field in [0, 0, items.len(), items.len()] {
        put16(&mut zip.bytes, field);
    }
    put32(&mut zip.bytes, directory.len());
    put32(&mut zip.bytes, start);
    put16(&mut zip.bytes, 0);
    zip
}

/// Version needed to sizes: the same in both headers.
fn shared(item: &Item, method: usize, stored: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    put16(&mut bytes, 20);
    put16(&mut bytes, item.flags.into());
    put16(&mut bytes, method);
    // 2026-11-20 10:00:00
    put32(&mut bytes, 0x5d74_5000);
    put32(&mut bytes, crc32fast::hash(&item.plain) as usize);
    put32(&mut bytes, stored);
    put32(&mut bytes, item.plain.len());
    put16(&mut bytes, item.name.len());
    bytes
}

fn local(out: &mut Vec<u8>, item: &Item, shared: &[u8]) {
    put32(out, 0x0403_4b50);
    out.extend_from_slice(shared);
    put16(out, item.extra[0].len());
    out.extend_from_slice(&item.name);
    out.extend_from_slice(&item.extra[0]);
}

fn central(out: &mut Vec<u8>, item: &Item, shared: &[u8], offset: usize) {
    put32(out, 0x0201_4b50);
    put16(out, 0x0314);
    out.extend_from_slice(shared);
    put16(out, item.extra[1].len());
    put16(out, item.comment.len());
    put32(out, 0);
    put32(out, (item.mode as usize) << 16);
    put32(out, offset);
    out.extend_from_slice(&item.name);
    out.extend_from_slice(&item.extra[1]);
    out.extend_from_slice(&item.comment);
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(9));
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn put16(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&u16::try_from(value).unwrap().to_le_bytes());
}

fn put32(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
}

impl Zip {
    /// Overwrites bytes.
    pub(crate) fn patch(mut self, at: usize, bytes: &[u8]) -> Self {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Puts zip64 end record and locator before the end record: `entries`, directory's size and start.
    pub(crate) fn with_end64(mut self, entries: u64, size: u64, start: u64, locator: u64) -> Self {
        let mut records = 0x0606_4b50_u32.to_le_bytes().to_vec();
        records.extend_from_slice(&44_u64.to_le_bytes());
        records.extend_from_slice(&[45, 3, 45, 0]);
        records.extend_from_slice(&[0; 8]);
        for value in [entries, entries, size, start] {
            records.extend_from_slice(&value.to_le_bytes());
        }
        records.extend_from_slice(&0x0706_4b50_u32.to_le_bytes());
        records.extend_from_slice(&0_u32.to_le_bytes());
        records.extend_from_slice(&locator.to_le_bytes());
        records.extend_from_slice(&1_u32.to_le_bytes());
        self.bytes
            .splice(self.end..self.end, records.iter().copied());
        self.end += records.len();
        self
    }
}
