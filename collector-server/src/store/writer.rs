//! The one task that writes the index: many changes, one commit, one fsync.

use sqlx::{Connection as _, SqliteConnection, query};
use tokio::sync::{mpsc, oneshot};

use super::index::{Change, IndexError, Upload};

/// Changes that share a commit at most.
const GROUP: usize = 256;

/// A change, and who waits for it.
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) done: oneshot::Sender<Result<(), IndexError>>,
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

type Results = Vec<Result<(), IndexError>>;

async fn commit(connection: &mut SqliteConnection, group: &[Job]) -> Result<Results, sqlx::Error> {
    let mut all = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut results = Vec::with_capacity(group.len());
    for job in group {
        // A savepoint each: one refused change takes no other with it.
        let mut one = all.begin().await?;
        let result = apply(&mut one, &job.change).await;
        match result {
            Ok(()) => one.commit().await?,
            Err(_) => one.rollback().await?,
        }
        results.push(result);
    }
    all.commit().await?;
    Ok(results)
}

async fn apply(to: &mut SqliteConnection, change: &Change) -> Result<(), IndexError> {
    let query = match change {
        Change::AddAgent { agent, at_s } => {
            query("INSERT INTO agents (id, enrolled_s) VALUES (?, ?)")
                .bind(agent.to_string())
                .bind(*at_s)
        }
        Change::RevokeAgent { agent, at_s } => {
            query("UPDATE agents SET revoked_s = ?2 WHERE id = ?1 AND revoked_s IS NULL")
                .bind(agent.to_string())
                .bind(*at_s)
        }
        Change::Begin {
            upload,
            max_store_bytes,
            max_open,
        } => {
            return begin(to, upload, *max_store_bytes, *max_open).await;
        }
        Change::Advance { id, offset_bytes } => {
            query("UPDATE uploads SET offset_bytes = ?2 WHERE id = ?1 AND kept = 0")
                .bind(id.as_str())
                .bind(sql_size(*offset_bytes)?)
        }
        Change::Keep { id, at_s } => {
            query(
                "INSERT INTO parts SELECT collection, part, sha256, agent, length_bytes, \
                 statement, ?2 FROM uploads WHERE id = ?1 AND kept = 0 \
                 ON CONFLICT DO NOTHING",
            )
            .bind(id.as_str())
            .bind(*at_s)
            .execute(&mut *to)
            .await?;
            query("UPDATE uploads SET kept = 1, offset_bytes = length_bytes WHERE id = ?")
                .bind(id.as_str())
        }
        Change::Forget { id } => query("DELETE FROM uploads WHERE id = ?").bind(id.as_str()),
    };
    query.execute(to).await?;
    Ok(())
}

async fn begin(
    to: &mut SqliteConnection,
    upload: &Upload,
    max_store_bytes: u64,
    max_open: u32,
) -> Result<(), IndexError> {
    let open: u32 = sqlx::query_scalar("SELECT COUNT(*) FROM uploads WHERE agent = ? AND kept = 0")
        .bind(upload.agent.to_string())
        .fetch_one(&mut *to)
        .await?;
    if open >= max_open {
        return Err(IndexError::TooMany);
    }
    // What was promised counts as taken: no upload may run out of room half way.
    let taken: i64 = sqlx::query_scalar(
        "SELECT (SELECT COALESCE(SUM(length_bytes), 0) FROM uploads WHERE kept = 0) \
         + (SELECT COALESCE(SUM(size_bytes), 0) FROM parts)",
    )
    .fetch_one(&mut *to)
    .await?;
    let promise = &upload.promise;
    if taken.unsigned_abs().saturating_add(promise.length_bytes) > max_store_bytes {
        return Err(IndexError::Full);
    }
    query(
        "INSERT INTO uploads (id, agent, collection, part, sha256, statement, length_bytes, \
         expires_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(upload.id.as_str())
    .bind(upload.agent.to_string())
    .bind(promise.collection.to_string())
    .bind(promise.part)
    .bind(promise.sha256.to_string())
    .bind(&promise.statement)
    .bind(sql_size(promise.length_bytes)?)
    .bind(upload.expires_s)
    .execute(to)
    .await?;
    Ok(())
}

/// SQLite's integers are signed; no size of ours comes near.
fn sql_size(bytes: u64) -> Result<i64, IndexError> {
    i64::try_from(bytes).map_err(|_| IndexError::Full)
}
