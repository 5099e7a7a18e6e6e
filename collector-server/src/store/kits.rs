//! Kits: the identities by which they seal.

use evidence::{
    digest::Digest,
    ids::{AgentId, KitId},
};
use protocol::name::Name;
use sqlx::{Row as _, SqliteConnection, query, query_scalar};

use super::{
    columns::parsed,
    index::{Index, IndexError},
};

/// The identity by which a kit seals.
#[derive(Debug, Clone)]
pub struct KitIdentity {
    /// The agent.
    pub agent: AgentId,
    /// Whose hosts it is for.
    pub agency: Name,
    /// Key id of its seal key.
    pub seal_key: Digest,
    /// Certificate and issuing chain, PEM.
    pub chain: String,
    /// The receipt of its leaf, once that is in the log.
    pub certified: Option<String>,
}

/// Two requests for one kit at once make one identity.
pub(super) async fn check_first(to: &mut SqliteConnection, kit: KitId) -> Result<(), IndexError> {
    let other: Option<i64> = query_scalar("SELECT 1 FROM agents WHERE kit = ?")
        .bind(kit.to_string())
        .fetch_optional(to)
        .await?;
    match other {
        Some(_) => Err(IndexError::Conflict(
            "The same kit is being certified already. Ask again.",
        )),
        None => Ok(()),
    }
}

impl Index {
    /// The identity of a kit, also of one whose leaf is not in the log yet.
    ///
    /// # Errors
    /// The database failed or the row is damaged.
    pub async fn kit(&self, kit: KitId) -> Result<Option<KitIdentity>, IndexError> {
        let row = query(
            "SELECT a.id, a.agency, a.enrolment, s.key_sha256, s.chain \
             FROM agents a JOIN seals s ON s.agent = a.id WHERE a.kit = ?",
        )
        .bind(kit.to_string())
        .fetch_optional(&self.reader)
        .await?;
        row.map(|row| {
            Ok(KitIdentity {
                agent: parsed(&row, "id")?,
                agency: parsed(&row, "agency")?,
                seal_key: parsed(&row, "key_sha256")?,
                chain: row.try_get("chain")?,
                certified: row.try_get("enrolment")?,
            })
        })
        .transpose()
    }

    /// Key id of the newest seal key of an agent.
    ///
    /// # Errors
    /// The database failed or the row is damaged.
    pub async fn seal_key(&self, agent: AgentId) -> Result<Option<Digest>, IndexError> {
        let row =
            query("SELECT key_sha256 FROM seals WHERE agent = ? ORDER BY number DESC LIMIT 1")
                .bind(agent.to_string())
                .fetch_optional(&self.reader)
                .await?;
        row.map(|row| parsed(&row, "key_sha256")).transpose()
    }
}
