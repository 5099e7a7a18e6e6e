//! What is remembered of the custody log and the policies, so that neither can be put back unseen.

use evidence::digest::Digest;
use sqlx::{Row as _, SqliteConnection, query, query_scalar};

use super::{
    columns,
    index::{Index, IndexError, Woken},
};

/// Checkpoints that are remembered: the more, the narrower the place of a change is named.
const REMEMBERED: i64 = 64;

/// A change of what is remembered.
#[derive(Debug, Clone)]
pub enum Change {
    /// Leaves were appended and a checkpoint was signed over them.
    Record {
        /// The first leaf's number.
        first: u64,
        /// What each is about.
        keys: Vec<String>,
        /// How many leaves the log has now.
        size: u64,
        /// The signed note.
        note: String,
    },
    /// A policy is in force.
    Policy {
        /// Its version.
        version: u64,
        /// Its digest.
        sha256: Digest,
    },
}

pub(super) async fn apply(to: &mut SqliteConnection, change: &Change) -> Result<Woken, IndexError> {
    match change {
        Change::Record {
            first,
            keys,
            size,
            note,
        } => record(to, *first, keys, *size, note).await?,
        Change::Policy { version, sha256 } => {
            query("INSERT INTO policies (version, sha256) VALUES (?, ?) ON CONFLICT DO NOTHING")
                .bind(columns::sql_size(*version)?)
                .bind(sha256.to_string())
                .execute(to)
                .await?;
        }
    }
    Ok(Woken::default())
}

async fn record(
    to: &mut SqliteConnection,
    first: u64,
    keys: &[String],
    size: u64,
    note: &str,
) -> Result<(), IndexError> {
    for (number, key) in (first..).zip(keys) {
        query("INSERT INTO leaves (number, key) VALUES (?, ?)")
            .bind(columns::sql_size(number)?)
            .bind(key)
            .execute(&mut *to)
            .await?;
    }
    query("INSERT INTO checkpoints (size, note) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(columns::sql_size(size)?)
        .bind(note)
        .execute(&mut *to)
        .await?;
    query(
        "DELETE FROM checkpoints WHERE size NOT IN \
         (SELECT size FROM checkpoints ORDER BY size DESC LIMIT ?)",
    )
    .bind(REMEMBERED)
    .execute(to)
    .await?;
    Ok(())
}

impl Index {
    /// How many leaves are recorded.
    ///
    /// # Errors
    /// The database failed.
    pub async fn recorded_leaves(&self) -> Result<u64, IndexError> {
        let next: i64 = query_scalar("SELECT COALESCE(MAX(number) + 1, 0) FROM leaves")
            .fetch_one(&self.reader)
            .await?;
        Ok(next.unsigned_abs())
    }

    /// The number of the leaf that is about `key`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn leaf(&self, key: &str) -> Result<Option<u64>, IndexError> {
        let found: Option<i64> = query_scalar("SELECT number FROM leaves WHERE key = ?")
            .bind(key)
            .fetch_optional(&self.reader)
            .await?;
        Ok(found.map(i64::unsigned_abs))
    }

    /// The remembered notes.
    ///
    /// # Errors
    /// The database failed.
    pub async fn checkpoints(&self) -> Result<Vec<String>, IndexError> {
        let notes = query_scalar("SELECT note FROM checkpoints ORDER BY size")
            .fetch_all(&self.reader)
            .await?;
        Ok(notes)
    }

    /// The newest policy that was ever in force: version and digest.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn newest_policy(&self) -> Result<Option<(u64, Digest)>, IndexError> {
        let newest = "SELECT version, sha256 FROM policies ORDER BY version DESC LIMIT 1";
        let row = query(newest).fetch_optional(&self.reader).await?;
        row.map(|r| {
            let version: i64 = r.try_get("version")?;
            Ok((version.unsigned_abs(), columns::parsed(&r, "sha256")?))
        })
        .transpose()
    }
}
