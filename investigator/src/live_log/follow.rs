//! Reads the stream of an order's pieces, and goes on behind the last across broken connections.

use std::{
    io::{self, BufRead, BufReader, Read as _},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use protocol::{
    live::{LogFrame, MAX_LOG_FRAME_BYTES},
    version,
};

use crate::remote::{Download, RemoteError};

/// How long one stream waits for news; then it is looked whether the order goes on.
const WAIT: Duration = Duration::from_secs(5);
/// The longest pause before a server that does not answer is asked again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// So often a server that does not answer is asked again by whoever does not follow.
const TRIES: u32 = 5;

/// What following needs of the world.
pub struct Source<'a> {
    /// Asks for pieces: after which cursor, and how long to wait for news.
    pub ask: &'a dyn Fn(u64, Duration) -> Result<Download, RemoteError>,
    /// Whether nothing more will come; asked while it is followed.
    pub is_over: &'a dyn Fn() -> Result<bool, RemoteError>,
    /// Waits.
    pub pause: &'a dyn Fn(Duration),
}

/// Gives each piece there is to `take`, and with `follow` each that comes, until nothing more will.
///
/// # Errors
/// The server refuses for good, sends what is no stream of pieces, or `take` fails.
pub fn each(
    source: &Source<'_>,
    follow: bool,
    take: &mut dyn FnMut(&LogFrame) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (mut after, mut troubles, mut is_last) = (0, 0_u32, !follow);
    loop {
        let wait = if is_last { Duration::ZERO } else { WAIT };
        let before = after;
        let mut outcome = (source.ask)(after, wait)
            .map_err(Into::into)
            .and_then(|got| read(got, &mut after, take));
        if outcome.is_ok() && is_last {
            return Ok(());
        }
        if outcome.is_ok() {
            // What came between the stream's end and this answer comes with one look more.
            outcome = (source.is_over)()
                .map(|over| is_last = over)
                .map_err(Into::into);
        }
        match outcome {
            Ok(()) => troubles = 0,
            Err(error) if !is_passing(&error) => return Err(error),
            Err(error) => {
                troubles = if after > before { 1 } else { troubles + 1 };
                if !follow && troubles > TRIES {
                    return Err(error);
                }
                let pause = Duration::from_millis(250 << troubles.min(5));
                (source.pause)(pause.min(LONGEST_PAUSE));
            }
        }
    }
}

/// The stream broke off.
#[derive(Debug, thiserror::Error)]
#[error("the connection broke while the log came. Ask again.")]
struct BrokenStream(#[source] io::Error);

fn is_passing(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<RemoteError>() {
        Some(remote) => !remote.is_permanent(),
        None => error.is::<BrokenStream>(),
    }
}

fn read(
    got: Download,
    after: &mut u64,
    take: &mut dyn FnMut(&LogFrame) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut stream = BufReader::new(got.body);
    while let Some(frame) = next(&mut stream)? {
        ensure!(
            frame.cursor > *after,
            "The server sends pieces in no order. Tell its operator."
        );
        take(&frame)?;
        *after = frame.cursor;
    }
    Ok(())
}

/// The next frame; `None` at the end.
fn next(stream: &mut impl BufRead) -> anyhow::Result<Option<LogFrame>> {
    let mut line = Vec::new();
    let most = MAX_LOG_FRAME_BYTES as u64 + 1;
    let got = stream.take(most).read_until(b'\n', &mut line);
    if got.map_err(BrokenStream)? == 0 {
        return Ok(None);
    }
    ensure!(
        line.len() <= MAX_LOG_FRAME_BYTES,
        "The server sends a piece that is too long. Tell its operator."
    );
    if line.pop() != Some(b'\n') {
        return Err(BrokenStream(io::ErrorKind::UnexpectedEof.into()).into());
    }
    let frame = version::read_message(&line, "piece");
    Ok(Some(frame.context(
        "The stream of pieces is not of the protocol. Update this program or the server.",
    )?))
}
