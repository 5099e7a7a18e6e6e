//! Reads an archive from a stranger: every fault of its form is named, nothing is taken on trust.
//!
//! One pass over the entries in the order of the file, in memory bounded by [`Limits`]. It
//! knows no seals and no digests: those are the visitor's. No bytes make it panic.

use std::{
    collections::HashSet,
    io::{self, Read, Seek, SeekFrom},
};

pub use super::directory::Entry;
use super::{
    directory::{self, DESCRIPTOR, Fields, NEEDED, read_at, zip64_extra},
    fault::{Fault, FaultCode, Faults},
    inflate::PlainReader,
    limits::Limits,
};

const LOCAL: u32 = 0x0403_4b50;
const LOCAL_BYTES: u64 = 30;
const DESCRIPTOR_SIGNATURE: u32 = 0x0807_4b50;

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// Every fault; empty where the form is right.
    pub faults: Vec<Fault>,
    /// The entries in the order of the file, the faulty ones included.
    pub entries: Vec<Entry>,
    /// The length of the archive.
    pub size_bytes: u64,
}

/// Reads the archive and shows `visit` each entry's plain bytes, in the order of the file.
///
/// Folders are shown too, with no bytes. What the visitor leaves unread is read and checked
/// after it. The bytes that it saw are right only where the reader came to its end without an
/// error; where it did not, the fault stands in the report. An entry that overlaps another or
/// passes a limit is not shown at all.
///
/// # Errors
/// The archive's own disk failed, or the visitor did.
pub fn read<R: Read + Seek>(
    archive: R,
    limits: &Limits,
    visit: impl FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
) -> io::Result<Report> {
    read_some(archive, limits, |_| true, visit)
}

/// [`read`], but the contents of entries whose name is not `wanted` are passed over: neither read nor checked.
///
/// It is for archives that were read whole before, and for those alone.
///
/// # Errors
/// As for [`read`].
pub fn read_some<R: Read + Seek>(
    mut archive: R,
    limits: &Limits,
    wanted: impl Fn(&str) -> bool,
    mut visit: impl FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
) -> io::Result<Report> {
    let mut faults = Faults::new(limits.faults);
    let size_bytes = archive.seek(SeekFrom::End(0))?;
    let mut entries = Vec::new();
    if let Some(end) = directory::find(&mut archive, size_bytes, &mut faults)? {
        entries = directory::entries(&mut archive, &end, limits, &mut faults)?;
        check_order(&mut entries, &mut faults);
        let mut pass = Pass {
            archive: &mut archive,
            limits,
            faults: &mut faults,
            directory_at: end.offset,
            at: 0,
            plain_bytes: 0,
        };
        for entry in &entries {
            pass.entry(entry, wanted(&entry.name), &mut visit)?;
        }
        pass.tile("the directory", end.offset);
    }
    Ok(Report {
        faults: faults.into_list(),
        entries,
        size_bytes,
    })
}

fn check_order(entries: &mut [Entry], faults: &mut Faults) {
    if !entries.is_sorted_by_key(|entry| entry.offset) {
        faults.add(
            FaultCode::Order,
            "the directory is not in the order of the file",
        );
        entries.sort_by_key(|entry| entry.offset);
    }
    let mut seen = HashSet::new();
    for entry in entries.iter() {
        if !seen.insert(&entry.name_bytes) {
            faults.add_to(
                &entry.name,
                FaultCode::Duplicate,
                "two entries have this name",
            );
        }
    }
}

/// The pass over the entries: where it stands and what it has spent.
struct Pass<'a, R> {
    archive: &'a mut R,
    limits: &'a Limits,
    faults: &'a mut Faults,
    directory_at: u64,
    at: u64,
    plain_bytes: u64,
}

impl<R: Read + Seek> Pass<'_, R> {
    fn entry(
        &mut self,
        entry: &Entry,
        wanted: bool,
        visit: &mut impl FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
    ) -> io::Result<()> {
        if !self.tile(&entry.name, entry.offset) {
            return Ok(());
        }
        let Some((data_at, zip64)) = self.local_header(entry)? else {
            return Ok(());
        };
        let Some(data_end) = self.data_end(entry, data_at) else {
            return Ok(());
        };
        self.at = data_end;
        if entry.flags & DESCRIPTOR != 0 {
            self.descriptor(entry, data_end, zip64)?;
        }
        if self.affords(entry) && wanted && matches!(entry.method, 0 | 8) {
            self.contents(entry, data_at, visit)?;
        }
        Ok(())
    }

    /// Whether the next thing starts where the last one ended.
    fn tile(&mut self, name: &str, offset: u64) -> bool {
        if offset < self.at {
            let detail = format!("starts at {offset}, inside what ends at {}", self.at);
            self.faults.add_to(name, FaultCode::Overlap, detail);
            return false;
        }
        if offset > self.at {
            let detail = format!(
                "{} bytes at {} belong to no entry",
                offset - self.at,
                self.at
            );
            self.faults.add_to(name, FaultCode::Gap, detail);
            self.at = offset;
        }
        true
    }

    /// Where the data starts, and whether the header has a zip64 field.
    fn local_header(&mut self, entry: &Entry) -> io::Result<Option<(u64, bool)>> {
        let fixed = read_at(self.archive, entry.offset, LOCAL_BYTES)?;
        let mut fields = Fields(&fixed);
        if fields.u32() != LOCAL || entry.offset + LOCAL_BYTES > self.directory_at {
            self.faults.add_to(
                &entry.name,
                FaultCode::LocalHeader,
                "there is no local header",
            );
            return Ok(None);
        }
        let needed = fields.u16();
        let (flags, method, time) = (fields.u16(), fields.u16(), fields.u32());
        let (crc, compressed, size) = (fields.u32(), fields.u32(), fields.u32());
        let (name_length, extra_length) = (u64::from(fields.u16()), u64::from(fields.u16()));
        let variable = read_at(
            self.archive,
            entry.offset + LOCAL_BYTES,
            name_length + extra_length,
        )?;
        let (name, extra) = variable.split_at(variable.len().min(name_length as usize));
        let same = (flags, method, time) == (entry.flags, entry.method, entry.time);
        if !same || needed > NEEDED || name != entry.name_bytes {
            let detail = "name, flags, method or time differ from the directory";
            self.faults
                .add_to(&entry.name, FaultCode::LocalHeader, detail);
        }
        let Some(zip64) = zip64_extra(extra) else {
            let detail = "the local header has an extra field other than zip64's";
            self.faults
                .add_to(&entry.name, FaultCode::ExtraField, detail);
            return Ok(None);
        };
        if !local_sizes(entry, (crc, compressed, size), zip64) {
            let detail = "sizes or CRC-32 differ from the directory";
            self.faults
                .add_to(&entry.name, FaultCode::LocalHeader, detail);
        }
        let data_at = entry.offset + LOCAL_BYTES + name_length + extra_length;
        Ok(Some((data_at, zip64.is_some())))
    }

    fn data_end(&mut self, entry: &Entry, data_at: u64) -> Option<u64> {
        let end = data_at.checked_add(entry.compressed_bytes);
        let end = end.filter(|end| *end <= self.directory_at);
        if end.is_none() {
            self.faults.add_to(
                &entry.name,
                FaultCode::Overlap,
                "reaches into the directory",
            );
            self.at = data_at.min(self.directory_at);
        }
        end
    }

    /// 16 bytes, or 24 where the local header has a zip64 field; its signature always.
    fn descriptor(&mut self, entry: &Entry, at: u64, zip64: bool) -> io::Result<()> {
        let length = if zip64 { 24 } else { 16 };
        let bytes = read_at(self.archive, at, length)?;
        let mut fields = Fields(&bytes);
        let (signature, crc) = (fields.u32(), fields.u32());
        let mut size = || {
            if zip64 {
                fields.u64()
            } else {
                fields.u32().into()
            }
        };
        let (compressed, plain) = (size(), size());
        let right = signature == DESCRIPTOR_SIGNATURE
            && (crc, compressed, plain) == (entry.crc32, entry.compressed_bytes, entry.size_bytes);
        if !right {
            let detail = "the data descriptor is missing or differs from the directory";
            self.faults
                .add_to(&entry.name, FaultCode::Descriptor, detail);
        }
        self.at = at + length;
        Ok(())
    }

    fn affords(&mut self, entry: &Entry) -> bool {
        let total = self.plain_bytes.saturating_add(entry.size_bytes);
        let fits = total <= self.limits.plain_bytes
            && entry.size_bytes <= self.limits.entry_bytes(&entry.name);
        if fits {
            self.plain_bytes = total;
        } else {
            let detail = format!("{} plain bytes pass a limit; not read", entry.size_bytes);
            self.faults.add_to(&entry.name, FaultCode::Limit, detail);
        }
        fits
    }

    fn contents(
        &mut self,
        entry: &Entry,
        data_at: u64,
        visit: &mut impl FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
    ) -> io::Result<()> {
        self.archive.seek(SeekFrom::Start(data_at))?;
        let mut plain = PlainReader::new(&mut *self.archive, entry);
        let visited = visit(entry, &mut plain);
        if !plain.failed() {
            // The visitor's own trouble, not the entry's.
            visited?;
            let mut rest = vec![0; 1 << 16];
            while matches!(plain.read(&mut rest), Ok(got) if got > 0) {}
        }
        if let Some((code, detail)) = plain.into_outcome()? {
            self.faults.add_to(&entry.name, code, detail);
        }
        Ok(())
    }
}

/// Whether the local header's sizes agree with the directory's; with a data descriptor they may
/// be unknown there: zero, or saturated where a zip64 field holds them.
fn local_sizes(
    entry: &Entry,
    (crc, compressed, size): (u32, u32, u32),
    zip64: Option<&[u8]>,
) -> bool {
    let later = entry.flags & DESCRIPTOR != 0;
    let (mut wide, mut wanted) = (Fields(zip64.unwrap_or_default()), 0);
    let mut agrees = |small: u32, real: u64| {
        if small != u32::MAX {
            return u64::from(small) == real || (later && small == 0);
        }
        wanted += 8;
        let large = wide.u64();
        large == real || (later && matches!(large, 0 | u64::MAX))
    };
    // The field's order: plain size first.
    let sizes = agrees(size, entry.size_bytes) & agrees(compressed, entry.compressed_bytes);
    let length = zip64.is_none_or(|field| matches!(field.len(), 16) || field.len() == wanted);
    let missing = zip64.is_none() && wanted > 0;
    (crc == entry.crc32 || (later && crc == 0)) && sizes && length && !missing
}
