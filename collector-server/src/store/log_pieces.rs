//! Pieces of live logs: few, small, and for a while; what nobody looked at in time is in the archive all the same.

use std::time::Duration;

use evidence::{
    digest::Digest,
    ids::{AgentId, CollectionId, OrderId},
    instant::Instant,
};
use sqlx::{Row as _, SqliteConnection, query, sqlite::SqliteRow};

use super::{
    Scope,
    columns::{parsed, parsed_or_none, to_ns},
    index::{Index, IndexError, Woken},
};

/// So many pieces of a collection are kept, the newest.
pub const MAX_PIECES: u32 = 128;
/// So many bytes of all together are kept past a sweep, the newest.
const MAX_BYTES: i64 = 256 << 20;
const DAY: Duration = Duration::from_secs(86_400);

/// A piece that came.
#[derive(Debug, Clone)]
pub struct NewPiece {
    /// Who sent it.
    pub agent: AgentId,
    /// The digest of the order's payload.
    pub order_digest: Digest,
    /// The collection.
    pub collection: CollectionId,
    /// Which attempt at it.
    pub attempt: u32,
    /// Its number in the attempt.
    pub piece: u32,
    /// Its document's envelope, as it came.
    pub envelope: String,
    /// Its encrypted content.
    pub content: Vec<u8>,
    /// When it came.
    pub received: Instant,
}

/// A piece, as it is handed out.
#[derive(Debug, Clone)]
pub struct KeptPiece {
    /// Where it stands among all.
    pub number: u64,
    /// Who sent it.
    pub agent: AgentId,
    /// The host's name, as it says.
    pub hostname: String,
    /// The collection.
    pub collection: CollectionId,
    /// Its document's envelope.
    pub envelope: String,
    /// Its encrypted content.
    pub content: Vec<u8>,
}

/// A change of pieces.
#[derive(Debug, Clone)]
pub enum Change {
    /// A piece came. The same number twice counts once.
    Keep(Box<NewPiece>),
    /// What is old goes.
    Sweep {
        /// The time now.
        now: Instant,
    },
}

pub(super) async fn apply(to: &mut SqliteConnection, change: &Change) -> Result<Woken, IndexError> {
    match change {
        Change::Keep(new) => keep(to, new).await,
        Change::Sweep { now } => sweep(to, *now).await,
    }
}

async fn keep(to: &mut SqliteConnection, new: &NewPiece) -> Result<Woken, IndexError> {
    let order = order_of(to, new).await?;
    let kept = query(
        "INSERT INTO log_pieces (order_id, agent, collection, attempt, piece, envelope, content, \
         size_bytes, received_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (agent, collection, attempt, piece) DO NOTHING",
    )
    .bind(order.to_string())
    .bind(new.agent.to_string())
    .bind(new.collection.to_string())
    .bind(new.attempt)
    .bind(new.piece)
    .bind(&new.envelope)
    .bind(&new.content)
    .bind(i64::try_from(new.content.len()).map_err(|_| IndexError::Full)?)
    .bind(to_ns(new.received))
    .execute(&mut *to)
    .await?;
    if kept.rows_affected() == 0 {
        return Ok(Woken::default());
    }
    query(
        "DELETE FROM log_pieces WHERE agent = ?1 AND collection = ?2 AND number <= \
         (SELECT number FROM log_pieces WHERE agent = ?1 AND collection = ?2 \
         ORDER BY number DESC LIMIT 1 OFFSET ?3)",
    )
    .bind(new.agent.to_string())
    .bind(new.collection.to_string())
    .bind(MAX_PIECES)
    .execute(to)
    .await?;
    Ok(Woken {
        logs: vec![order],
        ..Woken::default()
    })
}

/// The order that the agent was handed and that has become this collection, or may.
async fn order_of(to: &mut SqliteConnection, new: &NewPiece) -> Result<OrderId, IndexError> {
    let row = query(
        "SELECT o.id, h.collection FROM orders o JOIN order_hosts h ON h.order_id = o.id \
         WHERE o.sha256 = ? AND h.agent = ? AND (h.handed_ns IS NOT NULL OR h.answered = 1)",
    )
    .bind(new.order_digest.to_string())
    .bind(new.agent.to_string())
    .fetch_optional(to)
    .await?
    .ok_or(IndexError::Missing)?;
    let collection: Option<CollectionId> = parsed_or_none(&row, "collection")?;
    // It may come before the word that the order was accepted.
    if collection.is_some_and(|known| known != new.collection) {
        let why = "The order has become another collection on this host.";
        return Err(IndexError::Conflict(why));
    }
    parsed(&row, "id")
}

async fn sweep(to: &mut SqliteConnection, now: Instant) -> Result<Woken, IndexError> {
    let ago = |days: u32| {
        let ns = i64::try_from((DAY * days).as_nanos()).unwrap_or(i64::MAX);
        to_ns(now).saturating_sub(ns)
    };
    query(
        "DELETE FROM log_pieces WHERE received_ns < ?1 OR received_ns < ?2 AND EXISTS \
         (SELECT 1 FROM collections c WHERE c.id = log_pieces.collection AND c.complete = 1)",
    )
    .bind(ago(30))
    .bind(ago(7))
    .execute(&mut *to)
    .await?;
    query(
        "DELETE FROM log_pieces WHERE number IN (SELECT number FROM (SELECT number, \
         SUM(size_bytes) OVER (ORDER BY number DESC) AS newer FROM log_pieces) WHERE newer > ?)",
    )
    .bind(MAX_BYTES)
    .execute(to)
    .await?;
    Ok(Woken::default())
}

impl Index {
    /// Pieces of an order within the scope, of one agent or all, in the order in which they came, from the one after
    /// `after` on.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn log_pieces(
        &self,
        scope: &Scope,
        (order, agent): (OrderId, Option<AgentId>),
        after: u64,
        most: u32,
    ) -> Result<Vec<KeptPiece>, IndexError> {
        let rows = query(
            "SELECT p.number, p.agent, a.hostname, p.collection, p.envelope, p.content \
             FROM log_pieces p JOIN agents a ON a.id = p.agent \
             WHERE p.order_id = ?1 AND p.number > ?2 AND (?3 IS NULL OR p.agent = ?3) \
             AND a.agency IN (SELECT value FROM json_each(?4)) ORDER BY p.number LIMIT ?5",
        )
        .bind(order.to_string())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(agent.map(|a| a.to_string()))
        .bind(scope.json())
        .bind(most)
        .fetch_all(&self.reader)
        .await?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &SqliteRow) -> Result<KeptPiece, IndexError> {
    Ok(KeptPiece {
        number: row.try_get::<i64, _>("number")?.unsigned_abs(),
        agent: parsed(row, "agent")?,
        hostname: row.try_get("hostname")?,
        collection: parsed(row, "collection")?,
        envelope: row.try_get("envelope")?,
        content: row.try_get("content")?,
    })
}
