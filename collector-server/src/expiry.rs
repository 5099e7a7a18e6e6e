//! Evidence expires: a collection at a time, by the rule in force, never under a hold, and never on the word of a clock
//! that has leapt.
//!
//! First the rows are marked, in one change that judges once more; then the leaves go into the log; then the ciphertext
//! goes, as far as nothing else needs it. A crash in between is finished at the next start. Statements, receipts and rows
//! stay.

use std::{fs, sync::Arc};

use anyhow::Context as _;
use evidence::{custody::event::Action, digest::Digest, ids::CollectionId, instant::Instant};
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::{
    folder::Folder,
    keyfile,
    refusal::Refusal,
    siem::Severity,
    state::Server,
    store::{
        expiry::{Change as ExpiryChange, Expiring},
        index::{Change, IndexError},
    },
};

/// A clock that has moved further since the last look is not believed.
pub const LEAP_DAYS: i64 = 7;
/// Parts that one leaf names.
const PARTS_A_LEAF: usize = 1_000;

/// What a look for what is due came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// So many collections expired.
    Done(usize),
    /// It is the first: from now on it is known what time it is.
    First,
    /// The clock is too far ahead of the last look, or behind it: nothing expired.
    Doubted,
}

/// Looks for what is due at `now`, and lets it expire.
///
/// # Errors
/// The index, the log or the store failed; what was begun is finished at the next look.
pub async fn run(server: &Server, now: Instant) -> Result<Outcome, Refusal> {
    server.finish_keeping().await?;
    let Some(last) = server.index.last_expiry_run().await? else {
        ran(server, now).await?;
        return Ok(Outcome::First);
    };
    if !is_believed(server, last, now) {
        doubt(server, last, now);
        return Ok(Outcome::Doubted);
    }
    server.metrics.clock_doubted.set(0);
    ran(server, now).await?;
    let mut count = 0;
    for collection in server.index.due_at(now, server.notice_ns()).await? {
        count += usize::from(one(server, collection, now).await?);
    }
    Ok(Outcome::Done(count))
}

async fn ran(server: &Server, now: Instant) -> Result<(), IndexError> {
    let change = ExpiryChange::Ran(now);
    server.change(Change::Expiry(change)).await
}

/// Whether `now` follows closely on the last look, or on the time that somebody has confirmed.
fn is_believed(server: &Server, last: Instant, now: Instant) -> bool {
    let follows = |from: Instant| (0..=LEAP_DAYS * 86_400).contains(&(now.seconds - from.seconds));
    follows(last) || confirmed(server).is_some_and(follows)
}

/// The time that `confirm-clock` has written down.
fn confirmed(server: &Server) -> Option<Instant> {
    let text = fs::read_to_string(server.folder.clock_confirmed()).ok()?;
    Instant::parse(text.trim())
}

/// Writes down that the clock, which shows `now`, is right: somebody has read `today` off another one.
///
/// # Errors
/// The two don't agree, the folder is no server's, or can't be written.
pub fn confirm(folder: &Folder, today: &str, now: Instant) -> anyhow::Result<String> {
    let shown = now.to_rfc3339().unwrap_or_default();
    anyhow::ensure!(
        shown.split('T').next() == Some(today),
        "This machine's clock shows {shown}, and you say that it is {today}. Set the clock right first."
    );
    anyhow::ensure!(
        folder.index().is_file(),
        "{} is not there. Name the folder that `init` made.",
        folder.index().display()
    );
    let path = folder.clock_confirmed();
    keyfile::replace(&path, shown.as_bytes(), 0o600)
        .with_context(|| format!("{} can't be written.", path.display()))?;
    Ok(shown)
}

fn doubt(server: &Server, last: Instant, now: Instant) {
    let shown = |at: Instant| at.to_rfc3339().unwrap_or_default();
    server.metrics.clock_doubted.set(1);
    tracing::error!(
        last = shown(last),
        now = shown(now),
        "the clock has leapt since evidence was last looked through, so nothing expires: look at another clock, and run `fieldseal-server confirm-clock`"
    );
    let data = json!({"last": last, "now": now});
    server
        .bulletin
        .tell("alarm.clock_leapt", Severity::Alert, data);
}

/// Lets one collection expire; says whether it did, for a hold may have come.
async fn one(server: &Server, collection: CollectionId, now: Instant) -> Result<bool, Refusal> {
    let _alone = server.keeping.lock().await;
    let mark = ExpiryChange::Mark {
        collection,
        now,
        notice_ns: server.notice_ns(),
    };
    match server.change(Change::Expiry(mark)).await {
        Ok(()) => {}
        Err(IndexError::Conflict(_)) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    for expiring in server.index.expiring().await? {
        finish(server, &expiring).await?;
    }
    server.metrics.expired.inc();
    tracing::warn!(%collection, "a collection has expired by its retention rule");
    Ok(true)
}

/// Brings a marked collection's expiry to its end: the leaves, then the ciphertext.
///
/// # Errors
/// The index, the log or the store failed.
pub async fn finish(server: &Server, expiring: &Expiring) -> Result<(), Refusal> {
    let collection = expiring.collection;
    if !expiring.is_logged {
        let leaves = expiring.parts.chunks(PARTS_A_LEAF).map(|parts| {
            server.custody.log(Action::Expired {
                collection,
                parts: parts.to_vec(),
                rule_sha256: expiring.rule_sha256,
            })
        });
        let receipts = try_join_all(leaves).await?;
        let change = ExpiryChange::Logged {
            collection,
            receipts,
        };
        server.change(Change::Expiry(change)).await?;
    }
    for part in &expiring.parts {
        remove(server, *part).await?;
    }
    let change = ExpiryChange::Gone(collection);
    server.change(Change::Expiry(change)).await?;
    Ok(())
}

/// Deletes the ciphertext, unless another collection needs it.
async fn remove(server: &Server, part: Digest) -> Result<(), Refusal> {
    let _alone = server.blobs.going().await;
    if server.index.needs(part).await? {
        return Ok(());
    }
    let blobs = Arc::clone(&server.blobs);
    let removed = spawn_blocking(move || blobs.remove(part)).await;
    Ok(removed.map_err(Refusal::failed)??)
}
