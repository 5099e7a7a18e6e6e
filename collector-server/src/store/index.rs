//! The index: agents, uploads on their way, parts kept. SQLite through one writer.
//!
//! Every change waits for its commit (WAL, synchronous FULL); reads go through
//! read-only connections of their own and never wait for the writer.

use std::{path::Path, str::FromStr as _, sync::Arc, time::Duration};

use data_encoding::BASE32_NOPAD;
use evidence::{
    digest::Digest,
    ids::{AgentId, CollectionId},
};
use sqlx::{
    ConnectOptions as _, Row as _, SqlitePool,
    sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
    },
};
use tokio::sync::{mpsc, oneshot};

use super::writer::{self, Job};

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
    /// The agent has too many uploads open.
    #[error("The agent has too many uploads open. Finish or end one first.")]
    TooMany,
    /// A row does not hold what it should.
    #[error("A row of the index is damaged ({0}). Restore the index from its backup.")]
    Damaged(&'static str),
}

impl From<sqlx::Error> for IndexError {
    fn from(source: sqlx::Error) -> Self {
        Self::Database(Arc::new(source))
    }
}

/// The name of one upload: 26 characters of a-z and 2-7, safe in a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UploadId(String);

impl UploadId {
    /// A new random one.
    ///
    /// # Errors
    /// The system's random source does not answer.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()))
    }

    /// The id, if the text is one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |b: u8| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b);
        (text.len() == 26 && text.bytes().all(fits)).then(|| Self(text.to_owned()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an agent promised about a part, before its first byte.
#[derive(Debug, Clone)]
pub struct Promise {
    /// The collection that it belongs to.
    pub collection: CollectionId,
    /// Its number in the collection, from 1.
    pub part: u32,
    /// SHA-256 of the ciphertext.
    pub sha256: Digest,
    /// The signed statement, as it came.
    pub statement: Vec<u8>,
    /// Size of the ciphertext.
    pub length_bytes: u64,
}

/// One upload, as the index knows it.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Its name.
    pub id: UploadId,
    /// Whose it is.
    pub agent: AgentId,
    /// What was promised.
    pub promise: Promise,
    /// Bytes that are durable.
    pub offset_bytes: u64,
    /// When it is dropped if it is not complete.
    pub expires_s: i64,
    /// Whether the part is in the store.
    pub kept: bool,
}

/// One change, durable when its call returns.
#[derive(Debug, Clone)]
pub enum Change {
    /// An agent was enrolled.
    AddAgent {
        /// Who.
        agent: AgentId,
        /// When.
        at_s: i64,
    },
    /// An agent may do nothing more.
    RevokeAgent {
        /// Who.
        agent: AgentId,
        /// When.
        at_s: i64,
    },
    /// An upload begins, if there is room.
    Begin {
        /// The upload.
        upload: Box<Upload>,
        /// Bytes that the whole store may take.
        max_store_bytes: u64,
        /// Uploads that one agent may have open.
        max_open: u32,
    },
    /// So many bytes are durable.
    Advance {
        /// The upload.
        id: UploadId,
        /// Bytes from its start.
        offset_bytes: u64,
    },
    /// The upload's blob is in the store: the part is kept.
    Keep {
        /// The upload.
        id: UploadId,
        /// When.
        at_s: i64,
    },
    /// The upload is over; what is not kept is forgotten.
    Forget {
        /// The upload.
        id: UploadId,
    },
}

/// The index; clones share the writer.
#[derive(Clone)]
pub struct Index {
    writer: mpsc::Sender<Job>,
    reader: SqlitePool,
}

const UPLOAD: &str = "SELECT id, agent, collection, part, sha256, statement, length_bytes, \
                      offset_bytes, expires_s, kept FROM uploads WHERE id = ?";

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
        let reading = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(Duration::from_secs(10))
            .disable_statement_logging();
        let reader = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(reading)
            .await?;
        let (writer, jobs) = mpsc::channel(1024);
        tokio::spawn(writer::run(connection, jobs));
        Ok(Self { writer, reader })
    }

    /// Makes one change; it is on disk when this returns.
    ///
    /// # Errors
    /// The change was refused, or the database failed; nothing of it remains.
    pub async fn change(&self, change: Change) -> Result<(), IndexError> {
        let (done, answer) = oneshot::channel();
        let job = Job { change, done };
        self.writer
            .send(job)
            .await
            .map_err(|_| IndexError::Closed)?;
        answer.await.map_err(|_| IndexError::Closed)?
    }

    /// Whether the agent is enrolled and not revoked.
    ///
    /// # Errors
    /// The database failed.
    pub async fn agent_is_active(&self, agent: AgentId) -> Result<bool, IndexError> {
        let row = sqlx::query("SELECT 1 FROM agents WHERE id = ? AND revoked_s IS NULL")
            .bind(agent.to_string())
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.is_some())
    }

    /// One upload.
    ///
    /// # Errors
    /// The database failed or the row is damaged.
    pub async fn upload(&self, id: &UploadId) -> Result<Option<Upload>, IndexError> {
        let row = sqlx::query(UPLOAD)
            .bind(id.as_str())
            .fetch_optional(&self.reader)
            .await?;
        row.as_ref().map(read_upload).transpose()
    }

    /// The uploads that are not complete; or, with a time, all that ended by then.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn open_uploads(&self, ended_by_s: Option<i64>) -> Result<Vec<UploadId>, IndexError> {
        let rows = sqlx::query("SELECT id FROM uploads WHERE expires_s <= ?1 AND (kept = 0 OR ?2)")
            .bind(ended_by_s.unwrap_or(i64::MAX))
            .bind(ended_by_s.is_some())
            .fetch_all(&self.reader)
            .await?;
        let id = |r: &SqliteRow| UploadId::parse(r.get(0)).ok_or(IndexError::Damaged("upload id"));
        rows.iter().map(id).collect()
    }

    /// The parts of a collection: number, digest and size, in order.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn parts(&self, of: CollectionId) -> Result<Vec<(u32, Digest, u64)>, IndexError> {
        let rows = sqlx::query(
            "SELECT part, sha256, size_bytes FROM parts WHERE collection = ? ORDER BY part, sha256",
        )
        .bind(of.to_string())
        .fetch_all(&self.reader)
        .await?;
        rows.iter()
            .map(|r| {
                Ok((
                    r.get(0),
                    digest(r.get(1))?,
                    r.get::<i64, _>(2).unsigned_abs(),
                ))
            })
            .collect()
    }
}

fn digest(text: &str) -> Result<Digest, IndexError> {
    Digest::from_str(text).map_err(|_| IndexError::Damaged("digest"))
}

fn read_upload(row: &SqliteRow) -> Result<Upload, IndexError> {
    let bytes = |name| row.get::<i64, _>(name).unsigned_abs();
    Ok(Upload {
        id: UploadId::parse(row.get("id")).ok_or(IndexError::Damaged("upload id"))?,
        agent: row
            .get::<&str, _>("agent")
            .parse()
            .map_err(|_| IndexError::Damaged("agent id"))?,
        promise: Promise {
            collection: row
                .get::<&str, _>("collection")
                .parse()
                .map_err(|_| IndexError::Damaged("collection id"))?,
            part: row.get("part"),
            sha256: digest(row.get("sha256"))?,
            statement: row.get("statement"),
            length_bytes: bytes("length_bytes"),
        },
        offset_bytes: bytes("offset_bytes"),
        expires_s: row.get("expires_s"),
        kept: row.get("kept"),
    })
}
