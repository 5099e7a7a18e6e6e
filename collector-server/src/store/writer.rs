//! The one task that writes the index: many changes, one commit, one fsync.

use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::{
    agents, expiry, holds, imports,
    index::{Change, IndexError, Woken},
    leaves, log_pieces, orders, parts, pending, retention, uploads,
};

/// Changes that share a commit at most.
const GROUP: usize = 256;

/// A change, and who waits for it.
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) done: oneshot::Sender<Result<Woken, IndexError>>,
}

/// Writes until the last [`super::index::Index`] is dropped.
pub(super) async fn run(mut connection: SqliteConnection, mut jobs: mpsc::Receiver<Job>) {
    let mut group = Vec::new();
    while jobs.recv_many(&mut group, GROUP).await > 0 {
        let results = commit(&mut connection, &group).await;
        match results {
            Ok(results) => {
                for (job, result) in group.drain(..).zip(results) {
                    // Nobody waits any more if its request was cut; the change stands.
                    let _ = job.done.send(result);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the index could not commit");
                let error = IndexError::from(error);
                for job in group.drain(..) {
                    let _ = job.done.send(Err(error.clone()));
                }
            }
        }
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the index did not close cleanly");
    }
}

type Results = Vec<Result<Woken, IndexError>>;

async fn commit(connection: &mut SqliteConnection, group: &[Job]) -> Result<Results, sqlx::Error> {
    let mut all = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut results = Vec::with_capacity(group.len());
    for job in group {
        // A savepoint each: one refused change takes no other with it.
        let mut one = all.begin().await?;
        let result = apply(&mut one, &job.change).await;
        match result {
            Ok(_) => one.commit().await?,
            Err(_) => one.rollback().await?,
        }
        results.push(result);
    }
    all.commit().await?;
    Ok(results)
}

async fn apply(to: &mut SqliteConnection, change: &Change) -> Result<Woken, IndexError> {
    match change {
        Change::Agent(change) => agents::apply(to, change).await,
        Change::Order(change) => orders::apply(to, change).await,
        Change::Upload(change) => uploads::apply(to, change).await,
        Change::Part(change) => parts::apply(to, change).await,
        Change::Leaf(change) => leaves::apply(to, change).await,
        Change::Retention(change) => retention::apply(to, change).await,
        Change::Hold(change) => holds::apply(to, change).await,
        Change::Expiry(change) => expiry::apply(to, change).await,
        Change::LogPiece(change) => log_pieces::apply(to, change).await,
        Change::Import(change) => imports::apply(to, change).await,
        Change::Pending(change) => pending::apply(to, change).await,
    }
}
