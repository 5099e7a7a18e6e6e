//! A file larger than a part: stored in pieces, one or more a part, joined again by files.jsonl.

use std::io::{self, Read, Sink, Write as _};

use evidence::{
    digest::{Digest, DigestWriter},
    records::{FileRecord, Piece},
};

use super::{
    chain::Trouble,
    fetch::Begin,
    inbox::{Inbox, Incoming},
    lane::Lane,
    stored,
};

/// No piece is begun in less room than this.
const ROOM_BYTES_MIN: u64 = 1 << 20;

/// Passes bytes on and keeps the digest of the whole file over its pieces.
struct Whole<'a, 'i> {
    source: &'a mut Incoming<'i>,
    hash: &'a mut DigestWriter<Sink>,
}

impl Read for Whole<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(into)?;
        self.hash.write_all(&into[..count])?;
        Ok(count)
    }
}

/// Stores the file that `begin` opens, and whose contents `inbox` gives.
pub(super) fn store(lane: &mut Lane<'_>, begin: Begin, inbox: &mut Inbox) -> Result<(), Trouble> {
    let stem = stem(&begin.record);
    let mut incoming = Incoming::new(inbox);
    let mut whole = DigestWriter::new(io::sink());
    let mut offset_bytes = 0;
    for number in 1.. {
        let ask = lane.room_for_piece(ROOM_BYTES_MIN)?;
        let entry = format!("pieces/{stem}/{number:06}");
        let source = Whole {
            source: &mut incoming,
            hash: &mut whole,
        };
        let stored = lane.write(&begin.record.artifact, |part| {
            part.content(&entry, source.take(ask))
        })?;
        let last = stored.size_bytes < ask;
        let mut line = begin.record.clone();
        line.pieces.push(Piece {
            entry,
            number,
            offset_bytes,
            size_bytes: stored.size_bytes,
            sha256: stored.sha256,
            last,
        });
        offset_bytes += stored.size_bytes;
        if !last {
            lane.file_record(&line)?;
            continue;
        }
        let end = incoming.finish();
        let (_, sha256, read) = whole.finish();
        line.sha256 = Some(sha256);
        stored::add_read(&mut line, &begin.before, end.after.as_ref(), read);
        lane.file_record(&line)?;
        return lane.end_gap(&line, end);
    }
    Ok(())
}

/// The folder of the pieces: by the exact path, so that no two files share it.
fn stem(record: &FileRecord) -> String {
    let exact = record.path_b64.as_ref().unwrap_or(&record.path);
    Digest::of(exact.as_bytes()).to_string()[..32].to_owned()
}
