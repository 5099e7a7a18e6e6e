//! What came by hand: collections that a kit made, on which host, and who brought them.

use evidence::{
    ids::{AgentId, CollectionId, HostId, OrderId},
    instant::Instant,
};
use sqlx::{Row as _, SqliteConnection, query, query_scalar};

use super::{
    columns::to_ns,
    index::{Index, IndexError, Woken},
    orders,
};

/// A collection of a kit that is taken in.
#[derive(Debug, Clone)]
pub struct Taken {
    /// What was collected.
    pub collection: CollectionId,
    /// The kit's identity.
    pub agent: AgentId,
    /// The order.
    pub order: OrderId,
    /// On which host.
    pub host: HostId,
    /// Its name, as it says.
    pub hostname: String,
    /// When it came.
    pub at: Instant,
    /// So many collections of the kit are taken in.
    pub uses: u32,
    /// The envelope of the use.
    pub use_envelope: String,
    /// Who brought it, JSON.
    pub record: String,
}

/// A change of what came by hand.
#[derive(Debug, Clone)]
pub enum Change {
    /// A collection is taken in, unless the kit was used too often. The same one twice changes nothing.
    Take(Box<Taken>),
    /// Its leaf is in the log.
    Logged {
        /// The collection.
        collection: CollectionId,
        /// The leaf's receipt.
        receipt: String,
    },
    /// How its order fares by it.
    Count {
        /// The order.
        order: OrderId,
        /// The kit's identity.
        agent: AgentId,
        /// The collection.
        collection: CollectionId,
        /// When.
        at: Instant,
    },
}

pub(super) async fn apply(to: &mut SqliteConnection, change: &Change) -> Result<Woken, IndexError> {
    match change {
        Change::Take(taken) => take(to, taken).await?,
        Change::Logged {
            collection,
            receipt,
        } => {
            query("UPDATE imports SET receipt = ?2 WHERE collection = ?1")
                .bind(collection.to_string())
                .bind(receipt)
                .execute(to)
                .await?;
        }
        Change::Count {
            order,
            agent,
            collection,
            at,
        } => return count(to, (*order, *agent), *collection, *at).await,
    }
    Ok(Woken::default())
}

async fn take(to: &mut SqliteConnection, taken: &Taken) -> Result<(), IndexError> {
    let owner: Option<String> = query_scalar("SELECT agent FROM collections WHERE id = ?")
        .bind(taken.collection.to_string())
        .fetch_optional(&mut *to)
        .await?;
    match owner {
        Some(owner) if owner == taken.agent.to_string() => return Ok(()),
        Some(_) => {
            return Err(IndexError::Conflict(
                "The collection is another's. Find out who gave it this id.",
            ));
        }
        None => {}
    }
    let used: u32 = query_scalar("SELECT COUNT(*) FROM collections WHERE agent = ?")
        .bind(taken.agent.to_string())
        .fetch_one(&mut *to)
        .await?;
    if used >= taken.uses {
        return Err(IndexError::Conflict(
            "The kit was used more often than its order allows. Find out by whom before this one is believed.",
        ));
    }
    query(
        "INSERT INTO collections (id, agent, order_id, begun_ns, host, hostname) \
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(taken.collection.to_string())
    .bind(taken.agent.to_string())
    .bind(taken.order.to_string())
    .bind(to_ns(taken.at))
    .bind(taken.host.to_string())
    .bind(&taken.hostname)
    .execute(&mut *to)
    .await?;
    query("INSERT INTO imports (collection, use_envelope, record) VALUES (?, ?, ?)")
        .bind(taken.collection.to_string())
        .bind(&taken.use_envelope)
        .bind(&taken.record)
        .execute(to)
        .await?;
    Ok(())
}

/// A kit's order is for many hosts by one identity: it is settled where all that came is whole.
async fn count(
    to: &mut SqliteConnection,
    (order, agent): (OrderId, AgentId),
    collection: CollectionId,
    at: Instant,
) -> Result<Woken, IndexError> {
    let row = query(
        "SELECT COUNT(*) AS taken, COUNT(CASE complete WHEN 0 THEN 1 END) AS partial \
         FROM collections WHERE order_id = ? AND agent = ?",
    )
    .bind(order.to_string())
    .bind(agent.to_string())
    .fetch_one(&mut *to)
    .await?;
    let state = match row.try_get::<i64, _>("partial")? {
        0 => "delivered",
        _ => "running",
    };
    let changed = query(
        "UPDATE order_hosts SET answered = 1, collection = ?3, captures = ?4, state = ?5, \
         captured_ns = CASE WHEN captures < ?4 THEN ?6 ELSE captured_ns END \
         WHERE order_id = ?1 AND agent = ?2 AND (captures <> ?4 OR state <> ?5)",
    )
    .bind(order.to_string())
    .bind(agent.to_string())
    .bind(collection.to_string())
    .bind(row.try_get::<i64, _>("taken")?)
    .bind(state)
    .bind(to_ns(at))
    .execute(&mut *to)
    .await?;
    match changed.rows_affected() {
        0 => Ok(Woken::default()),
        _ => orders::revise(to, order, agent).await,
    }
}

impl Index {
    /// Who brought a collection, JSON, as it was written down when it came first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn import_record(&self, of: CollectionId) -> Result<Option<String>, IndexError> {
        let record = query_scalar("SELECT record FROM imports WHERE collection = ?")
            .bind(of.to_string())
            .fetch_optional(&self.reader)
            .await?;
        Ok(record)
    }

    /// Whether the collection's last part and all before it are here.
    ///
    /// # Errors
    /// The database failed.
    pub async fn is_whole(&self, of: CollectionId) -> Result<bool, IndexError> {
        let whole: Option<i64> =
            query_scalar("SELECT 1 FROM collections WHERE id = ? AND complete = 1")
                .bind(of.to_string())
                .fetch_optional(&self.reader)
                .await?;
        Ok(whole.is_some())
    }
}
