//! Legal holds as they were signed, and their liftings.

use evidence::{digest::Digest, ids::HoldId, instant::Instant};
use protocol::hold::{Covers, Hold, HoldRow};
use sqlx::{Row as _, SqliteConnection, query, query_scalar, sqlite::SqliteRow};

use super::{
    Scope,
    columns::{parsed, time, time_or_none, to_ns},
    index::{Index, IndexError, Woken},
};

/// A change of holds.
#[derive(Debug, Clone)]
pub enum Change {
    /// A hold comes, and keeps from now on.
    Place {
        /// What it says.
        hold: Box<Hold>,
        /// Digest of its payload.
        sha256: Digest,
        /// Its envelope.
        envelope: String,
        /// When it came.
        at: Instant,
    },
    /// Its leaf is in the log.
    Logged {
        /// Which.
        hold: HoldId,
        /// The receipt of the leaf.
        receipt: String,
    },
    /// Its lifting comes; it keeps on until that is in the log.
    Lift {
        /// Which.
        hold: HoldId,
        /// The lifting's envelope.
        envelope: String,
        /// When it came.
        at: Instant,
    },
    /// The lifting's leaf is in the log: it keeps nothing more.
    LiftLogged {
        /// Which.
        hold: HoldId,
        /// The receipt of the leaf.
        receipt: String,
    },
}

pub(super) async fn apply(to: &mut SqliteConnection, change: &Change) -> Result<Woken, IndexError> {
    let query = match change {
        Change::Place {
            hold,
            sha256,
            envelope,
            at,
        } => {
            place(to, hold, *sha256, envelope, *at).await?;
            return Ok(Woken::default());
        }
        Change::Logged { hold, receipt } => query("UPDATE holds SET receipt = ?2 WHERE id = ?1")
            .bind(hold.to_string())
            .bind(receipt),
        // The first one counts; another one of the same hold says nothing new.
        Change::Lift { hold, envelope, at } => {
            query("UPDATE holds SET lift = ?2, lifted_ns = ?3 WHERE id = ?1 AND lift IS NULL")
                .bind(hold.to_string())
                .bind(envelope)
                .bind(to_ns(*at))
        }
        Change::LiftLogged { hold, receipt } => {
            query("UPDATE holds SET lift_receipt = ?2 WHERE id = ?1")
                .bind(hold.to_string())
                .bind(receipt)
        }
    };
    query.execute(to).await?;
    Ok(Woken::default())
}

async fn place(
    to: &mut SqliteConnection,
    hold: &Hold,
    sha256: Digest,
    envelope: &str,
    at: Instant,
) -> Result<(), IndexError> {
    let known: Option<String> = query_scalar("SELECT sha256 FROM holds WHERE id = ?")
        .bind(hold.id.to_string())
        .fetch_optional(&mut *to)
        .await?;
    match known {
        Some(known) if known == sha256.to_string() => return Ok(()),
        Some(_) => {
            return Err(IndexError::Conflict(
                "Another hold has this id. Make a new one.",
            ));
        }
        None => {}
    }
    let (kind, subject) = hold.covers.parts();
    query(
        "INSERT INTO holds (id, sha256, agency, kind, subject, envelope, placed_ns) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(hold.id.to_string())
    .bind(sha256.to_string())
    .bind(hold.agency.as_str())
    .bind(kind)
    .bind(subject)
    .bind(envelope)
    .bind(to_ns(at))
    .execute(to)
    .await?;
    Ok(())
}

/// A hold that is not wholly in the log: it, and its lifting where there is one.
#[derive(Debug, Clone)]
pub struct Unlogged {
    /// The hold's envelope.
    pub hold: String,
    /// Whether its own leaf is in the log.
    pub is_logged: bool,
    /// The lifting's envelope.
    pub lift: Option<String>,
}

impl Index {
    /// Every hold of these agencies.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn holds(&self, scope: &Scope) -> Result<Vec<HoldRow>, IndexError> {
        let rows = query(
            "SELECT h.envelope, h.placed_ns, h.receipt, h.lift, h.lifted_ns, h.lift_receipt, \
             (SELECT COUNT(*) FROM kept_by k JOIN collections c ON c.id = k.collection \
             WHERE k.hold = h.id AND c.expired_ns IS NULL) AS collections \
             FROM holds h WHERE h.receipt IS NOT NULL \
             AND h.agency IN (SELECT value FROM json_each(?1)) ORDER BY h.placed_ns DESC, h.id",
        )
        .bind(scope.json())
        .fetch_all(&self.reader)
        .await?;
        let row = |row: &SqliteRow| {
            let is_lifted = row.try_get::<Option<&str>, _>("lift_receipt")?.is_some();
            let lifted = time_or_none(row, "lifted_ns")?.filter(|_| is_lifted);
            let lift: Option<String> = row.try_get("lift")?;
            Ok(HoldRow {
                hold: row.try_get("envelope")?,
                placed: time(row, "placed_ns")?,
                receipt: row.try_get("receipt")?,
                lift: lift.filter(|_| is_lifted),
                lifted,
                collections: row.try_get("collections")?,
            })
        };
        rows.iter().map(row).collect()
    }

    /// The envelope of one hold of these agencies, and of its lifting.
    ///
    /// # Errors
    /// The database failed.
    pub async fn hold(
        &self,
        hold: HoldId,
        scope: &Scope,
    ) -> Result<Option<(String, Option<String>)>, IndexError> {
        let row = query(
            "SELECT envelope, lift FROM holds WHERE id = ?1 \
             AND agency IN (SELECT value FROM json_each(?2))",
        )
        .bind(hold.to_string())
        .bind(scope.json())
        .fetch_optional(&self.reader)
        .await?;
        row.map(|row| Ok((row.try_get("envelope")?, row.try_get("lift")?)))
            .transpose()
    }

    /// Whether what the hold names is there, in its agency, and has not expired; of a case nobody knows.
    ///
    /// # Errors
    /// The database failed.
    pub async fn knows(&self, hold: &Hold) -> Result<bool, IndexError> {
        let question = match hold.covers {
            Covers::Case { .. } => return Ok(true),
            Covers::Order { .. } => {
                "SELECT 1 FROM order_hosts h JOIN agents a ON a.id = h.agent \
                 WHERE h.order_id = ? AND a.agency = ? LIMIT 1"
            }
            Covers::Host { .. } => "SELECT 1 FROM agents WHERE host = ? AND agency = ? LIMIT 1",
            Covers::Collection { .. } => {
                "SELECT 1 FROM fates WHERE id = ? AND agency = ? AND expired_ns IS NULL"
            }
        };
        let found: Option<i64> = query_scalar(question)
            .bind(hold.covers.parts().1)
            .bind(hold.agency.as_str())
            .fetch_optional(&self.reader)
            .await?;
        Ok(found.is_some())
    }

    /// The holds of which a leaf is not in the log yet, the oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn unlogged_holds(&self) -> Result<Vec<Unlogged>, IndexError> {
        let rows = query(
            "SELECT envelope, receipt, lift FROM holds WHERE receipt IS NULL \
             OR (lift IS NOT NULL AND lift_receipt IS NULL) ORDER BY placed_ns",
        )
        .fetch_all(&self.reader)
        .await?;
        let row = |row: &SqliteRow| {
            Ok(Unlogged {
                hold: row.try_get("envelope")?,
                is_logged: row.try_get::<Option<&str>, _>("receipt")?.is_some(),
                lift: row.try_get("lift")?,
            })
        };
        rows.iter().map(row).collect()
    }

    /// The holds that keep a collection now.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub(super) async fn holds_of(&self, collection: &str) -> Result<Vec<HoldId>, IndexError> {
        let rows = query(
            "SELECT hold FROM kept_by WHERE collection = ? AND lift_receipt IS NULL ORDER BY hold",
        )
        .bind(collection)
        .fetch_all(&self.reader)
        .await?;
        rows.iter().map(|row| parsed(row, "hold")).collect()
    }
}
