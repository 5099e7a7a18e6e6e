//! Hosts that a token holds until an admin lets them in, and what was said of them.

use evidence::{digest::Digest, instant::Instant};
use protocol::{
    admission::{PendingHost, Verdict},
    enrolment::Token,
};
use sqlx::{Row as _, SqliteConnection, query, query_scalar, sqlite::SqliteRow};

use super::{
    Scope,
    columns::{self, parsed, time, to_ns},
    index::{Index, IndexError, Woken},
};

/// So many hosts of one agency may wait at once.
const AGENCY_MAX: i64 = 10_000;
/// So many may wait by one token, however few it lets in.
const TOKEN_LEAST: u64 = 16;
/// No list is longer.
const ROWS_MAX: i64 = 2_000;

/// A change of hosts that wait.
#[derive(Debug, Clone)]
pub enum Change {
    /// A host asks, perhaps again.
    Ask {
        /// Who, and since when.
        host: Box<PendingHost>,
        /// How often its token may be used.
        uses: u64,
    },
    /// An admin says something of it; it counts once it is in the log.
    Decide {
        /// Of whom.
        seal_key: Digest,
        /// What.
        verdict: Verdict,
        /// The word's envelope.
        envelope: String,
    },
    /// The word's leaf is in the log.
    Logged {
        /// Of whom.
        seal_key: Digest,
        /// The receipt of the leaf.
        receipt: String,
    },
}

/// How a host that was held stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Who it is.
    pub host: PendingHost,
    /// The envelope of the word on it.
    pub envelope: Option<String>,
    /// What was said, once it counts.
    pub verdict: Option<Verdict>,
}

impl Standing {
    /// Whether a word on it is stored, and its leaf not known to be in the log.
    pub fn is_unlogged(&self) -> bool {
        self.envelope.is_some() && self.verdict.is_none()
    }

    /// Whether this is what the token of now would hold: a word on a host is not taken along to another agency.
    pub fn is_of(&self, token: &Token) -> bool {
        self.host.token == token.id && self.host.agency == token.agency
    }
}

pub(super) async fn apply(to: &mut SqliteConnection, change: &Change) -> Result<Woken, IndexError> {
    match change {
        Change::Ask { host, uses } => ask(to, host, *uses).await?,
        Change::Decide {
            seal_key,
            verdict,
            envelope,
        } => {
            let word =
                serde_json::to_string(verdict).map_err(|_| IndexError::Damaged("verdict"))?;
            // The first one counts; another one says nothing new.
            query("UPDATE pending SET verdict = ?2, envelope = ?3 WHERE seal_key = ?1 AND envelope IS NULL")
                .bind(seal_key.to_string())
                .bind(word)
                .bind(envelope)
                .execute(to)
                .await?;
        }
        Change::Logged { seal_key, receipt } => {
            query("UPDATE pending SET receipt = ?2 WHERE seal_key = ?1")
                .bind(seal_key.to_string())
                .bind(receipt)
                .execute(to)
                .await?;
        }
    }
    Ok(Woken::default())
}

async fn ask(to: &mut SqliteConnection, host: &PendingHost, uses: u64) -> Result<(), IndexError> {
    query("DELETE FROM pending WHERE envelope IS NULL AND expires_ns <= ?")
        .bind(to_ns(host.asked))
        .execute(&mut *to)
        .await?;
    let again = query("UPDATE pending SET asked_ns = ?2, address = ?3 WHERE seal_key = ?1")
        .bind(host.seal_key.to_string())
        .bind(to_ns(host.asked))
        .bind(&host.address)
        .execute(&mut *to)
        .await?;
    if again.rows_affected() > 0 {
        return Ok(());
    }
    check_room(to, host, uses).await?;
    let facts = serde_json::to_string(&host.host).map_err(|_| IndexError::Damaged("facts"))?;
    query(
        "INSERT INTO pending (seal_key, token, agency, labels, host, facts, address, since_ns, asked_ns, expires_ns) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(host.seal_key.to_string())
    .bind(&host.token)
    .bind(host.agency.as_str())
    .bind(Scope::of(host.labels.iter().cloned()).json())
    .bind(host.host.id.to_string())
    .bind(facts)
    .bind(&host.address)
    .bind(to_ns(host.since))
    .bind(to_ns(host.asked))
    .bind(to_ns(host.expires))
    .execute(to)
    .await?;
    Ok(())
}

/// Whoever has a token can make as many keys as they like: they fill neither the disk nor the admin's list.
async fn check_room(
    to: &mut SqliteConnection,
    host: &PendingHost,
    uses: u64,
) -> Result<(), IndexError> {
    let (by_token, of_agency): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT COUNT(*) FROM pending WHERE token = ?1 AND envelope IS NULL), \
         (SELECT COUNT(*) FROM pending WHERE agency = ?2 AND envelope IS NULL)",
    )
    .bind(&host.token)
    .bind(host.agency.as_str())
    .fetch_one(to)
    .await?;
    let most = i64::try_from(uses.saturating_mul(2).max(TOKEN_LEAST)).unwrap_or(i64::MAX);
    match by_token < most && of_agency < AGENCY_MAX {
        true => Ok(()),
        false => Err(IndexError::TooMany),
    }
}

fn read(row: &SqliteRow) -> Result<PendingHost, IndexError> {
    Ok(PendingHost {
        seal_key: parsed(row, "seal_key")?,
        agency: parsed(row, "agency")?,
        labels: columns::json(row.try_get("labels")?, "labels")?,
        token: row.try_get("token")?,
        host: columns::json(row.try_get("facts")?, "facts")?,
        address: row.try_get("address")?,
        since: time(row, "since_ns")?,
        asked: time(row, "asked_ns")?,
        expires: time(row, "expires_ns")?,
    })
}

fn standing(row: &SqliteRow) -> Result<Standing, IndexError> {
    let receipt: Option<&str> = row.try_get("receipt")?;
    let verdict: Option<&str> = row.try_get("verdict")?;
    let counts = verdict.filter(|_| receipt.is_some());
    Ok(Standing {
        host: read(row)?,
        envelope: row.try_get("envelope")?,
        verdict: counts.map(|v| columns::json(v, "verdict")).transpose()?,
    })
}

impl Index {
    /// How the host with this seal key stands, for the server's own decisions: whoever answers a person checks its agency.
    ///
    /// # Errors
    /// The database failed or the row is damaged.
    pub async fn standing(&self, seal_key: Digest) -> Result<Option<Standing>, IndexError> {
        let row = query("SELECT * FROM pending WHERE seal_key = ?")
            .bind(seal_key.to_string())
            .fetch_optional(&self.reader)
            .await?;
        row.as_ref().map(standing).transpose()
    }

    /// The hosts within the scope that wait at `now`, who waits longest first: also for their word's leaf.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn pending(
        &self,
        scope: &Scope,
        now: Instant,
    ) -> Result<Vec<PendingHost>, IndexError> {
        let rows = query(
            "SELECT * FROM pending WHERE receipt IS NULL AND expires_ns > ?1 \
             AND agency IN (SELECT value FROM json_each(?2)) ORDER BY since_ns, seal_key LIMIT ?3",
        )
        .bind(to_ns(now))
        .bind(scope.json())
        .bind(ROWS_MAX)
        .fetch_all(&self.reader)
        .await?;
        rows.iter().map(read).collect()
    }

    /// The envelopes of words that are not in the log yet.
    ///
    /// # Errors
    /// The database failed.
    pub async fn unlogged_admissions(&self) -> Result<Vec<String>, IndexError> {
        let unlogged =
            "SELECT envelope FROM pending WHERE envelope IS NOT NULL AND receipt IS NULL";
        Ok(query_scalar(unlogged).fetch_all(&self.reader).await?)
    }
}
