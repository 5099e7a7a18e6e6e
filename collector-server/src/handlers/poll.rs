//! Waiting for news: until there is some, the time is up, or the server stops.

use std::{future::Future, time::Duration};

use protocol::messages::MAX_WAIT_MS;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    refusal::Refusal,
    state::{Asker, Server, poll_permit},
};

/// What one look says.
pub(super) enum Look<T> {
    /// There is news.
    News(T),
    /// There is none; look again when the bell rings, or after this at the latest.
    Nothing(Option<Duration>),
}

/// Looks now, and again with every ring of `bell`; none when the time was up without news.
///
/// # Errors
/// A look fails, or too many wait already, of all or of this one.
pub(super) async fn poll<T, F>(
    (server, asker): (&Server, Asker),
    mut bell: watch::Receiver<()>,
    wait_ms: u64,
    mut look: impl FnMut() -> F,
) -> Result<Option<T>, Refusal>
where
    F: Future<Output = Result<Look<T>, Refusal>>,
{
    let end = Instant::now() + Duration::from_millis(wait_ms.min(MAX_WAIT_MS));
    let mut stopping = server.stopping.subscribe();
    let mut permit = None;
    loop {
        let again = match look().await? {
            Look::News(news) => return Ok(Some(news)),
            Look::Nothing(again) => again,
        };
        if *stopping.borrow_and_update() || Instant::now() >= end {
            return Ok(None);
        }
        if permit.is_none() {
            permit = Some(poll_permit(server, asker.clone())?);
        }
        let next = again.map_or(end, |wait| end.min(Instant::now() + wait));
        tokio::select! {
            // An elapsed time, a ring and the server's end all mean: look once more.
            _ = timeout_at(next, bell.changed()) => {}
            _ = stopping.changed() => {}
        }
    }
}
