//! Orders, and how each fares on each of its hosts.

mod changes;

use evidence::{
    digest::Digest,
    ids::{AgentId, CollectionId, OrderId},
    instant::Instant,
};
use protocol::{
    messages::{Captures, HandedOrder, HostState, OrderHost, OrderRow, Progress, Totals},
    name::Name,
    target::TargetProof,
};
use sqlx::{Row as _, query, query_scalar, sqlite::SqliteRow};

use super::{
    Scope,
    columns::{self, from_ns, parsed, parsed_or_none, time, time_or_none, to_ns},
    index::{Index, IndexError},
};

pub use changes::more_signatures;
pub(super) use changes::{apply, revise, revise_open};

/// An order that was taken in.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// The order.
    pub order: OrderId,
    /// Digest of its payload.
    pub sha256: Digest,
    /// Its envelope.
    pub envelope: String,
    /// Who asked.
    pub requester: Name,
    /// The case.
    pub case: String,
    /// When it was taken in.
    pub submitted: Instant,
    /// When it may begin.
    pub begins: Instant,
    /// When it ends.
    pub expires: Instant,
    /// Whether later hosts join.
    pub open: bool,
    /// The digest of the order that it continues.
    pub predecessor: Option<Digest>,
    /// So many hosts get it in a minute; 0 all at once.
    pub hosts_per_minute: u32,
    /// Past which share of failed hosts it stops by itself; 0 never.
    pub stop_percent: u8,
    /// The state of a host that holds it, where it makes many collections.
    pub recurrence: Option<&'static str>,
    /// The hosts on its list.
    pub hosts: Vec<NewHost>,
}

/// A host on a new order's list.
#[derive(Debug, Clone)]
pub struct NewHost {
    /// The agent.
    pub agent: AgentId,
    /// The proof that it is on the list.
    pub proof: TargetProof,
    /// How long after the others' first it is handed the order.
    pub delay_ns: i64,
}

/// What an agent said of an order that it has.
#[derive(Debug, Clone)]
pub enum Said {
    /// It begins, or goes on.
    Accepted(CollectionId),
    /// How far it is.
    Progress(CollectionId, Progress),
    /// The last part is sealed.
    Ended(CollectionId, Option<String>),
    /// It keeps the cancellation.
    CancelHeld,
    /// It holds an order that makes many collections.
    Held,
    /// A capture of such an order begins.
    Capturing {
        /// The collection.
        collection: CollectionId,
        /// Which one it is.
        number: u32,
        /// When this was heard.
        at: Instant,
    },
    /// No more captures come.
    Over(String),
    /// A copy of it is not obeyed.
    Refused {
        /// The notice's envelope.
        notice: String,
        /// The digest of the copy.
        handed: Digest,
    },
}

/// A change of orders.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new order. The same one twice changes nothing; the same one with more signatures takes those in.
    Submit(Box<NewOrder>),
    /// More people have signed an order that is here.
    Sign {
        /// The order.
        order: OrderId,
        /// Its envelope.
        envelope: String,
    },
    /// Enough people have signed it: its hosts' delays run from here on.
    Release {
        /// The order.
        order: OrderId,
        /// When.
        at: Instant,
    },
    /// An agent is handed orders.
    Handed {
        /// Who.
        agent: AgentId,
        /// Which.
        orders: Vec<OrderId>,
        /// When.
        at: Instant,
    },
    /// An order's time is up: those who follow it hear of it.
    Lapsed(OrderId),
    /// Somebody stopped an order, on hosts of these agencies that hold no earlier cancellation.
    Cancel {
        /// The order.
        order: OrderId,
        /// The cancellation's envelope.
        cancel: String,
        /// The agencies for which its signer may speak.
        agencies: Scope,
    },
    /// A host joins an open order.
    Join {
        /// The order.
        order: OrderId,
        /// The host's agent.
        agent: AgentId,
    },
    /// An agent reports.
    Said {
        /// The order.
        order: OrderId,
        /// Who.
        agent: AgentId,
        /// What.
        said: Said,
    },
}

/// An order that may be handed to an agent.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The order.
    pub order: OrderId,
    /// What the agent is handed: its envelope, and the proof that the agent is on its list, where it is.
    pub handed: HandedOrder,
    /// When it may begin.
    pub begins: Instant,
    /// Since when enough people have signed it, where that is known.
    pub released: Option<Instant>,
    /// How long after that this host is handed it.
    pub delay_ns: i64,
    /// Whether it was handed to this host before.
    pub is_handed: bool,
}

impl Waiting {
    /// When this host is handed the order, if it is released at `now` at the latest.
    pub fn due(&self, now: Instant) -> Instant {
        let released = self.released.unwrap_or(now);
        from_ns(to_ns(released).saturating_add(self.delay_ns)).max(self.begins)
    }
}

/// An order as it is handed to one agent, and what the agent has said to it.
#[derive(Debug, Clone)]
pub struct Handed {
    /// The order.
    pub order: OrderId,
    /// What the agent is handed.
    pub handed: HandedOrder,
    /// Whether the agent has accepted or refused it.
    pub is_answered: bool,
    /// Whether some refusal is kept.
    pub has_refusal: bool,
}

/// An order whole.
#[derive(Debug, Clone)]
pub struct FullOrder {
    /// Grows with every change.
    pub revision: u64,
    /// Its envelope.
    pub envelope: String,
    /// The envelope of its cancellation, where it was cancelled.
    pub cancel: Option<String>,
    /// Why it stopped by itself, where it did.
    pub halted: Option<String>,
    /// Over all of its hosts within the asker's scope.
    pub totals: Totals,
    /// How it fares on the hosts within the asker's scope that changed since the revision asked for.
    pub hosts: Vec<OrderHost>,
}

/// Where an order (`o`) stands on a host (`h`, of the agent `a`) at the time `?1`, as text: `waiting` is told apart.
macro_rules! standing {
    () => {
        "CASE WHEN a.revoked_ns IS NOT NULL \
         AND h.state IN ('waiting', 'running', 'standing', 'watching') THEN 'removed' \
         WHEN a.cloned_ns IS NOT NULL AND h.state IN ('standing', 'watching') THEN 'cloned' \
         WHEN h.state IN ('standing', 'watching') THEN \
         CASE WHEN h.over_why IS NULL AND h.cancel_held = 0 AND o.expires_ns > ?1 \
         THEN CASE WHEN h.cancel IS NULL THEN h.state ELSE 'cancelling' END \
         WHEN h.captures = 0 AND h.cancel_held = 1 THEN 'cancelled' \
         WHEN h.collection IS NULL OR EXISTS (SELECT 1 FROM collections w \
         WHERE w.id = h.collection AND w.complete = 1) THEN 'delivered' ELSE 'running' END \
         WHEN h.state <> 'waiting' THEN h.state \
         WHEN a.cloned_ns IS NOT NULL THEN 'cloned' \
         WHEN h.cancel IS NOT NULL AND (h.cancel_held = 1 OR h.handed_ns IS NULL) THEN 'cancelled' \
         WHEN o.expires_ns <= ?1 THEN 'expired' \
         WHEN h.cancel IS NOT NULL THEN 'cancelling' \
         WHEN o.halted IS NOT NULL AND h.handed_ns IS NULL THEN 'halted' \
         ELSE 'waiting' END"
    };
}

fn state_of(text: &str) -> Result<HostState, IndexError> {
    Ok(match text {
        "waiting" => HostState::Waiting,
        "cancelling" => HostState::Cancelling,
        "cancelled" => HostState::Cancelled,
        "halted" => HostState::Halted,
        "removed" => HostState::Removed,
        "cloned" => HostState::Cloned,
        "expired" => HostState::Expired,
        "standing" => HostState::Standing,
        "watching" => HostState::Watching,
        "running" => HostState::Running,
        "delivered" => HostState::Delivered,
        "refused" => HostState::Refused,
        _ => return Err(IndexError::Damaged("state")),
    })
}

fn read_handed(row: &SqliteRow) -> Result<HandedOrder, IndexError> {
    let proof: Option<&str> = row.try_get("proof")?;
    Ok(HandedOrder {
        order: row.try_get("envelope")?,
        proof: proof.map(|p| columns::json(p, "proof")).transpose()?,
    })
}

fn read_waiting(row: &SqliteRow) -> Result<Waiting, IndexError> {
    Ok(Waiting {
        order: parsed(row, "id")?,
        handed: read_handed(row)?,
        begins: time(row, "begins_ns")?,
        released: time_or_none(row, "released_ns")?,
        delay_ns: row.try_get("delay_ns")?,
        is_handed: row.try_get::<Option<i64>, _>("handed_ns")?.is_some(),
    })
}

fn read_host(row: &SqliteRow) -> Result<OrderHost, IndexError> {
    let progress: Option<&str> = row.try_get("progress")?;
    Ok(OrderHost {
        agent: parsed(row, "agent")?,
        hostname: row.try_get("hostname")?,
        state: state_of(row.try_get("state")?)?,
        collection: parsed_or_none(row, "collection")?,
        progress: progress.map(|p| columns::json(p, "progress")).transpose()?,
        refusal: row.try_get("refusal")?,
        ended_early: row.try_get("ended_early")?,
        parts_received: row.try_get("parts")?,
        captures: read_captures(row)?,
    })
}

fn read_captures(row: &SqliteRow) -> Result<Option<Captures>, IndexError> {
    let recurs: bool = row.try_get("recurs")?;
    let captures = || {
        Ok(Captures {
            begun: row.try_get("captures")?,
            delivered: row.try_get("whole")?,
            newest: time_or_none(row, "captured_ns")?,
            over: row.try_get("over_why")?,
        })
    };
    recurs.then(captures).transpose()
}

fn read_row(row: &SqliteRow) -> Result<OrderRow, IndexError> {
    Ok(OrderRow {
        order: parsed(row, "id")?,
        case: row.try_get("reference")?,
        requester: parsed(row, "requester")?,
        submitted: time(row, "submitted_ns")?,
        expires: time(row, "expires_ns")?,
        hosts: row.try_get("hosts")?,
        settled: row.try_get("settled")?,
        cancelled: row.try_get("cancelled")?,
        halted: row.try_get("halted")?,
        order_sha256: parsed(row, "sha256")?,
        predecessor: parsed_or_none(row, "predecessor")?,
        // Depends on the policy in force: told by who knows it.
        lacking: 0,
    })
}

impl Index {
    /// The orders that the agent has not answered and that have not ended, the oldest first.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn waiting(&self, agent: AgentId, now: Instant) -> Result<Vec<Waiting>, IndexError> {
        let rows = query(
            "SELECT o.id, o.envelope, o.begins_ns, o.released_ns, h.delay_ns, h.handed_ns, h.proof \
             FROM order_hosts h JOIN orders o ON o.id = h.order_id \
             WHERE h.agent = ? AND h.answered = 0 AND o.expires_ns > ? AND h.cancel IS NULL \
             AND (o.halted IS NULL OR h.handed_ns IS NOT NULL) ORDER BY o.submitted_ns",
        )
        .bind(agent.to_string())
        .bind(to_ns(now))
        .fetch_all(&self.reader)
        .await?;
        rows.iter().map(read_waiting).collect()
    }

    /// Cancellations of orders that the agent may still act on, and that it has not said to keep.
    ///
    /// # Errors
    /// The database failed.
    pub async fn cancels(&self, agent: AgentId, now: Instant) -> Result<Vec<String>, IndexError> {
        Ok(query_scalar(
            "SELECT h.cancel FROM orders o JOIN order_hosts h ON h.order_id = o.id \
             WHERE h.cancel IS NOT NULL AND h.agent = ? AND h.cancel_held = 0 \
             AND (h.state IN ('running', 'standing', 'watching') \
             OR h.state = 'waiting' AND o.expires_ns > ?) \
             ORDER BY o.submitted_ns",
        )
        .bind(agent.to_string())
        .bind(to_ns(now))
        .fetch_all(&self.reader)
        .await?)
    }

    /// The cancellation of an order on one agent, where there is one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn cancel_of(
        &self,
        order: OrderId,
        agent: AgentId,
    ) -> Result<Option<String>, IndexError> {
        let cancel: Option<Option<String>> = query_scalar(
            "SELECT COALESCE(h.cancel, o.cancel) FROM orders o \
             JOIN order_hosts h ON h.order_id = o.id WHERE o.id = ? AND h.agent = ?",
        )
        .bind(order.to_string())
        .bind(agent.to_string())
        .fetch_optional(&self.reader)
        .await?;
        Ok(cancel.flatten())
    }

    /// Open orders that have not ended and that the agent is not part of.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn joinable(&self, agent: AgentId, now: Instant) -> Result<Vec<Waiting>, IndexError> {
        let rows = query(
            "SELECT id, envelope, begins_ns, released_ns, 0 AS delay_ns, NULL AS handed_ns, NULL AS proof FROM orders \
             WHERE open = 1 AND expires_ns > ?2 AND cancel IS NULL AND halted IS NULL AND NOT EXISTS \
             (SELECT 1 FROM order_hosts WHERE order_id = orders.id AND agent = ?1)",
        )
        .bind(agent.to_string())
        .bind(to_ns(now))
        .fetch_all(&self.reader)
        .await?;
        rows.iter().map(read_waiting).collect()
    }

    /// The order of which the payload has this digest, if it was for this agent.
    ///
    /// # Errors
    /// The database failed or the row is damaged.
    pub async fn handed(
        &self,
        agent: AgentId,
        sha256: Digest,
    ) -> Result<Option<Handed>, IndexError> {
        let row = query(
            "SELECT o.id, o.envelope, h.proof, h.answered, h.refusal IS NOT NULL AS has_refusal \
             FROM orders o JOIN order_hosts h ON h.order_id = o.id \
             WHERE o.sha256 = ? AND h.agent = ?",
        )
        .bind(sha256.to_string())
        .bind(agent.to_string())
        .fetch_optional(&self.reader)
        .await?;
        row.map(|r| {
            Ok(Handed {
                order: parsed(&r, "id")?,
                handed: read_handed(&r)?,
                is_answered: r.try_get("answered")?,
                has_refusal: r.try_get("has_refusal")?,
            })
        })
        .transpose()
    }

    /// The agencies within the scope of the hosts that an order is for.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn agencies_of(
        &self,
        order: OrderId,
        scope: &Scope,
    ) -> Result<Vec<Name>, IndexError> {
        let rows = query(
            "SELECT DISTINCT a.agency FROM order_hosts h JOIN agents a ON a.id = h.agent \
             WHERE h.order_id = ? AND a.agency IN (SELECT value FROM json_each(?))",
        )
        .bind(order.to_string())
        .bind(scope.json())
        .fetch_all(&self.reader)
        .await?;
        rows.iter().map(|row| parsed(row, "agency")).collect()
    }

    /// Whether the order has hosts of agencies outside the scope.
    ///
    /// # Errors
    /// The database failed.
    pub async fn reaches_beyond(&self, order: OrderId, scope: &Scope) -> Result<bool, IndexError> {
        let found: Option<i64> = query_scalar(
            "SELECT 1 FROM order_hosts h JOIN agents a ON a.id = h.agent WHERE h.order_id = ? \
             AND a.agency NOT IN (SELECT value FROM json_each(?)) LIMIT 1",
        )
        .bind(order.to_string())
        .bind(scope.json())
        .fetch_optional(&self.reader)
        .await?;
        Ok(found.is_some())
    }

    /// The digest of an order's payload.
    ///
    /// # Errors
    /// The database failed or the row is damaged.
    pub async fn order_digest(&self, order: OrderId) -> Result<Option<Digest>, IndexError> {
        let row = query("SELECT sha256 FROM orders WHERE id = ?")
            .bind(order.to_string())
            .fetch_optional(&self.reader)
            .await?;
        row.map(|row| parsed(&row, "sha256")).transpose()
    }

    /// Orders whose time is up, and of which that was not noted yet, with their payloads' digests; some of them where
    /// there are many.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn lapsed(&self, now: Instant) -> Result<Vec<(OrderId, Digest)>, IndexError> {
        let rows = query(
            "SELECT id, sha256 FROM orders WHERE expiry_told = 0 AND expires_ns <= ? \
             ORDER BY expires_ns LIMIT 1000",
        )
        .bind(to_ns(now))
        .fetch_all(&self.reader)
        .await?;
        let named = |row| Ok((parsed(row, "id")?, parsed(row, "sha256")?));
        rows.iter().map(named).collect()
    }

    /// Orders that have stopped by themselves.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn halted(&self) -> Result<Vec<OrderId>, IndexError> {
        let rows = query("SELECT id FROM orders WHERE halted IS NOT NULL")
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(|row| parsed(row, "id")).collect()
    }

    /// The envelope of the order that has this id and this digest.
    ///
    /// # Errors
    /// The database failed.
    pub async fn envelope(
        &self,
        order: OrderId,
        sha256: Digest,
    ) -> Result<Option<String>, IndexError> {
        let envelope = query_scalar("SELECT envelope FROM orders WHERE id = ? AND sha256 = ?")
            .bind(order.to_string())
            .bind(sha256.to_string())
            .fetch_optional(&self.reader)
            .await?;
        Ok(envelope)
    }

    /// The orders that `person` asked for or that have a host within the scope, the newest first.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn orders(
        &self,
        scope: &Scope,
        person: &Name,
        now: Instant,
    ) -> Result<Vec<OrderRow>, IndexError> {
        let rows = query(concat!(
            "SELECT o.id, o.reference, o.requester, o.submitted_ns, o.expires_ns, \
             o.cancel IS NOT NULL AS cancelled, o.halted, o.sha256, o.predecessor, \
             COUNT(a.id) AS hosts, COUNT(CASE WHEN a.id IS NOT NULL AND ",
            standing!(),
            " NOT IN ('waiting', 'running', 'standing', 'watching', 'cancelling', 'expired') THEN 1 END) AS settled \
             FROM orders o LEFT JOIN order_hosts h ON h.order_id = o.id \
             LEFT JOIN agents a ON a.id = h.agent \
             AND a.agency IN (SELECT value FROM json_each(?2)) \
             GROUP BY o.id HAVING COUNT(a.id) > 0 OR o.requester = ?3 \
             ORDER BY o.submitted_ns DESC, o.id"
        ))
        .bind(to_ns(now))
        .bind(scope.json())
        .bind(person.as_str())
        .fetch_all(&self.reader)
        .await?;
        rows.iter().map(read_row).collect()
    }

    /// The envelope of an order, where `person` asked for it or it has a host within the scope.
    ///
    /// # Errors
    /// The database failed.
    pub async fn visible(
        &self,
        order: OrderId,
        (scope, person): (&Scope, &Name),
    ) -> Result<Option<String>, IndexError> {
        let envelope = query_scalar(
            "SELECT envelope FROM orders WHERE id = ?1 AND (requester = ?3 OR EXISTS \
             (SELECT 1 FROM order_hosts h JOIN agents a ON a.id = h.agent \
             WHERE h.order_id = ?1 AND a.agency IN (SELECT value FROM json_each(?2))))",
        )
        .bind(order.to_string())
        .bind(scope.json())
        .bind(person.as_str())
        .fetch_optional(&self.reader)
        .await?;
        Ok(envelope)
    }

    /// One order and its hosts within the scope, those alone that changed since revision `since` where that is enough;
    /// none where the person sees nothing of it.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn order(
        &self,
        order: OrderId,
        (scope, person): (&Scope, &Name),
        since: u64,
        now: Instant,
    ) -> Result<Option<FullOrder>, IndexError> {
        let Some(envelope) = self.visible(order, (scope, person)).await? else {
            return Ok(None);
        };
        let row = query("SELECT revision, whole_revision, cancel, halted FROM orders WHERE id = ?")
            .bind(order.to_string())
            .fetch_one(&self.reader)
            .await?;
        let is_whole = since < columns::size(&row, "whole_revision")?;
        let since = if is_whole { 0 } else { since };
        let rows = query(concat!(
            "SELECT h.agent, a.hostname, ",
            standing!(),
            " AS state, h.collection, h.progress, h.refusal, \
             h.ended_early, (SELECT COUNT(DISTINCT p.part) FROM parts p \
             JOIN collections c ON c.id = p.collection AND c.agent = h.agent \
             WHERE c.id = h.collection) AS parts, \
             o.recurrence IS NOT NULL OR a.kit IS NOT NULL AS recurs, h.captures, h.captured_ns, h.over_why, \
             (SELECT COUNT(*) FROM collections c WHERE c.order_id = h.order_id \
             AND c.agent = h.agent AND c.complete = 1) AS whole \
             FROM order_hosts h JOIN agents a ON a.id = h.agent JOIN orders o ON o.id = h.order_id \
             WHERE h.order_id = ?2 AND h.revision > ?3 \
             AND a.agency IN (SELECT value FROM json_each(?4)) ORDER BY a.hostname, a.id"
        ))
        .bind(to_ns(now))
        .bind(order.to_string())
        .bind(i64::try_from(since).unwrap_or(i64::MAX))
        .bind(scope.json())
        .fetch_all(&self.reader)
        .await?;
        Ok(Some(FullOrder {
            revision: columns::size(&row, "revision")?,
            envelope,
            cancel: row.try_get("cancel")?,
            halted: row.try_get("halted")?,
            totals: self.totals(order, scope, now).await?,
            hosts: rows.iter().map(read_host).collect::<Result<_, _>>()?,
        }))
    }

    async fn totals(
        &self,
        order: OrderId,
        scope: &Scope,
        now: Instant,
    ) -> Result<Totals, IndexError> {
        // Sums are reckoned as floating point: what agents report of themselves may be anything.
        let row = query(concat!(
            "SELECT COUNT(*) AS hosts, \
             COUNT(CASE s.state WHEN 'waiting' THEN 1 WHEN 'cancelling' THEN 1 END) AS waiting, \
             COUNT(CASE WHEN s.state IN ('running', 'standing', 'watching') THEN 1 END) AS running, \
             COUNT(CASE s.state WHEN 'delivered' THEN 1 END) AS delivered, \
             COUNT(CASE s.state WHEN 'refused' THEN 1 END) AS refused, \
             COUNT(CASE WHEN s.state IN ('cancelled', 'halted', 'expired', 'removed', 'cloned') THEN 1 END) \
             AS not_begun, \
             COUNT(s.ended_early) AS ended_early, \
             TOTAL(s.progress ->> '$.records') AS records, \
             TOTAL(s.progress ->> '$.files') AS files, \
             TOTAL(s.progress ->> '$.file_bytes') AS file_bytes, \
             TOTAL(s.progress ->> '$.gaps') AS gaps FROM (SELECT ",
            standing!(),
            " AS state, h.ended_early, h.progress FROM order_hosts h \
             JOIN agents a ON a.id = h.agent JOIN orders o ON o.id = h.order_id \
             WHERE h.order_id = ?2 AND a.agency IN (SELECT value FROM json_each(?3))) s"
        ))
        .bind(to_ns(now))
        .bind(order.to_string())
        .bind(scope.json())
        .fetch_one(&self.reader)
        .await?;
        let number = |name: &str| columns::size(&row, name);
        let sum = |name: &str| row.try_get::<f64, _>(name).map(saturated);
        Ok(Totals {
            hosts: number("hosts")?,
            waiting: number("waiting")?,
            running: number("running")?,
            delivered: number("delivered")?,
            refused: number("refused")?,
            not_begun: number("not_begun")?,
            ended_early: number("ended_early")?,
            records: sum("records")?,
            files: sum("files")?,
            file_bytes: sum("file_bytes")?,
            gaps: sum("gaps")?,
        })
    }
}

/// The sum as a whole number; what does not fit is the largest one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from floating point saturates"
)]
fn saturated(sum: f64) -> u64 {
    sum as u64
}
