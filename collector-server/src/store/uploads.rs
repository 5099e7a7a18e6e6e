//! Uploads on their way: what was promised, and how much of it is durable.

use data_encoding::BASE32_NOPAD;
use evidence::{
    digest::Digest,
    ids::{AgentId, CollectionId},
};
use sqlx::{Row as _, SqliteConnection, query, query_scalar, sqlite::SqliteRow};

use super::{
    columns::{parsed, size, sql_size},
    index::{Index, IndexError, Woken},
};

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

impl Upload {
    /// Whether every byte is durable.
    pub fn is_whole(&self) -> bool {
        self.offset_bytes == self.promise.length_bytes
    }
}

/// What all uploads together may take.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Bytes that the whole store may take.
    pub max_store_bytes: u64,
    /// Bytes that the disk can take now, above the floor that stays free.
    pub free_bytes: u64,
    /// Uploads that one agent may have open.
    pub max_open: u32,
    /// Bytes that one agent may have promised and not delivered.
    pub max_promised_bytes: u64,
}

/// A change of uploads.
#[derive(Debug, Clone)]
pub enum Change {
    /// An upload begins, if there is room.
    Begin {
        /// The upload.
        upload: Box<Upload>,
        /// The room.
        room: Room,
    },
    /// So many bytes are durable.
    Advance {
        /// The upload.
        id: UploadId,
        /// Bytes from its start.
        offset_bytes: u64,
    },
    /// The upload is over; what is not kept is forgotten.
    Forget {
        /// The upload.
        id: UploadId,
    },
}

pub(super) async fn apply(to: &mut SqliteConnection, change: &Change) -> Result<Woken, IndexError> {
    let query = match change {
        Change::Begin { upload, room } => {
            begin(to, upload, *room).await?;
            return Ok(Woken::default());
        }
        Change::Advance { id, offset_bytes } => {
            query("UPDATE uploads SET offset_bytes = ?2 WHERE id = ?1 AND kept = 0")
                .bind(id.as_str())
                .bind(sql_size(*offset_bytes)?)
        }
        Change::Forget { id } => query("DELETE FROM uploads WHERE id = ?").bind(id.as_str()),
    };
    query.execute(to).await?;
    Ok(Woken::default())
}

async fn begin(to: &mut SqliteConnection, upload: &Upload, room: Room) -> Result<(), IndexError> {
    let promise = &upload.promise;
    check_owner(to, upload.agent, promise.collection).await?;
    check_expired(to, promise.collection).await?;
    check_own(to, upload, room).await?;
    check_room(to, promise.length_bytes, room).await?;
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

/// One agent's promises leave room for the others'. What has arrived of an upload counts until the part is kept.
async fn check_own(
    to: &mut SqliteConnection,
    upload: &Upload,
    room: Room,
) -> Result<(), IndexError> {
    let row = query(
        "SELECT COUNT(*) AS open, COALESCE(SUM(length_bytes), 0) AS promised FROM uploads \
         WHERE agent = ? AND kept = 0",
    )
    .bind(upload.agent.to_string())
    .fetch_one(to)
    .await?;
    let open: u32 = row.try_get("open")?;
    let promised = size(&row, "promised")?.saturating_add(upload.promise.length_bytes);
    if open >= room.max_open || promised > room.max_promised_bytes {
        return Err(IndexError::TooMany);
    }
    Ok(())
}

/// A collection is one agent's, from its first promise on.
async fn check_owner(
    to: &mut SqliteConnection,
    agent: AgentId,
    collection: CollectionId,
) -> Result<(), IndexError> {
    let other: Option<i64> = query_scalar(
        "SELECT 1 FROM collections WHERE id = ?1 AND agent <> ?2 \
         UNION ALL SELECT 1 FROM uploads WHERE collection = ?1 AND agent <> ?2 LIMIT 1",
    )
    .bind(collection.to_string())
    .bind(agent.to_string())
    .fetch_optional(to)
    .await?;
    match other {
        Some(_) => Err(IndexError::Conflict(
            "The collection is another agent's. Begin a new one.",
        )),
        None => Ok(()),
    }
}

/// Nothing is added to what has expired: it would be kept by nobody's rule.
async fn check_expired(
    to: &mut SqliteConnection,
    collection: CollectionId,
) -> Result<(), IndexError> {
    let expired: Option<i64> =
        query_scalar("SELECT 1 FROM collections WHERE id = ? AND expired_ns IS NOT NULL")
            .bind(collection.to_string())
            .fetch_optional(to)
            .await?;
    match expired {
        Some(_) => Err(IndexError::Conflict(
            "The collection has expired by a rule of retention. Nothing more of it is taken.",
        )),
        None => Ok(()),
    }
}

/// What was promised counts as taken: no upload may run out of room half way.
async fn check_room(to: &mut SqliteConnection, bytes: u64, room: Room) -> Result<(), IndexError> {
    let row = query(
        "SELECT (SELECT COALESCE(SUM(length_bytes), 0) FROM uploads WHERE kept = 0) AS promised, \
         (SELECT COALESCE(SUM(offset_bytes), 0) FROM uploads WHERE kept = 0) AS arrived, \
         (SELECT COALESCE(SUM(size_bytes), 0) FROM parts WHERE gone = 0) AS stored",
    )
    .fetch_one(to)
    .await?;
    let (promised, arrived) = (size(&row, "promised")?, size(&row, "arrived")?);
    let store = size(&row, "stored")?.saturating_add(promised);
    let coming = promised.saturating_sub(arrived);
    if store.saturating_add(bytes) > room.max_store_bytes
        || coming.saturating_add(bytes) > room.free_bytes
    {
        return Err(IndexError::Full);
    }
    Ok(())
}

fn read_id(row: &SqliteRow) -> Result<UploadId, IndexError> {
    UploadId::parse(row.try_get("id")?).ok_or(IndexError::Damaged("upload id"))
}

fn read(row: &SqliteRow) -> Result<Upload, IndexError> {
    Ok(Upload {
        id: read_id(row)?,
        agent: parsed(row, "agent")?,
        promise: Promise {
            collection: parsed(row, "collection")?,
            part: row.try_get("part")?,
            sha256: parsed(row, "sha256")?,
            statement: row.try_get("statement")?,
            length_bytes: size(row, "length_bytes")?,
        },
        offset_bytes: size(row, "offset_bytes")?,
        expires_s: row.try_get("expires_s")?,
        kept: row.try_get("kept")?,
    })
}

impl Index {
    /// One upload.
    ///
    /// # Errors
    /// The database failed or the row is damaged.
    pub async fn upload(&self, id: &UploadId) -> Result<Option<Upload>, IndexError> {
        let row = query(
            "SELECT id, agent, collection, part, sha256, statement, length_bytes, offset_bytes, \
             expires_s, kept FROM uploads WHERE id = ?",
        )
        .bind(id.as_str())
        .fetch_optional(&self.reader)
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// The uploads of one agent that are not complete.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn open_uploads_of(&self, agent: AgentId) -> Result<Vec<UploadId>, IndexError> {
        let rows = query("SELECT id FROM uploads WHERE agent = ? AND kept = 0")
            .bind(agent.to_string())
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(read_id).collect()
    }

    /// The uploads that are not complete; or, with a time, all that ended by then.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn open_uploads(&self, ended_by_s: Option<i64>) -> Result<Vec<UploadId>, IndexError> {
        let rows = query("SELECT id FROM uploads WHERE expires_s <= ?1 AND (kept = 0 OR ?2)")
            .bind(ended_by_s.unwrap_or(i64::MAX))
            .bind(ended_by_s.is_some())
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(read_id).collect()
    }
}
