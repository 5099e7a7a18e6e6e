//! The contents of one file: read once from its start, or by its data extents, and told when they are not whole.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
};

use evidence::{
    gap::Reason,
    records::{Extent, FileRecord},
};

use super::{
    Begin, End, Fetched,
    reader::{Deaf, Reader},
};
use crate::files::{Stat, digest};
use crate::reader::extents;

/// One read; what deflate takes at once.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;
/// How far past its first length a growing file is followed.
const GROWTH_BYTES: u64 = 64 * 1024 * 1024;

/// How much was read, and why not all could be.
type Read = (u64, Option<(Reason, String)>);

impl Reader {
    pub(super) fn contents(
        &mut self,
        artifact: &'static str,
        entry: String,
        mut file: File,
        before: Stat,
        mut record: FileRecord,
    ) -> Result<(), Deaf> {
        let mut size_bytes = before.size_bytes;
        let mut runs = None;
        if digest::is_sparse(&before) && before.size_bytes > extents::SPARSE_BYTES {
            match extents::of(&file, before.size_bytes) {
                Ok(found) if found.is_empty() => {
                    // An empty entry would look like an empty file.
                    record.claimed_size_bytes = Some(before.size_bytes);
                    record.why_no_entry = Some("it is one hole: no data lies in it".to_owned());
                    return self.say(Fetched::Record(Box::new(record)));
                }
                Ok(found) => {
                    size_bytes = found.iter().map(|e| e.size_bytes).sum();
                    record.only_extents.clone_from(&found);
                    runs = Some(found);
                }
                Err((reason, text)) => return self.without(artifact, record, reason, text),
            }
        }
        if !self.shared.tally.takes(artifact, size_bytes) {
            record.why_no_entry = Some("beyond the limit on collected files".to_owned());
            return self.say(Fetched::Record(Box::new(record)));
        }
        self.say(Fetched::Begin(Box::new(Begin {
            record,
            entry,
            size_bytes,
            before,
        })))?;
        let (read_bytes, fault) = match runs {
            None => {
                let limit_bytes = before.size_bytes.saturating_add(GROWTH_BYTES);
                self.read(&mut file, (before.size_bytes, limit_bytes))?
            }
            Some(runs) => self.read_extents(&mut file, &runs)?,
        };
        let after = Stat::of_open(&file).ok();
        let fault = fault.or_else(|| {
            // Where nothing changed, the system claimed more than there ever was (sysfs does).
            let is_cut = read_bytes < size_bytes && before.has_changed(after.as_ref()?);
            is_cut.then(|| (Reason::ReadError, digest::shrank(size_bytes, read_bytes)))
        });
        self.say(Fetched::End(End { after, fault }))
    }

    /// Reads on to the end, or to the limit (which is past what is expected where the file may grow); gives how much was read, and why not all
    /// could be.
    fn read(
        &mut self,
        file: &mut File,
        (expected_bytes, limit_bytes): (u64, u64),
    ) -> Result<Read, Deaf> {
        let mut read = 0_u64;
        while read < limit_bytes {
            if self.pace.is_stopped() {
                let text = format!("the run was stopped; only its first {read} bytes are here");
                return Ok((read, Some((Reason::Interrupted, text))));
            }
            let room = (limit_bytes - read).min(CHUNK_BYTES as u64);
            // One more than is left, so that the end is seen in the same go.
            let left = expected_bytes.saturating_sub(read).saturating_add(1);
            let mut chunk = Vec::with_capacity(room.min(left) as usize);
            // Fills the chunk as far as one file goes, so that few words carry much.
            match file.by_ref().take(room).read_to_end(&mut chunk) {
                Ok(0) => return Ok((read, None)),
                Ok(count) => {
                    read += count as u64;
                    self.pace.passed(count);
                    self.say(Fetched::Chunk(chunk))?;
                    if (count as u64) < room {
                        return Ok((read, None));
                    }
                }
                Err(error) => {
                    read += chunk.len() as u64;
                    self.say(Fetched::Chunk(chunk))?;
                    let text = format!("only its first {read} bytes could be read: {error}");
                    return Ok((read, Some((Reason::ReadError, text))));
                }
            }
        }
        if expected_bytes == limit_bytes {
            return Ok((read, None));
        }
        let text = format!("it grew while it was read; only its first {read} bytes are here");
        Ok((read, Some((Reason::Limit, text))))
    }

    fn read_extents(&mut self, file: &mut File, runs: &[Extent]) -> Result<Read, Deaf> {
        let mut read = 0;
        for run in runs {
            if let Err(error) = file.seek(io::SeekFrom::Start(run.offset_bytes)) {
                let text = format!("its data at {} can't be read: {error}", run.offset_bytes);
                return Ok((read, Some((Reason::ReadError, text))));
            }
            let (count, fault) = self.read(file, (run.size_bytes, run.size_bytes))?;
            read += count;
            if fault.is_some() || count < run.size_bytes {
                return Ok((read, fault));
            }
        }
        Ok((read, None))
    }

    /// A record of a file whose contents can't be stored, and the gap that says why.
    fn without(
        &mut self,
        artifact: &'static str,
        mut record: FileRecord,
        reason: Reason,
        text: String,
    ) -> Result<(), Deaf> {
        let subject = record.path.clone().into_bytes();
        record.why_no_entry = Some(text.clone());
        self.say(Fetched::Record(Box::new(record)))?;
        self.say_gap(artifact, &subject, reason, text)
    }
}
