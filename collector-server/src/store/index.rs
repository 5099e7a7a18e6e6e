//! The index: SQLite with one writer and many readers.
//!
//! Every change waits for its commit (WAL, synchronous FULL); reads go through
//! read-only connections of their own and never wait for the writer. What the tables
//! hold stands in the files of this folder that are named after them.

use std::{path::Path, sync::Arc, time::Duration};

use evidence::ids::{AgentId, OrderId};
use sqlx::{
    ConnectOptions as _, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    agents, expiry, holds, imports, leaves, log_pieces, orders, parts, pending, retention, uploads,
    writer::{self, Job},
};

/// What can go wrong between us and the database.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IndexError {
    /// The database refused.
    #[error("The index could not be read or written. Check the disk and the file's rights.")]
    Database(#[source] Arc<sqlx::Error>),
    /// The tables could not be brought to this version.
    #[error(
        "The index could not be migrated. Use the program that is at least as new as the data."
    )]
    Migrate(#[source] Arc<sqlx::migrate::MigrateError>),
    /// The writer is gone, because the server ends.
    #[error("The index is closed. Try again when the server runs.")]
    Closed,
    /// The store has no room for so many bytes.
    #[error("The store is full. Free space or raise `max_store_bytes`.")]
    Full,
    /// The agent has too many uploads open, or too many bytes promised.
    #[error("The agent has too much promised. Finish or end an upload first.")]
    TooMany,
    /// There is no such row.
    #[error("There is nothing of that name. Check it.")]
    Missing,
    /// The change contradicts what stands there.
    #[error("{0}")]
    Conflict(&'static str),
    /// A row does not hold what it should.
    #[error("A row of the index is damaged ({0}). Restore the index from its backup.")]
    Damaged(&'static str),
}

impl From<sqlx::Error> for IndexError {
    fn from(source: sqlx::Error) -> Self {
        Self::Database(Arc::new(source))
    }
}

/// One change, durable when its call returns.
#[derive(Debug, Clone)]
pub enum Change {
    /// Of hosts, their keys and tokens.
    Agent(agents::Change),
    /// Of orders and how they fare.
    Order(orders::Change),
    /// Of uploads on their way.
    Upload(uploads::Change),
    /// Of stored parts.
    Part(parts::Change),
    /// Of what is known about the custody log.
    Leaf(leaves::Change),
    /// Of retention rules.
    Retention(retention::Change),
    /// Of legal holds.
    Hold(holds::Change),
    /// Of what has expired.
    Expiry(expiry::Change),
    /// Of pieces of live logs.
    LogPiece(log_pieces::Change),
    /// Of what came by hand.
    Import(imports::Change),
    /// Of hosts that wait to be let in.
    Pending(pending::Change),
}

/// Who is to be told of a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Woken {
    /// Agents for which something may wait.
    pub agents: Vec<AgentId>,
    /// Orders of which the revision grew.
    pub orders: Vec<OrderId>,
    /// Orders of whose live logs there is more.
    pub logs: Vec<OrderId>,
    /// Orders that have stopped by themselves.
    pub halted: Vec<OrderId>,
    /// Agents of which the identity was met on two machines.
    pub cloned: Vec<AgentId>,
}

/// The index; clones share the writer.
#[derive(Clone)]
pub struct Index {
    writer: mpsc::Sender<Job>,
    pub(super) reader: SqlitePool,
}

impl Index {
    /// Opens the file, makes it if it is missing, and brings its tables up to date.
    ///
    /// # Errors
    /// The file can't be opened, or is of a newer program.
    pub async fn open(path: &Path) -> Result<Self, IndexError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let one = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await?;
        let migrated = sqlx::migrate!().run(&one).await;
        migrated.map_err(|e| IndexError::Migrate(Arc::new(e)))?;
        let connection = one.acquire().await?.detach();
        let reader = reader(path, 4).await?;
        let (writer, jobs) = mpsc::channel(1024);
        tokio::spawn(writer::run(connection, jobs));
        Ok(Self { writer, reader })
    }

    /// Opens the file for reading only, beside a server that runs; every change is refused.
    ///
    /// # Errors
    /// The file is missing or can't be read.
    pub async fn open_to_read(path: &Path) -> Result<Self, IndexError> {
        let reader = reader(path, 1).await?;
        let (writer, _) = mpsc::channel(1);
        Ok(Self { writer, reader })
    }

    /// Makes one change; it is on disk when this returns.
    ///
    /// # Errors
    /// The change was refused, or the database failed; nothing of it remains.
    pub async fn change(&self, change: Change) -> Result<Woken, IndexError> {
        let (done, answer) = oneshot::channel();
        let job = Job { change, done };
        self.writer
            .send(job)
            .await
            .map_err(|_| IndexError::Closed)?;
        answer.await.map_err(|_| IndexError::Closed)?
    }
}

async fn reader(path: &Path, connections: u32) -> Result<SqlitePool, IndexError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(Duration::from_secs(10))
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new().max_connections(connections);
    Ok(pool.connect_with(options).await?)
}
