//! Retention rules as they were signed: taken in by version, none ever changed.

use evidence::{digest::Digest, instant::Instant};
use protocol::retention::{RetentionRule, RuleRow};
use sqlx::{Row as _, SqliteConnection, query, query_scalar, sqlite::SqliteRow};

use super::{
    Scope,
    columns::{sql_size, time, to_ns},
    index::{Index, IndexError, Woken},
};

/// A rule that was found to hold.
#[derive(Debug, Clone)]
pub struct NewRule {
    /// What it says.
    pub rule: RetentionRule,
    /// Digest of its payload.
    pub sha256: Digest,
    /// Its envelope.
    pub envelope: String,
    /// When it came.
    pub taken: Instant,
}

/// A change of rules.
#[derive(Debug, Clone)]
pub enum Change {
    /// A rule comes, if it is the next of its agency and case.
    Take(Box<NewRule>),
    /// Its leaf is in the log: from now on it counts.
    Logged {
        /// Digest of its payload.
        sha256: Digest,
        /// The receipt of the leaf.
        receipt: String,
    },
}

pub(super) async fn apply(to: &mut SqliteConnection, change: &Change) -> Result<Woken, IndexError> {
    match change {
        Change::Take(new) => take(to, new).await?,
        Change::Logged { sha256, receipt } => {
            query("UPDATE retention_rules SET receipt = ?2 WHERE sha256 = ?1")
                .bind(sha256.to_string())
                .bind(receipt)
                .execute(to)
                .await?;
        }
    }
    Ok(Woken::default())
}

async fn take(to: &mut SqliteConnection, new: &NewRule) -> Result<(), IndexError> {
    let rule = &new.rule;
    let known: Option<i64> = query_scalar("SELECT 1 FROM retention_rules WHERE sha256 = ?")
        .bind(new.sha256.to_string())
        .fetch_optional(&mut *to)
        .await?;
    let newest: i64 = query_scalar(
        "SELECT COALESCE(MAX(version), 0) FROM retention_rules \
         WHERE agency = ? AND COALESCE(reference, '') = COALESCE(?, '')",
    )
    .bind(rule.agency.as_str())
    .bind(&rule.case)
    .fetch_one(&mut *to)
    .await?;
    let version = sql_size(rule.version)?;
    match (known.is_some(), version == newest, version == newest + 1) {
        // The newest once more: its answer was lost.
        (true, true, _) => return Ok(()),
        (false, _, true) => {}
        _ => {
            return Err(IndexError::Conflict(
                "The rule is not the next version for this agency and case. See `fieldseal retention show`, and set it again.",
            ));
        }
    }
    query(
        "INSERT INTO retention_rules (sha256, agency, reference, version, keep_days, envelope, taken_ns) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(new.sha256.to_string())
    .bind(rule.agency.as_str())
    .bind(&rule.case)
    .bind(version)
    .bind(rule.keep_days)
    .bind(&new.envelope)
    .bind(to_ns(new.taken))
    .execute(to)
    .await?;
    Ok(())
}

impl Index {
    /// Every rule of these agencies; something may expire by one `notice_ns` after it came.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn rules(&self, scope: &Scope, notice_ns: i64) -> Result<Vec<RuleRow>, IndexError> {
        let rows = query(
            "SELECT r.envelope, r.taken_ns, r.taken_ns + ?2 AS from_ns, r.receipt, \
             EXISTS (SELECT 1 FROM rules_in_force f WHERE f.sha256 = r.sha256) AS in_force \
             FROM retention_rules r WHERE r.receipt IS NOT NULL \
             AND r.agency IN (SELECT value FROM json_each(?1)) \
             ORDER BY r.agency, r.reference, r.version",
        )
        .bind(scope.json())
        .bind(notice_ns)
        .fetch_all(&self.reader)
        .await?;
        let row = |row: &SqliteRow| {
            Ok(RuleRow {
                rule: row.try_get("envelope")?,
                taken: time(row, "taken_ns")?,
                counts_from: time(row, "from_ns")?,
                in_force: row.try_get("in_force")?,
                receipt: row.try_get("receipt")?,
            })
        };
        rows.iter().map(row).collect()
    }

    /// The envelopes of rules that are not in the log yet.
    ///
    /// # Errors
    /// The database failed.
    pub async fn unlogged_rules(&self) -> Result<Vec<String>, IndexError> {
        let unlogged = "SELECT envelope FROM retention_rules WHERE receipt IS NULL \
                        ORDER BY version";
        Ok(query_scalar(unlogged).fetch_all(&self.reader).await?)
    }
}
