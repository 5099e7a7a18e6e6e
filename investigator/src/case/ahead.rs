//! Reads a part ahead of the database: decrypted, inflated and digested on a thread of its own, a few blocks at most.

use std::{
    collections::HashMap,
    io::{self, BufRead, Read, Seek},
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
};

use anyhow::Context as _;
use evidence::{
    archive::{self, Limits, Report},
    digest::{Digest, DigestWriter},
};

/// So much is handed over at once.
const BLOCK_BYTES: usize = 256 << 10;
/// So many blocks wait.
const BLOCKS: usize = 4;

/// The digest of every entry that was read, by its name.
pub(super) type Digests = HashMap<String, Digest>;

/// Reads the entries that are `wanted`, in their order; `visit` takes each where it is called, and need not read all of
/// it. The digests are of the whole entries.
///
/// # Errors
/// The part can't be read, or the visitor's own.
pub(super) fn read<R: Read + Seek + Send>(
    zip: R,
    wanted: fn(&str) -> bool,
    mut visit: impl FnMut(&str, &mut dyn BufRead) -> anyhow::Result<()>,
) -> anyhow::Result<(Report, Digests)> {
    thread::scope(|scope| {
        let (to, pieces) = mpsc::sync_channel(BLOCKS);
        let reader = scope.spawn(move || {
            archive::read_some(zip, &Limits::default(), wanted, |entry, plain| {
                hand_over(&entry.name, plain, &to)
            })
        });
        let visited = take(pieces, &mut visit);
        let read = reader.join();
        let read = read.unwrap_or_else(|_| Err(io::Error::other("the reader panicked")));
        match (read, visited) {
            (Ok(report), Ok(digests)) => Ok((report, digests)),
            // Then the visitor gave up.
            (Err(error), Err(why)) if error.kind() == io::ErrorKind::BrokenPipe => Err(why),
            (Err(error), _) => Err(error).context("it can't be read"),
            (_, Err(why)) => Err(why),
        }
    })
}

enum Piece {
    Begin(String),
    Block(Vec<u8>),
    End(Digest),
    Fault(io::Error),
}

/// One entry, on the reader's thread.
fn hand_over(name: &str, plain: &mut dyn Read, to: &SyncSender<Piece>) -> io::Result<()> {
    let send = |piece| {
        let sent = to.send(piece);
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    };
    send(Piece::Begin(name.to_owned()))?;
    let mut digest = DigestWriter::new(io::sink());
    loop {
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        match plain.take(BLOCK_BYTES as u64).read_to_end(&mut block) {
            Ok(0) => return send(Piece::End(digest.finish().1)),
            Ok(_) => {}
            Err(error) => {
                let kind = error.kind();
                send(Piece::Fault(error))?;
                return Err(kind.into());
            }
        }
        io::Write::write_all(&mut digest, &block)?;
        send(Piece::Block(block))?;
    }
}

/// All entries, where they are visited. Dropping the pieces tells the reader that nobody reads on.
fn take(
    pieces: Receiver<Piece>,
    visit: &mut dyn FnMut(&str, &mut dyn BufRead) -> anyhow::Result<()>,
) -> anyhow::Result<Digests> {
    let mut digests = Digests::new();
    while let Ok(piece) = pieces.recv() {
        let Piece::Begin(name) = piece else {
            continue;
        };
        let mut plain = Plain {
            pieces: &pieces,
            block: Vec::new(),
            at: 0,
            digest: None,
        };
        visit(&name, &mut plain)?;
        digests.insert(name, plain.finish()?);
    }
    Ok(digests)
}

/// The contents of one entry.
struct Plain<'p> {
    pieces: &'p Receiver<Piece>,
    block: Vec<u8>,
    at: usize,
    /// What it is when all was read.
    digest: Option<Digest>,
}

impl Plain<'_> {
    /// Passes over what nobody wanted.
    fn finish(mut self) -> io::Result<Digest> {
        loop {
            if let Some(digest) = self.digest {
                return Ok(digest);
            }
            let left = self.fill_buf()?.len();
            self.consume(left);
        }
    }
}

impl BufRead for Plain<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.block.len() && self.digest.is_none() {
            (self.block, self.at) = (Vec::new(), 0);
            match self.pieces.recv() {
                Ok(Piece::Block(block)) => self.block = block,
                Ok(Piece::End(digest)) => self.digest = Some(digest),
                Ok(Piece::Fault(error)) => return Err(error),
                Ok(Piece::Begin(_)) | Err(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(&self.block[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at = self.block.len().min(self.at + count);
    }
}

impl Read for Plain<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = Read::read(&mut self.fill_buf()?, out)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Cursor};

    use super::*;
    use crate::case::testing::Draft;

    /// A part whose processes are longer than all blocks that wait.
    fn part() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let line = format!("{{\"name\":\"{}\"}}", "n".repeat(1_000));
        let lines = vec![line.as_str(); 2 * BLOCKS * BLOCK_BYTES / 1_000];
        let made = Draft::default()
            .result("processes", &lines)
            .make(dir.path());
        fs::read(made.path).unwrap()
    }

    fn is_wanted(name: &str) -> bool {
        name.ends_with(".jsonl")
    }

    #[test]
    fn every_entry_comes_whole_and_has_its_digest_read_or_not() {
        let mut found = HashMap::new();
        let (report, digests) = read(Cursor::new(part()), is_wanted, |name, plain| {
            let mut bytes = Vec::new();
            plain.read_to_end(&mut bytes)?;
            found.insert(name.to_owned(), Digest::of(&bytes));
            Ok(())
        })
        .unwrap();
        assert!(report.faults.is_empty());
        assert!(digests.len() >= 4 && digests == found, "{digests:?}");
        let (_, unread) = read(Cursor::new(part()), is_wanted, |_, plain| {
            plain.read_exact(&mut [0; 1]).or(Ok(()))
        })
        .unwrap();
        let of = |all: &Digests| all["results/processes.jsonl"];
        assert_eq!(of(&unread), of(&digests));
    }

    #[test]
    fn a_visitor_that_gives_up_ends_the_reader_too() {
        let given_up = read(Cursor::new(part()), is_wanted, |_, _| {
            Err(rusqlite::Error::InvalidQuery.into())
        });
        let error = given_up.unwrap_err();
        assert!(error.is::<rusqlite::Error>(), "{error:?}");
    }

    #[test]
    fn what_can_not_be_read_to_its_end_is_an_error_and_never_an_end() {
        let whole = part();
        let mut changed = whole.clone();
        let at = changed.windows(4).position(|four| four == b"proc").unwrap();
        // Behind the name, in what is deflated.
        changed[at + 200] ^= 0x55;
        for broken in [changed, whole[..whole.len() / 2].to_vec()] {
            let mut lengths = Vec::new();
            let read = read(Cursor::new(broken), is_wanted, |_, plain| {
                lengths.push(plain.read_to_end(&mut Vec::new())?);
                Ok(())
            });
            let is_noticed = read.as_ref().map_or(true, |(r, _)| !r.faults.is_empty());
            assert!(is_noticed, "{read:?}, {lengths:?}");
        }
    }
}
