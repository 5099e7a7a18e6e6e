//! One identity on two machines: which starts of an agent were met, and what follows when two of them run at once.
//!
//! A start takes the place of the one before, whose last question may still arrive late, but once only: each start asks
//! one question at a time. So a start that asks twice after another took its place runs beside it.

use evidence::{custody::receipt::Receipt, digest::Digest, ids::AgentId, instant::Instant};
use sqlx::{SqliteConnection, query, query_scalar};

use super::{
    columns::{parsed, parsed_or_none, to_ns},
    index::{Index, IndexError, Woken},
    orders::revise_open,
};

/// Starts of an agent that are remembered.
const REMEMBERED: i64 = 16;
/// How often a start must ask after another took its place.
const LATE_AT_LEAST: i64 = 2;

/// A start of the agent asks for orders and is not the one that asked last.
pub(super) async fn met(
    to: &mut SqliteConnection,
    agent: AgentId,
    instance: &str,
    now: Instant,
) -> Result<Woken, IndexError> {
    let known: Option<i64> = query_scalar(
        "UPDATE instances SET asked_late = asked_late + 1 WHERE agent = ?1 AND instance = ?2 \
         AND number < (SELECT MAX(number) FROM instances WHERE agent = ?1) RETURNING asked_late",
    )
    .bind(agent.to_string())
    .bind(instance)
    .fetch_optional(&mut *to)
    .await?;
    match known {
        Some(late) if late >= LATE_AT_LEAST => retire(to, agent, now).await,
        Some(_) => Ok(Woken::default()),
        None => begin(to, agent, instance).await,
    }
}

/// Notes a new start; one whose question is still open is asked to show itself.
async fn begin(
    to: &mut SqliteConnection,
    agent: AgentId,
    instance: &str,
) -> Result<Woken, IndexError> {
    query("INSERT INTO instances (agent, instance) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(agent.to_string())
        .bind(instance)
        .execute(&mut *to)
        .await?;
    query(
        "DELETE FROM instances WHERE agent = ?1 AND number NOT IN \
         (SELECT number FROM instances WHERE agent = ?1 ORDER BY number DESC LIMIT ?2)",
    )
    .bind(agent.to_string())
    .bind(REMEMBERED)
    .execute(to)
    .await?;
    Ok(Woken {
        agents: vec![agent],
        ..Woken::default()
    })
}

/// The identity is given no more orders; what it had not begun is settled by that.
async fn retire(
    to: &mut SqliteConnection,
    agent: AgentId,
    now: Instant,
) -> Result<Woken, IndexError> {
    let first = query("UPDATE agents SET cloned_ns = ?2 WHERE id = ?1 AND cloned_ns IS NULL")
        .bind(agent.to_string())
        .bind(to_ns(now))
        .execute(&mut *to)
        .await?;
    if first.rows_affected() == 0 {
        return Ok(Woken::default());
    }
    Ok(Woken {
        agents: vec![agent],
        cloned: vec![agent],
        ..revise_open(to, agent).await?
    })
}

/// Two requests for one fork at once make one agent.
pub(super) async fn check_first(
    to: &mut SqliteConnection,
    origin: AgentId,
    seal_key: Digest,
) -> Result<(), IndexError> {
    let other = query(FORK_OF)
        .bind(origin.to_string())
        .bind(seal_key.to_string())
        .fetch_optional(to)
        .await?;
    match other {
        Some(_) => Err(IndexError::Conflict(
            "The same identity is being made already. Ask again.",
        )),
        None => Ok(()),
    }
}

const FORK_OF: &str = "SELECT a.id, a.enrolment FROM agents a JOIN seals s ON s.agent = a.id \
    WHERE a.forked_from = ? AND s.key_sha256 = ?";

impl Index {
    /// Whether `instance` is the start of the agent that was met last.
    ///
    /// # Errors
    /// The database failed.
    pub async fn is_newest_instance(
        &self,
        agent: AgentId,
        instance: &str,
    ) -> Result<bool, IndexError> {
        let newest: Option<String> = query_scalar(
            "SELECT instance FROM instances WHERE agent = ? ORDER BY number DESC LIMIT 1",
        )
        .bind(agent.to_string())
        .fetch_optional(&self.reader)
        .await?;
        Ok(newest.as_deref() == Some(instance))
    }

    /// Whether the agent's identity was met on two machines.
    ///
    /// # Errors
    /// The database failed.
    pub async fn is_cloned(&self, agent: AgentId) -> Result<bool, IndexError> {
        let found: Option<i64> =
            query_scalar("SELECT 1 FROM agents WHERE id = ? AND cloned_ns IS NOT NULL")
                .bind(agent.to_string())
                .fetch_optional(&self.reader)
                .await?;
        Ok(found.is_some())
    }

    /// Every cloned identity.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn cloned(&self) -> Result<Vec<AgentId>, IndexError> {
        let rows = query("SELECT id FROM agents WHERE cloned_ns IS NOT NULL")
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(|row| parsed(row, "id")).collect()
    }

    /// The id of the token that the agent was enrolled by, and the receipt of its enrolment.
    ///
    /// # Errors
    /// The database failed, or the row is damaged.
    pub async fn admission(&self, agent: AgentId) -> Result<(String, Receipt), IndexError> {
        let damaged = || IndexError::Damaged("enrolment");
        let row: (String, Option<String>) =
            sqlx::query_as("SELECT token, enrolment FROM agents WHERE id = ?")
                .bind(agent.to_string())
                .fetch_optional(&self.reader)
                .await?
                .ok_or(IndexError::Missing)?;
        let receipt = Receipt::parse(row.1.ok_or_else(damaged)?.as_bytes());
        Ok((row.0, receipt.map_err(|_| damaged())?))
    }

    /// The agent that came from `origin` with this seal key, and the receipt of its enrolment once there is one.
    ///
    /// # Errors
    /// The database failed or the row is damaged.
    pub async fn fork_of(
        &self,
        origin: AgentId,
        seal_key: Digest,
    ) -> Result<Option<(AgentId, Option<String>)>, IndexError> {
        let row = query(FORK_OF)
            .bind(origin.to_string())
            .bind(seal_key.to_string())
            .fetch_optional(&self.reader)
            .await?;
        row.map(|row| Ok((parsed(&row, "id")?, parsed_or_none(&row, "enrolment")?)))
            .transpose()
    }
}
