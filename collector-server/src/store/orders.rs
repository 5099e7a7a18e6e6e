//! Orders, and how each fares on each of its hosts.

use data_encoding::BASE64;
use evidence::{
    digest::Digest,
    envelope::Envelope,
    ids::{AgentId, CollectionId, OrderId},
    instant::Instant,
};
use protocol::{
    messages::{HandedOrder, HostState, OrderHost, OrderRow, Progress},
    name::Name,
    target::TargetProof,
};
use sqlx::{Row as _, SqliteConnection, query, query_scalar, sqlite::SqliteRow};

use super::{
    Scope,
    columns::{self, from_ns, parsed, parsed_or_none, time, to_ns},
    index::{Index, IndexError, Woken},
};

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
    /// The hosts on its list, each with the proof that it is.
    pub hosts: Vec<(AgentId, TargetProof)>,
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
    /// Somebody stopped an order; the first cancellation stays.
    Cancel {
        /// The order.
        order: OrderId,
        /// The cancellation's envelope.
        cancel: String,
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

pub(super) async fn apply(to: &mut SqliteConnection, change: &Change) -> Result<Woken, IndexError> {
    match change {
        Change::Submit(new) => submit(to, new).await,
        Change::Sign { order, envelope } => sign(to, *order, envelope).await,
        Change::Cancel { order, cancel } => stop(to, *order, cancel).await,
        Change::Join { order, agent } => {
            query("INSERT INTO order_hosts (order_id, agent) VALUES (?, ?) ON CONFLICT DO NOTHING")
                .bind(order.to_string())
                .bind(agent.to_string())
                .execute(&mut *to)
                .await?;
            revise(to, *order).await
        }
        Change::Said { order, agent, said } => {
            note(to, *order, *agent, said).await?;
            revise(to, *order).await
        }
    }
}

/// Counts one more change of the order's state.
pub(super) async fn revise(to: &mut SqliteConnection, order: OrderId) -> Result<Woken, IndexError> {
    query("UPDATE orders SET revision = revision + 1 WHERE id = ?")
        .bind(order.to_string())
        .execute(to)
        .await?;
    Ok(Woken {
        orders: vec![order],
        agents: Vec::new(),
    })
}

async fn submit(to: &mut SqliteConnection, new: &NewOrder) -> Result<Woken, IndexError> {
    let known = query("SELECT sha256 FROM orders WHERE id = ?")
        .bind(new.order.to_string())
        .fetch_optional(&mut *to)
        .await?;
    if let Some(known) = known {
        if parsed::<Digest>(&known, "sha256")? != new.sha256 {
            let why = "Another order has this id. Make a new one.";
            return Err(IndexError::Conflict(why));
        }
        return sign(to, new.order, &new.envelope).await;
    }
    query(
        "INSERT INTO orders (id, sha256, envelope, requester, reference, submitted_ns, begins_ns, \
         expires_ns, open) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(new.order.to_string())
    .bind(new.sha256.to_string())
    .bind(&new.envelope)
    .bind(new.requester.as_str())
    .bind(&new.case)
    .bind(to_ns(new.submitted))
    .bind(to_ns(new.begins))
    .bind(to_ns(new.expires))
    .bind(new.open)
    .execute(&mut *to)
    .await?;
    let mut woken = Woken::default();
    for (agent, proof) in &new.hosts {
        let proof = serde_json::to_string(proof).map_err(|_| IndexError::Damaged("proof"))?;
        query("INSERT INTO order_hosts (order_id, agent, proof) VALUES (?, ?, ?)")
            .bind(new.order.to_string())
            .bind(agent.to_string())
            .bind(proof)
            .execute(&mut *to)
            .await?;
        woken.agents.push(*agent);
    }
    Ok(woken)
}

/// Takes in the signatures of `envelope` that the order lacks.
async fn sign(
    to: &mut SqliteConnection,
    order: OrderId,
    envelope: &str,
) -> Result<Woken, IndexError> {
    let held: Option<String> = query_scalar("SELECT envelope FROM orders WHERE id = ?")
        .bind(order.to_string())
        .fetch_optional(&mut *to)
        .await?;
    match with_signatures(&held.ok_or(IndexError::Missing)?, envelope)? {
        Some(more) => approve(to, order, &more).await,
        None => Ok(Woken::default()),
    }
}

/// Cancels the order; every host that may still act on it is woken.
async fn stop(
    to: &mut SqliteConnection,
    order: OrderId,
    cancel: &str,
) -> Result<Woken, IndexError> {
    query("UPDATE orders SET cancel = ? WHERE id = ? AND cancel IS NULL")
        .bind(cancel)
        .bind(order.to_string())
        .execute(&mut *to)
        .await?;
    let rows = query(
        "SELECT agent FROM order_hosts WHERE order_id = ? AND state IN ('waiting', 'running')",
    )
    .bind(order.to_string())
    .fetch_all(&mut *to)
    .await?;
    let mut woken = revise(to, order).await?;
    for row in &rows {
        woken.agents.push(parsed(row, "agent")?);
    }
    Ok(woken)
}

/// Puts a fuller envelope of the same order in the place of the one held: whoever refused the other is asked again.
async fn approve(
    to: &mut SqliteConnection,
    order: OrderId,
    envelope: &str,
) -> Result<Woken, IndexError> {
    query("UPDATE orders SET envelope = ? WHERE id = ?")
        .bind(envelope)
        .bind(order.to_string())
        .execute(&mut *to)
        .await?;
    // The refusal stays to be seen until another answer comes.
    query(
        "UPDATE order_hosts SET state = 'waiting', answered = 0 \
         WHERE order_id = ? AND state = 'refused'",
    )
    .bind(order.to_string())
    .execute(&mut *to)
    .await?;
    let rows = query("SELECT agent FROM order_hosts WHERE order_id = ? AND answered = 0")
        .bind(order.to_string())
        .fetch_all(&mut *to)
        .await?;
    let mut woken = revise(to, order).await?;
    for row in &rows {
        woken.agents.push(parsed(row, "agent")?);
    }
    Ok(woken)
}

/// The signatures of `sent` by keys of which `held` has none.
pub fn more_signatures(held: &Envelope, sent: &Envelope) -> Vec<(String, Vec<u8>)> {
    let is_held = |key: &str| held.signatures().iter().any(|s| s.key_id == key);
    let sent = sent.signatures().iter();
    sent.filter(|s| !is_held(&s.key_id))
        .map(|s| (s.key_id.clone(), s.signature.clone()))
        .collect()
}

/// The envelope `held` with the signatures of `sent` that it lacks; none where it lacks none.
///
/// Both are of one payload, and every signature was found to hold before it came here.
fn with_signatures(held: &str, sent: &str) -> Result<Option<String>, IndexError> {
    let damaged = |_| IndexError::Damaged("envelope");
    let held = Envelope::parse(held.as_bytes()).map_err(damaged)?;
    let more = more_signatures(&held, &Envelope::parse(sent.as_bytes()).map_err(damaged)?);
    if more.is_empty() {
        return Ok(None);
    }
    let before = held.signatures().iter();
    let all = before.map(|s| (s.key_id.clone(), s.signature.clone()));
    let signatures = all.chain(more).map(
        |(key, signature)| serde_json::json!({"keyid": key, "sig": BASE64.encode(&signature)}),
    );
    let text = serde_json::json!({
        "payloadType": held.payload_type(),
        "payload": BASE64.encode(held.payload()),
        "signatures": signatures.collect::<Vec<_>>(),
    })
    .to_string();
    match Envelope::parse(text.as_bytes()) {
        Ok(_) => Ok(Some(text)),
        Err(_) => Err(IndexError::Conflict(
            "The order would carry more signatures than an envelope holds. Hand it in with fewer.",
        )),
    }
}

/// What the agent is handed of the order now.
async fn handed_to(
    to: &mut SqliteConnection,
    order: OrderId,
    agent: AgentId,
) -> Result<Option<HandedOrder>, IndexError> {
    let row = query(
        "SELECT o.envelope, h.proof FROM order_hosts h JOIN orders o ON o.id = h.order_id \
         WHERE h.order_id = ? AND h.agent = ?",
    )
    .bind(order.to_string())
    .bind(agent.to_string())
    .fetch_optional(to)
    .await?;
    row.as_ref().map(read_handed).transpose()
}

/// Keeps a refusal of a copy that is not the one handed over now, where there is none: it settles nothing.
async fn note_stray(
    to: &mut SqliteConnection,
    order: OrderId,
    agent: AgentId,
    notice: &str,
) -> Result<(), IndexError> {
    query(
        "UPDATE order_hosts SET refusal = ?3 \
         WHERE order_id = ?1 AND agent = ?2 AND state = 'waiting' AND refusal IS NULL",
    )
    .bind(order.to_string())
    .bind(agent.to_string())
    .bind(notice)
    .execute(to)
    .await?;
    Ok(())
}

async fn note(
    to: &mut SqliteConnection,
    order: OrderId,
    agent: AgentId,
    said: &Said,
) -> Result<(), IndexError> {
    if let Said::Refused { notice, handed } = said {
        let now = handed_to(to, order, agent).await?;
        if now.ok_or(IndexError::Missing)?.digest() != *handed {
            return note_stray(to, order, agent, notice).await;
        }
    }
    let query = match said {
        Said::Accepted(collection) => query(
            "UPDATE order_hosts SET answered = 1, collection = ?3, \
             state = CASE state WHEN 'delivered' THEN state ELSE 'running' END \
             WHERE order_id = ?1 AND agent = ?2 AND (collection IS NULL OR collection = ?3)",
        )
        .bind(order.to_string())
        .bind(agent.to_string())
        .bind(collection.to_string()),
        Said::Progress(collection, progress) => query(
            "UPDATE order_hosts SET progress = ?4 \
             WHERE order_id = ?1 AND agent = ?2 AND collection = ?3",
        )
        .bind(order.to_string())
        .bind(agent.to_string())
        .bind(collection.to_string())
        .bind(serde_json::to_string(progress).map_err(|_| IndexError::Damaged("progress"))?),
        Said::Ended(collection, early) => query(
            "UPDATE order_hosts SET ended_early = ?4 \
             WHERE order_id = ?1 AND agent = ?2 AND collection = ?3",
        )
        .bind(order.to_string())
        .bind(agent.to_string())
        .bind(collection.to_string())
        .bind(early.clone()),
        Said::CancelHeld => {
            query("UPDATE order_hosts SET cancel_held = 1 WHERE order_id = ?1 AND agent = ?2")
                .bind(order.to_string())
                .bind(agent.to_string())
        }
        // An agent that has begun may refuse to begin again; that takes nothing back.
        Said::Refused { notice, .. } => query(
            "UPDATE order_hosts SET answered = 1, \
             refusal = CASE state WHEN 'waiting' THEN ?3 ELSE refusal END, \
             state = CASE state WHEN 'waiting' THEN 'refused' ELSE state END \
             WHERE order_id = ?1 AND agent = ?2",
        )
        .bind(order.to_string())
        .bind(agent.to_string())
        .bind(notice),
    };
    if query.execute(&mut *to).await?.rows_affected() > 0 {
        return Ok(());
    }
    let known: Option<i64> =
        query_scalar("SELECT 1 FROM order_hosts WHERE order_id = ? AND agent = ?")
            .bind(order.to_string())
            .bind(agent.to_string())
            .fetch_optional(to)
            .await?;
    Err(match known {
        Some(_) => IndexError::Conflict("The order became another collection on this host."),
        None => IndexError::Missing,
    })
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
    /// When it ends.
    pub expires: Instant,
    /// How it fares on the hosts within the asker's scope.
    pub hosts: Vec<OrderHost>,
}

/// Why an order that no agent has begun never will be.
#[derive(Clone, Copy)]
enum Over {
    Cancelled,
    Expired,
}

fn state_of(text: &str, over: Option<Over>) -> Result<HostState, IndexError> {
    Ok(match (text, over) {
        ("waiting", Some(Over::Cancelled)) => HostState::Cancelled,
        ("waiting", Some(Over::Expired)) => HostState::Expired,
        ("waiting", None) => HostState::Waiting,
        ("running", _) => HostState::Running,
        ("delivered", _) => HostState::Delivered,
        ("refused", _) => HostState::Refused,
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
    })
}

fn read_host(row: &SqliteRow, over: Option<Over>) -> Result<OrderHost, IndexError> {
    let progress: Option<&str> = row.try_get("progress")?;
    Ok(OrderHost {
        agent: parsed(row, "agent")?,
        hostname: row.try_get("hostname")?,
        state: state_of(row.try_get("state")?, over)?,
        collection: parsed_or_none(row, "collection")?,
        progress: progress.map(|p| columns::json(p, "progress")).transpose()?,
        refusal: row.try_get("refusal")?,
        ended_early: row.try_get("ended_early")?,
        parts_received: row.try_get("parts")?,
    })
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
    })
}

impl Index {
    /// The orders that the agent has not answered and that have not ended, the oldest first.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn waiting(&self, agent: AgentId, now: Instant) -> Result<Vec<Waiting>, IndexError> {
        let rows = query(
            "SELECT o.id, o.envelope, o.begins_ns, h.proof FROM order_hosts h \
             JOIN orders o ON o.id = h.order_id \
             WHERE h.agent = ? AND h.answered = 0 AND o.expires_ns > ? AND o.cancel IS NULL \
             ORDER BY o.submitted_ns",
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
            "SELECT o.cancel FROM orders o JOIN order_hosts h ON h.order_id = o.id \
             WHERE o.cancel IS NOT NULL AND h.agent = ? AND h.cancel_held = 0 \
             AND (h.state = 'running' OR h.state = 'waiting' AND o.expires_ns > ?) \
             ORDER BY o.submitted_ns",
        )
        .bind(agent.to_string())
        .bind(to_ns(now))
        .fetch_all(&self.reader)
        .await?)
    }

    /// Open orders that have not ended and that the agent is not part of.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn joinable(&self, agent: AgentId, now: Instant) -> Result<Vec<Waiting>, IndexError> {
        let rows = query(
            "SELECT id, envelope, begins_ns, NULL AS proof FROM orders \
             WHERE open = 1 AND expires_ns > ?2 AND cancel IS NULL AND NOT EXISTS \
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

    /// The agencies of the hosts that an order is for, as far as they are known.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn agencies_of(&self, order: OrderId) -> Result<Vec<Name>, IndexError> {
        let rows = query(
            "SELECT DISTINCT a.agency FROM order_hosts h JOIN agents a ON a.id = h.agent \
             WHERE h.order_id = ?",
        )
        .bind(order.to_string())
        .fetch_all(&self.reader)
        .await?;
        rows.iter().map(|row| parsed(row, "agency")).collect()
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
    pub async fn orders(&self, scope: &Scope, person: &Name) -> Result<Vec<OrderRow>, IndexError> {
        let rows = query(
            "SELECT o.id, o.reference, o.requester, o.submitted_ns, o.expires_ns, \
             o.cancel IS NOT NULL AS cancelled, COUNT(a.id) AS hosts, \
             COUNT(CASE WHEN a.id IS NOT NULL AND (h.state IN ('delivered', 'refused') \
             OR h.state = 'waiting' AND o.cancel IS NOT NULL) THEN 1 END) AS settled FROM orders o \
             LEFT JOIN order_hosts h ON h.order_id = o.id \
             LEFT JOIN agents a ON a.id = h.agent \
             AND a.agency IN (SELECT value FROM json_each(?1)) \
             GROUP BY o.id HAVING COUNT(a.id) > 0 OR o.requester = ?2 \
             ORDER BY o.submitted_ns DESC, o.id",
        )
        .bind(scope.json())
        .bind(person.as_str())
        .fetch_all(&self.reader)
        .await?;
        rows.iter().map(read_row).collect()
    }

    /// One order and its hosts within the scope; none where the person sees nothing of it.
    ///
    /// # Errors
    /// The database failed or a row is damaged.
    pub async fn order(
        &self,
        order: OrderId,
        scope: &Scope,
        person: &Name,
        now: Instant,
    ) -> Result<Option<FullOrder>, IndexError> {
        let found = query(
            "SELECT revision, envelope, cancel, requester, expires_ns FROM orders WHERE id = ?",
        )
        .bind(order.to_string())
        .fetch_optional(&self.reader)
        .await?;
        let Some(row) = found else { return Ok(None) };
        let expires = from_ns(row.try_get("expires_ns")?);
        let cancel: Option<String> = row.try_get("cancel")?;
        let over = match cancel {
            Some(_) => Some(Over::Cancelled),
            None => (now >= expires).then_some(Over::Expired),
        };
        let rows = query(
            "SELECT h.agent, a.hostname, h.state, h.collection, h.progress, h.refusal, \
             h.ended_early, (SELECT COUNT(DISTINCT p.part) FROM parts p \
             JOIN collections c ON c.id = p.collection AND c.agent = h.agent \
             WHERE c.id = h.collection) AS parts \
             FROM order_hosts h JOIN agents a ON a.id = h.agent \
             WHERE h.order_id = ? AND a.agency IN (SELECT value FROM json_each(?)) \
             ORDER BY a.hostname, a.id",
        )
        .bind(order.to_string())
        .bind(scope.json())
        .fetch_all(&self.reader)
        .await?;
        if rows.is_empty() && row.try_get::<&str, _>("requester")? != person.as_str() {
            return Ok(None);
        }
        let host = |r: &SqliteRow| read_host(r, over);
        Ok(Some(FullOrder {
            revision: columns::size(&row, "revision")?,
            envelope: row.try_get("envelope")?,
            cancel,
            expires,
            hosts: rows.iter().map(host).collect::<Result<_, _>>()?,
        }))
    }
}
