//! The end records and the central directory of a ZIP from a stranger.
//!
//! Only parsed and compared here; the entries' own bytes are `reader`'s.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::{
    fault::{FaultCode, Faults},
    limits::Limits,
};
use crate::names;

const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END_BYTES: u64 = 22;
const END64_BYTES: u64 = 56;
const LOCATOR64_BYTES: u64 = 20;
/// Bit 3: sizes follow the data. Bit 11: the name is UTF-8.
pub(super) const DESCRIPTOR: u16 = 1 << 3;
const UTF8: u16 = 1 << 11;
/// Version 4.5, which brought zip64: nothing that we permit needs a later one.
pub(super) const NEEDED: u16 = 45;

/// An entry as the central directory has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name (escaped as FORMAT.md says); with a final `/` for a folder. Hostile text.
    pub name: String,
    /// Its plain length.
    pub size_bytes: u64,
    /// Its length in the archive.
    pub compressed_bytes: u64,
    /// CRC-32 of the plain bytes.
    pub crc32: u32,
    pub(super) name_bytes: Vec<u8>,
    pub(super) offset: u64,
    pub(super) method: u16,
    pub(super) flags: u16,
    pub(super) time: u32,
}

impl Entry {
    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        names::is_folder(&self.name)
    }
}

/// Where the directory lies, as the end records say.
#[derive(Debug)]
pub(super) struct End {
    pub(super) offset: u64,
    size: u64,
    entries: u64,
}

/// Little-endian fields, one after the other; zero past the end (callers check lengths first).
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((first, rest)) = self.0.split_first_chunk::<N>() else {
            self.0 = &[];
            return [0; N];
        };
        self.0 = rest;
        *first
    }
}

/// `length` bytes at `offset`; fewer where the file ends before.
pub(super) fn read_at(
    archive: &mut (impl Read + Seek),
    offset: u64,
    length: u64,
) -> io::Result<Vec<u8>> {
    archive.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    archive.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Finds the directory; `None` (and a fault) where there is none to trust.
pub(super) fn find(
    archive: &mut (impl Read + Seek),
    size: u64,
    faults: &mut Faults,
) -> io::Result<Option<End>> {
    let Some(end_at) = find_end(archive, size, faults)? else {
        faults.add(FaultCode::NoEnd, "there is no end-of-directory record");
        return Ok(None);
    };
    let record = read_at(archive, end_at, END_BYTES)?;
    let mut fields = Fields(&record);
    fields.u32();
    let (disk, directory_disk) = (fields.u16(), fields.u16());
    let (entries_here, entries) = (fields.u16(), fields.u16());
    let (directory_size, directory_offset, comment) = (fields.u32(), fields.u32(), fields.u16());
    if comment != 0 {
        faults.add(
            FaultCode::Comment,
            format!("the archive has a comment of {comment} bytes"),
        );
    }
    if (disk, directory_disk) != (0, 0) || entries_here != entries {
        faults.add(FaultCode::Disks, "the archive claims to have several disks");
    }
    let mut end = End {
        offset: directory_offset.into(),
        size: directory_size.into(),
        entries: entries.into(),
    };
    let mut directory_end = end_at;
    let small = (entries, directory_size, directory_offset);
    match find_end64(archive, end_at, faults)? {
        Some(large) => {
            if !agrees(small, &large) {
                faults.add(
                    FaultCode::Zip64,
                    "the zip64 end record contradicts the other",
                );
            }
            directory_end = end_at - LOCATOR64_BYTES - END64_BYTES;
            end = large;
        }
        None if entries == u16::MAX
            || directory_size == u32::MAX
            || directory_offset == u32::MAX =>
        {
            faults.add(FaultCode::Zip64, "the zip64 end record is missing");
        }
        None => {}
    }
    if end.offset.checked_add(end.size) != Some(directory_end) {
        let detail = format!(
            "the directory should end at {directory_end}, but is said to have {} bytes at {}",
            end.size, end.offset
        );
        faults.add(FaultCode::Directory, detail);
        return Ok(None);
    }
    Ok(Some(end))
}

fn agrees((entries, size, offset): (u16, u32, u32), large: &End) -> bool {
    (entries == u16::MAX || u64::from(entries) == large.entries)
        && (size == u32::MAX || u64::from(size) == large.size)
        && (offset == u32::MAX || u64::from(offset) == large.offset)
}

/// Where the end record starts: the very end, or further up with a fault for what follows it.
fn find_end(
    archive: &mut (impl Read + Seek),
    size: u64,
    faults: &mut Faults,
) -> io::Result<Option<u64>> {
    let window = size.min(END_BYTES + u64::from(u16::MAX));
    let tail = read_at(archive, size - window, window)?;
    let found = tail
        .windows(END_BYTES as usize)
        .rposition(|bytes| bytes.starts_with(&END.to_le_bytes()));
    let Some(at) = found else { return Ok(None) };
    let after = tail.len() - at - END_BYTES as usize;
    if after > 0 {
        faults.add(
            FaultCode::TrailingBytes,
            format!("{after} bytes follow the end of the archive"),
        );
    }
    Ok(Some(size - window + at as u64))
}

/// The zip64 end record, which stands right before its locator and the end record.
fn find_end64(
    archive: &mut (impl Read + Seek),
    end_at: u64,
    faults: &mut Faults,
) -> io::Result<Option<End>> {
    let Some(locator_at) = end_at.checked_sub(LOCATOR64_BYTES) else {
        return Ok(None);
    };
    let locator = read_at(archive, locator_at, LOCATOR64_BYTES)?;
    let mut fields = Fields(&locator);
    if fields.u32() != LOCATOR64 {
        return Ok(None);
    }
    let (disk, offset, disks) = (fields.u32(), fields.u64(), fields.u32());
    let at = locator_at.checked_sub(END64_BYTES);
    if disk != 0 || disks != 1 || at != Some(offset) {
        faults.add(
            FaultCode::Zip64,
            "the zip64 locator does not point right before itself",
        );
    }
    let Some(at) = at else { return Ok(None) };
    let record = read_at(archive, at, END64_BYTES)?;
    let mut fields = Fields(&record);
    let (signature, length) = (fields.u32(), fields.u64());
    if signature != END64 || length != END64_BYTES - 12 {
        faults.add(
            FaultCode::Zip64,
            "the zip64 end record is missing or not 56 bytes long",
        );
        return Ok(None);
    }
    fields.u32();
    let (disk, directory_disk) = (fields.u32(), fields.u32());
    let (entries_here, entries) = (fields.u64(), fields.u64());
    let (size, offset) = (fields.u64(), fields.u64());
    if (disk, directory_disk) != (0, 0) || entries_here != entries {
        faults.add(FaultCode::Disks, "the archive claims to have several disks");
    }
    Ok(Some(End {
        offset,
        size,
        entries,
    }))
}

/// Reads the directory's entries, as many as the limits allow.
pub(super) fn entries(
    archive: &mut (impl Read + Seek),
    end: &End,
    limits: &Limits,
    faults: &mut Faults,
) -> io::Result<Vec<Entry>> {
    if end.entries > limits.entries || end.size > limits.directory_bytes {
        let detail = format!(
            "{} entries in a directory of {} bytes",
            end.entries, end.size
        );
        faults.add(FaultCode::Limit, detail);
        return Ok(Vec::new());
    }
    archive.seek(SeekFrom::Start(end.offset))?;
    let mut directory = BufReader::with_capacity(1 << 16, archive).take(end.size);
    let mut entries = Vec::new();
    // Each record takes 46 bytes at least, so `end.size` bounds the loop too.
    while directory.limit() > 0 {
        match entry(&mut directory, faults) {
            Ok(entry) => entries.push(entry),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                faults.add(
                    FaultCode::Directory,
                    "the directory ends inside a record, or holds something else",
                );
                break;
            }
            Err(error) => return Err(error),
        }
        if entries.len() as u64 > limits.entries {
            faults.add(
                FaultCode::Limit,
                format!("more than {} entries", limits.entries),
            );
            break;
        }
    }
    if entries.len() as u64 != end.entries {
        let detail = format!(
            "{} entries, but {} are announced",
            entries.len(),
            end.entries
        );
        faults.add(FaultCode::Count, detail);
    }
    Ok(entries)
}

fn entry(directory: &mut impl Read, faults: &mut Faults) -> io::Result<Entry> {
    let mut fixed = [0; 46];
    directory.read_exact(&mut fixed)?;
    let mut fields = Fields(&fixed);
    if fields.u32() != CENTRAL {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let (_made_by, needed) = (fields.u16(), fields.u16());
    let (flags, method, time, crc32) = (fields.u16(), fields.u16(), fields.u32(), fields.u32());
    let (compressed, size) = (fields.u32(), fields.u32());
    let (name_length, extra_length) = (fields.u16(), fields.u16());
    let (comment_length, disk, internal) = (fields.u16(), fields.u16(), fields.u16());
    let (attributes, offset) = (fields.u32(), fields.u32());
    let mut bytes = |length: u16| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length.into()];
        directory.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let (name_bytes, extra, _) = (
        bytes(name_length)?,
        bytes(extra_length)?,
        bytes(comment_length)?,
    );
    let mut entry = Entry {
        name: String::from_utf8_lossy(&name_bytes).into_owned(),
        size_bytes: size.into(),
        compressed_bytes: compressed.into(),
        crc32,
        name_bytes,
        offset: offset.into(),
        method,
        flags,
        time,
    };
    if comment_length != 0 {
        faults.add_to(&entry.name, FaultCode::Comment, "the entry has a comment");
    }
    if disk != 0 {
        faults.add_to(
            &entry.name,
            FaultCode::Disks,
            "the entry claims to be on another disk",
        );
    }
    if needed > NEEDED || internal > 1 {
        faults.add_to(
            &entry.name,
            FaultCode::Flags,
            "needs a later version of ZIP, or has unknown attributes",
        );
    }
    widen(&mut entry, &extra, faults);
    check_name(&entry, faults);
    check_kind(&entry, attributes, faults);
    Ok(entry)
}

/// Takes the 64-bit sizes and offset where, and only where, the 32-bit ones are saturated.
fn widen(entry: &mut Entry, extra: &[u8], faults: &mut Faults) {
    let Some(zip64) = zip64_extra(extra) else {
        faults.add_to(
            &entry.name,
            FaultCode::ExtraField,
            "an extra field other than zip64's",
        );
        return;
    };
    let mut fields = Fields(zip64.unwrap_or_default());
    let mut wanted = 0;
    for field in [
        &mut entry.size_bytes,
        &mut entry.compressed_bytes,
        &mut entry.offset,
    ] {
        if *field == u64::from(u32::MAX) {
            wanted += 8;
            *field = fields.u64();
        }
    }
    if zip64.unwrap_or_default().len() != wanted {
        faults.add_to(
            &entry.name,
            FaultCode::Zip64,
            "the zip64 field does not hold what the header needs",
        );
    }
}

/// The contents of the zip64 field: `Some(None)` where there is no field at all, `None` where
/// there is any other, or a broken one.
pub(super) fn zip64_extra(extra: &[u8]) -> Option<Option<&[u8]>> {
    let Some((header, contents)) = extra.split_at_checked(4) else {
        return extra.is_empty().then_some(None);
    };
    let mut fields = Fields(header);
    let (id, length) = (fields.u16(), fields.u16());
    (id == 1 && contents.len() == usize::from(length)).then_some(Some(contents))
}

fn check_name(entry: &Entry, faults: &mut Faults) {
    let utf8 = entry.flags & UTF8 != 0;
    if std::str::from_utf8(&entry.name_bytes).is_err() || (!utf8 && !entry.name.is_ascii()) {
        faults.add_to(
            &entry.name,
            FaultCode::NameEncoding,
            "the name is not UTF-8, or not marked as UTF-8",
        );
    }
    if let Err(fault) = names::check(&entry.name) {
        faults.add_to(&entry.name, FaultCode::Name, fault.to_string());
    }
}

fn check_kind(entry: &Entry, attributes: u32, faults: &mut Faults) {
    let mode = attributes >> 16;
    let (folder_type, regular_type) = (0o040_000, 0o100_000);
    let right = if entry.is_folder() {
        let empty = entry.size_bytes == 0 && entry.compressed_bytes == 0 && entry.method == 0;
        mode & 0o177_000 == folder_type && names::FOLDERS.contains(&entry.name.as_str()) && empty
    } else {
        // The low byte is DOS's: 0x10 would make it a folder there.
        mode & 0o177_000 == regular_type && attributes & 0x10 == 0
    };
    if !right {
        let detail = format!("neither a regular file nor a permitted folder (mode {mode:o})");
        faults.add_to(&entry.name, FaultCode::FileType, detail);
    }
    if entry.flags & !(DESCRIPTOR | UTF8) != 0 {
        let detail = format!("flags {:#06x}: encrypted, patched or unknown", entry.flags);
        faults.add_to(&entry.name, FaultCode::Flags, detail);
    }
    if !matches!(entry.method, 0 | 8) {
        faults.add_to(
            &entry.name,
            FaultCode::Method,
            format!("method {}", entry.method),
        );
    }
}
