//! The log of a running order as it is written: what is new goes out in small pieces, sealed and encrypted, at most one
//! every two seconds and none where nothing is new.
//!
//! Whoever writes a line never waits here: what has no room is counted, and the archive has every line. Pieces are best
//! effort; nothing of the evidence hangs on them.

use std::{
    io::Write as _,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant as Moment},
};

use data_encoding::BASE64;
use evidence::{
    digest::Digest,
    envelope::EnvelopeError,
    ids::CollectionId,
    instant::Instant,
    wrap::{Recipient, WrapError, WrapWriter},
};
use protocol::{
    live::{Line, LogPiece, MAX_LINE_BYTES, MAX_PIECE_BYTES},
    version::VERSION,
};

use super::seal::Seal;

/// No piece follows another sooner.
pub(super) const PAUSE: Duration = Duration::from_secs(2);
/// What age adds: its head, and so much for each recipient.
const HEAD_BYTES: usize = 512;
const RECIPIENT_BYTES: usize = 200;
/// Left for the line that tells how many were left out.
const COUNT_BYTES: usize = 64;

/// A piece can't be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum PieceError {
    /// It can't be encrypted.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// It can't be written into memory, which it can.
    #[error("a piece of the log can't be encrypted. This is a fault of ours; please report it.")]
    Write(#[from] std::io::Error),
    /// It can't be signed.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// It is no text, which JSON always is.
    #[error("a piece of the log is no text. This is a fault of ours; please report it.")]
    NotText(#[from] std::string::FromUtf8Error),
    /// The order has so many recipients that nothing else fits.
    #[error("a piece of the log would be too long for so many recipients.")]
    TooLong,
}

/// Lines that wait for the next piece.
#[derive(Debug)]
pub(super) struct LiveLog {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    most_bytes: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    left_out: u64,
    is_over: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.left_out == 0
    }
}

impl LiveLog {
    /// For pieces that are encrypted to so many.
    pub(super) fn new(recipients: usize) -> Self {
        let head = HEAD_BYTES + COUNT_BYTES + recipients.saturating_mul(RECIPIENT_BYTES);
        Self {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            most_bytes: MAX_PIECE_BYTES.saturating_sub(head),
        }
    }

    /// Takes a line, or counts it.
    pub(super) fn line(&self, line: &Line) {
        let json = serde_json::to_vec(line).unwrap_or_default();
        let mut waiting = self.lock();
        let fits = !json.is_empty()
            && json.len() <= MAX_LINE_BYTES
            && waiting.lines.len() + json.len() < self.most_bytes;
        if fits {
            waiting.lines.extend_from_slice(&json);
            waiting.lines.push(b'\n');
        } else {
            waiting.left_out = waiting.left_out.saturating_add(1);
        }
        drop(waiting);
        self.changed.notify_all();
    }

    /// No line comes any more.
    pub(super) fn end(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }

    /// Hands out what is new, never sooner than `pause` after the last time but at the end, until the end; the second
    /// argument is whether it is that.
    pub(super) fn serve(&self, pause: Duration, mut hand_out: impl FnMut(&[u8], bool)) {
        loop {
            let waiting = self.wait(|w| !w.is_empty() || w.is_over, None);
            let (is_over, lines) = taken(waiting);
            if is_over || !lines.is_empty() {
                hand_out(&lines, is_over);
            }
            if is_over {
                return;
            }
            drop(self.wait(|w| w.is_over, Some(Moment::now() + pause)));
        }
    }

    /// Waits until `is_due`, or the deadline.
    fn wait(
        &self,
        is_due: impl Fn(&Waiting) -> bool,
        deadline: Option<Moment>,
    ) -> MutexGuard<'_, Waiting> {
        let mut waiting = self.lock();
        while !is_due(&waiting) {
            let left = deadline.map(|d| d.saturating_duration_since(Moment::now()));
            waiting = match left {
                Some(Duration::ZERO) => return waiting,
                Some(left) => {
                    let waited = self.changed.wait_timeout(waiting, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.changed.wait(waiting);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        waiting
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the log whatever happens to whoever writes it, so that nobody waits for more.
pub(super) struct EndsWith<'l>(pub(super) &'l LiveLog);

impl Drop for EndsWith<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What waits, and whether the end is there; nothing waits any more.
fn taken(mut waiting: MutexGuard<'_, Waiting>) -> (bool, Vec<u8>) {
    let mut lines = std::mem::take(&mut waiting.lines);
    let count = std::mem::take(&mut waiting.left_out);
    let is_over = waiting.is_over;
    drop(waiting);
    if count > 0 {
        let told = serde_json::to_vec(&Line::LeftOut { count }).unwrap_or_default();
        lines.extend(told);
        lines.push(b'\n');
    }
    (is_over, lines)
}

/// Makes the pieces of one attempt at a collection: each names the one before.
pub(super) struct Pieces {
    pub(super) seal: Seal,
    pub(super) recipients: Vec<Recipient>,
    pub(super) collection: CollectionId,
    pub(super) order_digest: Digest,
    pub(super) attempt: u32,
    /// The number of the last one, and the digest of its document.
    pub(super) before: Option<(u32, Digest)>,
}

impl Pieces {
    /// The next piece: the envelope of its document, and its content in base64.
    ///
    /// # Errors
    /// It can't be made; the next one takes its place.
    pub(super) fn next(
        &mut self,
        lines: &[u8],
        last: bool,
        time: Instant,
    ) -> Result<(String, String), PieceError> {
        let mut writer = WrapWriter::new(&self.recipients, Vec::new())?;
        writer.write_all(lines)?;
        let content = writer.finish()?;
        if content.len() > MAX_PIECE_BYTES {
            return Err(PieceError::TooLong);
        }
        let piece = self.before.map_or(0, |(number, _)| number);
        let piece = piece.saturating_add(1);
        let document = LogPiece {
            v: VERSION,
            collection: self.collection,
            agent: self.seal.agent(),
            order_digest: self.order_digest,
            attempt: self.attempt,
            piece,
            last,
            previous: self.before.map(|(_, digest)| digest),
            sha256: Digest::of(&content),
            size_bytes: content.len() as u64,
            time,
        };
        let envelope = document.sign(self.seal.key())?;
        let text = String::from_utf8(envelope.to_json()?)?;
        self.before = Some((piece, envelope.digest()));
        Ok((text, BASE64.encode(&content)))
    }
}

#[cfg(test)]
mod tests;
