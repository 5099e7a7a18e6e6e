//! A file larger than a part: stored in pieces, one or more a part, joined again by files.jsonl.

use std::{
    fs::File,
    io::{self, Read, Sink, Write as _},
};

use evidence::{
    digest::{Digest, DigestWriter},
    gap::{Reason, Severity},
    records::{FileRecord, Piece},
};

use super::{
    pipeline::{Pipeline, PipelineError},
    stored,
};
use crate::files::Stat;

/// No piece is begun in less room than this.
const ROOM_BYTES_MIN: u64 = 1 << 20;

/// Passes bytes on and keeps the digest of the whole file over its pieces.
struct Whole<'a> {
    file: &'a mut File,
    hash: &'a mut DigestWriter<Sink>,
}

impl Read for Whole<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.hash.write_all(&into[..count])?;
        Ok(count)
    }
}

/// Stores at most `limit_bytes` of `file`; `record` describes it but for its contents.
pub(super) fn store(
    pipeline: &mut Pipeline<'_>,
    mut file: File,
    before: &Stat,
    limit_bytes: u64,
    record: &FileRecord,
) -> Result<(), PipelineError> {
    let stem = stem(record);
    let mut whole = DigestWriter::new(io::sink());
    let mut offset_bytes = 0;
    for number in 1.. {
        if pipeline.is_full() || pipeline.part()?.room_bytes() < ROOM_BYTES_MIN {
            pipeline.close_part()?;
        }
        let part = pipeline.part()?;
        let ask = part.room_bytes().min(limit_bytes - offset_bytes);
        let entry = format!("pieces/{stem}/{number:06}");
        let source = Whole {
            file: &mut file,
            hash: &mut whole,
        };
        let stored = part.content(&entry, source.take(ask))?;
        let end = offset_bytes + stored.size_bytes;
        let last = stored.size_bytes < ask || end == limit_bytes || stored.read_error.is_some();
        let mut line = record.clone();
        line.pieces.push(Piece {
            entry,
            number,
            offset_bytes,
            size_bytes: stored.size_bytes,
            sha256: stored.sha256,
            last,
        });
        offset_bytes = end;
        if !last {
            pipeline.file_record(line)?;
            continue;
        }
        let (_, sha256, read) = whole.finish();
        line.sha256 = Some(sha256);
        stored::add_read(&mut line, before, Stat::of_open(&file).ok().as_ref(), read);
        let (artifact, subject) = (line.artifact.clone(), line.path.clone());
        pipeline.file_record(line)?;
        let text = match stored.read_error {
            Some(error) => format!("only its first {read} bytes could be read: {error}"),
            None if end == limit_bytes => format!("it grew; only its first {read} bytes are here"),
            None => return Ok(()),
        };
        return pipeline.gap(
            &artifact,
            &subject,
            Reason::ReadError,
            Severity::Ordinary,
            &text,
        );
    }
    Ok(())
}

/// The folder of the pieces: by the exact path, so that no two files share it.
fn stem(record: &FileRecord) -> String {
    let exact = record.path_b64.as_ref().unwrap_or(&record.path);
    Digest::of(exact.as_bytes()).to_string()[..32].to_owned()
}
