//! Pieces of the live log on their way to the server: in memory alone, the oldest dropped where too many wait.
//!
//! They are ciphertext, and no evidence: the archive has every line. Nothing waits for them, and what can't be sent is
//! counted.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use protocol::{live::SendLogPiece, version::VERSION};

use super::{
    context::{Context, CourierError},
    http::HttpError,
    pause::Backoff,
};

/// So many wait for a server that is away: a minute of a host that has much to say, in 1.5 MiB.
const WAITING_MAX: usize = 32;
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Pieces that wait.
#[derive(Debug, Default)]
pub(super) struct Pieces(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    pieces: VecDeque<(u64, SendLogPiece)>,
    next: u64,
}

impl Pieces {
    /// Takes a piece without waiting; the oldest goes where there is no room.
    pub(super) fn put(&self, context: &Context, piece: String, content: String) {
        let mut waiting = self.lock();
        if waiting.pieces.len() >= WAITING_MAX {
            waiting.pieces.pop_front();
            dropped(context);
        }
        let sent = SendLogPiece {
            v: VERSION,
            piece,
            content,
        };
        let number = waiting.next;
        waiting.next += 1;
        waiting.pieces.push_back((number, sent));
        drop(waiting);
        context.bell.ring();
    }

    fn oldest(&self) -> Option<(u64, SendLogPiece)> {
        self.lock().pieces.front().cloned()
    }

    /// It needs no sending any more; it may have been dropped meanwhile.
    fn done(&self, number: u64) {
        self.lock().pieces.retain(|(n, _)| *n != number);
    }

    fn is_empty(&self) -> bool {
        self.lock().pieces.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends until the courier ends.
pub(super) fn serve(context: &Context, pieces: &Pieces) -> Result<(), CourierError> {
    let mut backoff = Backoff::default();
    while !context.has_ended() {
        let Some((number, piece)) = pieces.oldest() else {
            context.wait_until(None, || !pieces.is_empty());
            continue;
        };
        match post(context, &piece) {
            Ok(()) => {
                pieces.done(number);
                backoff.reset();
            }
            Err(error) if error.is_permanent() => {
                tracing::debug!(error = error.chain(), "a piece of a log was not taken");
                pieces.done(number);
                dropped(context);
            }
            // That the server does not answer is told by whoever has evidence for it.
            Err(error) => context.rest(&mut backoff, error.retry()),
        }
    }
    Ok(())
}

fn post(context: &Context, piece: &SendLogPiece) -> Result<(), HttpError> {
    let client = context.client();
    client.post("/v1/agent/log", piece, ANSWER_BYTES_MAX)?;
    context.heard();
    Ok(())
}

fn dropped(context: &Context) {
    context.board.change(|s| s.log_pieces_dropped += 1);
}
