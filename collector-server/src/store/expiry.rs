//! What expires when, and what has: marked in one change that looks at rules and holds once more, so that a hold that came
//! first wins.

use evidence::{digest::Digest, ids::CollectionId, instant::Instant};
use protocol::retention::{DueRow, Expired};
use sqlx::{Row as _, SqliteConnection, query, query_scalar, sqlite::SqliteRow};

use super::{
    Scope,
    columns::{json, parsed, parsed_or_none, time, time_or_none, to_ns},
    index::{Index, IndexError, Woken},
};

/// A change of what has expired.
#[derive(Debug, Clone)]
pub enum Change {
    /// The collection expires now, if it is due and nothing keeps it.
    Mark {
        /// Which.
        collection: CollectionId,
        /// The time.
        now: Instant,
        /// How long after it came something may expire by a rule.
        notice_ns: i64,
    },
    /// The leaves are in the log.
    Logged {
        /// Which.
        collection: CollectionId,
        /// Their receipts.
        receipts: Vec<String>,
    },
    /// The ciphertext is deleted, as far as nothing else needs it.
    Gone(CollectionId),
    /// What is due was looked for.
    Ran(Instant),
    /// What [`Change::Gone`] did is taken back.
    #[cfg(test)]
    NotGone,
}

/// What is due at a time: the last of its conditions stands in `WHERE`.
macro_rules! due {
    ($select:literal, $and:literal) => {
        concat!(
            $select,
            " FROM fates f JOIN rules_in_force r ON r.sha256 = f.rule \
             WHERE f.expired_ns IS NULL AND f.complete = 1 AND f.uploading = 0 \
             AND r.keep_days IS NOT NULL \
             AND MAX(f.received_ns + r.keep_days * 86400000000000, r.taken_ns + ?2) <= ?1 \
             AND NOT EXISTS (SELECT 1 FROM kept_by k WHERE k.collection = f.id \
             AND k.lift_receipt IS NULL)",
            $and
        )
    };
}

pub(super) async fn apply(to: &mut SqliteConnection, change: &Change) -> Result<Woken, IndexError> {
    let query = match change {
        Change::Mark {
            collection,
            now,
            notice_ns,
        } => {
            mark(to, *collection, *now, *notice_ns).await?;
            return Ok(Woken::default());
        }
        Change::Logged {
            collection,
            receipts,
        } => {
            let receipts = serde_json::to_string(receipts);
            query("UPDATE collections SET expiry_receipts = ?2 WHERE id = ?1")
                .bind(collection.to_string())
                .bind(receipts.map_err(|_| IndexError::Damaged("expiry_receipts"))?)
        }
        Change::Gone(collection) => {
            // What its log said goes with it.
            query("DELETE FROM log_pieces WHERE collection = ?")
                .bind(collection.to_string())
                .execute(&mut *to)
                .await?;
            query("UPDATE parts SET gone = 1 WHERE collection = ?").bind(collection.to_string())
        }
        #[cfg(test)]
        Change::NotGone => query("UPDATE parts SET gone = 0"),
        Change::Ran(at) => query(
            "INSERT INTO expiry_runs (only, ran_ns) VALUES (1, ?1) \
             ON CONFLICT DO UPDATE SET ran_ns = ?1",
        )
        .bind(to_ns(*at)),
    };
    query.execute(to).await?;
    Ok(Woken::default())
}

async fn mark(
    to: &mut SqliteConnection,
    collection: CollectionId,
    now: Instant,
    notice_ns: i64,
) -> Result<(), IndexError> {
    let rule: Option<String> = query_scalar(due!("SELECT f.rule", " AND f.id = ?3"))
        .bind(to_ns(now))
        .bind(notice_ns)
        .bind(collection.to_string())
        .fetch_optional(&mut *to)
        .await?;
    let rule = rule.ok_or(IndexError::Conflict(
        "The collection is not due, or something keeps it.",
    ))?;
    query("UPDATE collections SET expired_ns = ?2, expired_rule = ?3 WHERE id = ?1")
        .bind(collection.to_string())
        .bind(to_ns(now))
        .bind(rule)
        .execute(to)
        .await?;
    Ok(())
}

/// A collection whose expiry is not done to the end.
#[derive(Debug, Clone)]
pub struct Expiring {
    /// Which.
    pub collection: CollectionId,
    /// The rule by which.
    pub rule_sha256: Digest,
    /// Its parts, by number.
    pub parts: Vec<Digest>,
    /// Whether its leaves are in the log.
    pub is_logged: bool,
}

/// The columns of [`read_expired`], of the collection `c` and its rule `x`.
macro_rules! expired_columns {
    () => {
        "c.expired_ns, c.expiry_receipts, x.agency AS rule_agency, x.reference AS rule_case, \
         x.version AS rule_version, x.sha256 AS rule_sha256"
    };
}
/// The rule `x` by which the collection `c` has expired.
macro_rules! expired_by {
    () => {
        "LEFT JOIN retention_rules x ON x.sha256 = c.expired_rule"
    };
}
pub(super) use {expired_by, expired_columns};

/// By which rule a collection has expired, where it has.
pub(super) fn read_expired(row: &SqliteRow) -> Result<Option<Expired>, IndexError> {
    let Some(at) = time_or_none(row, "expired_ns")? else {
        return Ok(None);
    };
    let receipts: Option<&str> = row.try_get("expiry_receipts")?;
    let receipts = receipts.map(|text| json(text, "expiry_receipts"));
    Ok(Some(Expired {
        time: at,
        agency: parsed(row, "rule_agency")?,
        case: row.try_get("rule_case")?,
        version: row.try_get::<i64, _>("rule_version")?.unsigned_abs(),
        rule_sha256: parsed(row, "rule_sha256")?,
        // Marked, and not in the log yet.
        receipts: receipts.transpose()?.unwrap_or_default(),
    }))
}

impl Index {
    /// When each collection within the scope expires, and what keeps it.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn due(&self, scope: &Scope, notice_ns: i64) -> Result<Vec<DueRow>, IndexError> {
        let rows = query(
            "SELECT f.id, f.agent, f.hostname, f.order_id, f.reference, f.complete, f.expired_ns, \
             f.received_ns, f.rule, CASE WHEN f.expired_ns IS NULL THEN \
             MAX(f.received_ns + r.keep_days * 86400000000000, r.taken_ns + ?2) END AS due_ns \
             FROM fates f LEFT JOIN rules_in_force r ON r.sha256 = f.rule \
             WHERE f.agency IN (SELECT value FROM json_each(?1)) \
             ORDER BY due_ns IS NULL, due_ns, f.id",
        )
        .bind(scope.json())
        .bind(notice_ns)
        .fetch_all(&self.reader)
        .await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            found.push(DueRow {
                collection: parsed(row, "id")?,
                agent: parsed(row, "agent")?,
                hostname: row.try_get("hostname")?,
                order: parsed_or_none(row, "order_id")?,
                case: row.try_get("reference")?,
                received: time(row, "received_ns")?,
                complete: row.try_get("complete")?,
                due: time_or_none(row, "due_ns")?,
                rule_sha256: parsed_or_none(row, "rule")?,
                holds: self.holds_of(row.try_get("id")?).await?,
                expired: time_or_none(row, "expired_ns")?,
            });
        }
        Ok(found)
    }

    /// The collections that expire at `now`, as it looks from here.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn due_at(
        &self,
        now: Instant,
        notice_ns: i64,
    ) -> Result<Vec<CollectionId>, IndexError> {
        let rows = query(due!("SELECT f.id", " ORDER BY f.id"))
            .bind(to_ns(now))
            .bind(notice_ns)
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(|row| parsed(row, "id")).collect()
    }

    /// The collections that are marked as expired, and of which a leaf or a deletion is still to come.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn expiring(&self) -> Result<Vec<Expiring>, IndexError> {
        let rows = query(
            "SELECT id, expired_rule, expiry_receipts FROM collections c WHERE expired_ns IS NOT NULL \
             AND EXISTS (SELECT 1 FROM parts WHERE collection = c.id AND gone = 0) ORDER BY id",
        )
        .fetch_all(&self.reader)
        .await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let collection = parsed(row, "id")?;
            let parts = self.parts(collection).await?.into_iter();
            found.push(Expiring {
                collection,
                rule_sha256: parsed(row, "expired_rule")?,
                parts: parts.map(|part| part.stored_sha256).collect(),
                is_logged: row.try_get::<Option<&str>, _>("expiry_receipts")?.is_some(),
            });
        }
        Ok(found)
    }

    /// Whether another collection, or a part on its way, needs the blob.
    ///
    /// # Errors
    /// The database failed.
    pub async fn needs(&self, sha256: Digest) -> Result<bool, IndexError> {
        let found: Option<i64> = query_scalar(
            "SELECT 1 FROM parts p JOIN collections c ON c.id = p.collection \
             WHERE p.sha256 = ?1 AND c.expired_ns IS NULL \
             UNION ALL SELECT 1 FROM uploads WHERE sha256 = ?1 AND kept = 0 LIMIT 1",
        )
        .bind(sha256.to_string())
        .fetch_optional(&self.reader)
        .await?;
        Ok(found.is_some())
    }

    /// Takes back that ciphertext is gone, as a crash before the last step leaves it.
    #[cfg(test)]
    pub(crate) async fn forget_that_it_is_gone(&self) {
        let change = Change::NotGone;
        let changed = self.change(super::index::Change::Expiry(change)).await;
        changed.unwrap();
    }

    /// When what is due was last looked for.
    ///
    /// # Errors
    /// The database failed.
    pub async fn last_expiry_run(&self) -> Result<Option<Instant>, IndexError> {
        let row = query("SELECT ran_ns FROM expiry_runs")
            .fetch_optional(&self.reader)
            .await?;
        row.map(|row| time(&row, "ran_ns")).transpose()
    }
}
