//! Orders change: taken in, signed, cancelled, joined, and what agents say of them.

use data_encoding::BASE64;
use evidence::{
    digest::Digest,
    envelope::Envelope,
    ids::{AgentId, OrderId},
};
use protocol::messages::HandedOrder;
use sqlx::{Row as _, SqliteConnection, query, query_scalar, sqlite::SqliteRow};

use super::{Change, NewHost, NewOrder, Said, read_handed};
use crate::store::{
    Scope,
    columns::{parsed, to_ns},
    index::{IndexError, Woken},
};

/// An order stops by itself only once so many hosts have settled, or all: one bad host of two is no rule.
const SETTLED_AT_LEAST: i64 = 5;

pub(in crate::store) async fn apply(
    to: &mut SqliteConnection,
    change: &Change,
) -> Result<Woken, IndexError> {
    match change {
        Change::Submit(new) => submit(to, new).await,
        Change::Sign { order, envelope } => sign(to, *order, envelope).await,
        Change::Cancel {
            order,
            cancel,
            agencies,
        } => stop(to, *order, cancel, agencies).await,
        Change::Handed { agent, orders, at } => {
            for order in orders {
                query(
                    "UPDATE order_hosts SET handed_ns = ?3 \
                     WHERE order_id = ?1 AND agent = ?2 AND handed_ns IS NULL",
                )
                .bind(order.to_string())
                .bind(agent.to_string())
                .bind(to_ns(*at))
                .execute(&mut *to)
                .await?;
            }
            Ok(Woken::default())
        }
        Change::Lapsed(order) => {
            let told = query("UPDATE orders SET expiry_told = 1 WHERE id = ? AND expiry_told = 0")
                .bind(order.to_string())
                .execute(&mut *to)
                .await?;
            match told.rows_affected() {
                0 => Ok(Woken::default()),
                _ => revise_all(to, *order).await,
            }
        }
        Change::Release { order, at } => {
            query("UPDATE orders SET released_ns = ? WHERE id = ? AND released_ns IS NULL")
                .bind(to_ns(*at))
                .bind(order.to_string())
                .execute(&mut *to)
                .await?;
            Ok(Woken::default())
        }
        Change::Join { order, agent } => {
            // Its turn comes after those that joined before it.
            query(
                "INSERT INTO order_hosts (order_id, agent, delay_ns) \
                 SELECT o.id, ?2, CASE o.hosts_per_minute WHEN 0 THEN 0 ELSE \
                 (SELECT COUNT(*) FROM order_hosts h WHERE h.order_id = o.id) \
                 * (60000000000 / o.hosts_per_minute) END \
                 FROM orders o WHERE o.id = ?1 ON CONFLICT DO NOTHING",
            )
            .bind(order.to_string())
            .bind(agent.to_string())
            .execute(&mut *to)
            .await?;
            revise(to, *order, *agent).await
        }
        Change::Said { order, agent, said } => {
            note(to, *order, *agent, said).await?;
            let mut woken = revise(to, *order, *agent).await?;
            if matches!(said, Said::Refused { .. } | Said::Ended(..)) && halt(to, *order).await? {
                woken.halted.push(*order);
                revise_all(to, *order).await?;
            }
            Ok(woken)
        }
    }
}

/// Counts one more change of how the order fares on one host.
pub(in crate::store) async fn revise(
    to: &mut SqliteConnection,
    order: OrderId,
    agent: AgentId,
) -> Result<Woken, IndexError> {
    query("UPDATE orders SET revision = revision + 1 WHERE id = ?")
        .bind(order.to_string())
        .execute(&mut *to)
        .await?;
    query(
        "UPDATE order_hosts SET revision = (SELECT revision FROM orders WHERE id = ?1) \
         WHERE order_id = ?1 AND agent = ?2",
    )
    .bind(order.to_string())
    .bind(agent.to_string())
    .execute(&mut *to)
    .await?;
    Ok(Woken {
        orders: vec![order],
        ..Woken::default()
    })
}

/// Counts one more change of every order that the agent has not settled: what becomes of it there is another matter now.
pub(in crate::store) async fn revise_open(
    to: &mut SqliteConnection,
    agent: AgentId,
) -> Result<Woken, IndexError> {
    let rows = query(
        "SELECT order_id FROM order_hosts \
         WHERE agent = ? AND state IN ('waiting', 'running', 'standing', 'watching')",
    )
    .bind(agent.to_string())
    .fetch_all(&mut *to)
    .await?;
    let mut woken = Woken::default();
    for row in &rows {
        let order = parsed(row, "order_id")?;
        woken.orders.extend(revise(to, order, agent).await?.orders);
    }
    Ok(woken)
}

/// Counts one more change of the order's state on all hosts.
async fn revise_all(to: &mut SqliteConnection, order: OrderId) -> Result<Woken, IndexError> {
    query("UPDATE orders SET revision = revision + 1, whole_revision = revision + 1 WHERE id = ?")
        .bind(order.to_string())
        .execute(to)
        .await?;
    Ok(Woken {
        orders: vec![order],
        ..Woken::default()
    })
}

/// [`revise_all`], and wakes the agents of `rows`.
async fn revise_and_wake(
    to: &mut SqliteConnection,
    order: OrderId,
    rows: &[SqliteRow],
) -> Result<Woken, IndexError> {
    let agents = rows.iter().map(|row| parsed(row, "agent"));
    let agents = agents.collect::<Result<_, _>>()?;
    Ok(Woken {
        agents,
        ..revise_all(to, order).await?
    })
}

/// Stops the order by itself where too large a share of its hosts has failed; says whether it did.
async fn halt(to: &mut SqliteConnection, order: OrderId) -> Result<bool, IndexError> {
    let row = query(
        "SELECT o.stop_percent, o.open, COUNT(h.agent) AS hosts, \
         COUNT(CASE WHEN h.state IN ('refused', 'delivered', 'standing', 'watching') THEN 1 END) AS settled, \
         COUNT(CASE WHEN h.state = 'refused' OR h.ended_early IS NOT NULL THEN 1 END) AS failed \
         FROM orders o JOIN order_hosts h ON h.order_id = o.id \
         WHERE o.id = ? AND o.stop_percent > 0 AND o.halted IS NULL AND o.cancel IS NULL \
         GROUP BY o.id",
    )
    .bind(order.to_string())
    .fetch_optional(&mut *to)
    .await?;
    let Some(row) = row else { return Ok(false) };
    let number = |name| row.try_get::<i64, _>(name);
    let (hosts, settled, failed) = (number("hosts")?, number("settled")?, number("failed")?);
    // A host that ended early may not have delivered yet.
    let settled = settled.max(failed);
    // Of an open order nobody knows how many there will be.
    let all = if row.try_get("open")? {
        i64::MAX
    } else {
        hosts
    };
    let percent = number("stop_percent")?;
    if settled < SETTLED_AT_LEAST.min(all) || failed * 100 <= percent * settled {
        return Ok(false);
    }
    // No numbers: some of the hosts may be none of the reader's business.
    let why = format!("more than {percent} % of the hosts that answered failed");
    query("UPDATE orders SET halted = ? WHERE id = ?")
        .bind(why)
        .bind(order.to_string())
        .execute(to)
        .await?;
    Ok(true)
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
         expires_ns, open, stop_percent, hosts_per_minute, predecessor, recurrence) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
    .bind(new.stop_percent)
    .bind(new.hosts_per_minute)
    .bind(new.predecessor.map(|digest| digest.to_string()))
    .bind(new.recurrence)
    .execute(&mut *to)
    .await?;
    let mut woken = Woken::default();
    for NewHost {
        agent,
        proof,
        delay_ns,
    } in &new.hosts
    {
        let proof = serde_json::to_string(proof).map_err(|_| IndexError::Damaged("proof"))?;
        query("INSERT INTO order_hosts (order_id, agent, proof, delay_ns) VALUES (?, ?, ?, ?)")
            .bind(new.order.to_string())
            .bind(agent.to_string())
            .bind(proof)
            .bind(delay_ns)
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
    agencies: &Scope,
) -> Result<Woken, IndexError> {
    query("UPDATE orders SET cancel = ? WHERE id = ?")
        .bind(cancel)
        .bind(order.to_string())
        .execute(&mut *to)
        .await?;
    // One that no host holds may be by somebody whom the policy does not know any more.
    let rows = query(
        "UPDATE order_hosts SET cancel = ?2 WHERE order_id = ?1 AND cancel_held = 0 \
         AND state IN ('waiting', 'running', 'standing', 'watching') AND agent IN (SELECT id FROM agents \
         WHERE agency IN (SELECT value FROM json_each(?3))) RETURNING agent",
    )
    .bind(order.to_string())
    .bind(cancel)
    .bind(agencies.json())
    .fetch_all(&mut *to)
    .await?;
    revise_and_wake(to, order, &rows).await
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
    revise_and_wake(to, order, &rows).await
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
            // Of many collections the newest alone is shown; news of another one is no contradiction.
            "UPDATE order_hosts SET progress = CASE collection WHEN ?3 THEN ?4 ELSE progress END \
             WHERE order_id = ?1 AND agent = ?2 \
             AND (collection = ?3 OR state IN ('standing', 'watching'))",
        )
        .bind(order.to_string())
        .bind(agent.to_string())
        .bind(collection.to_string())
        .bind(serde_json::to_string(progress).map_err(|_| IndexError::Damaged("progress"))?),
        Said::Ended(collection, early) => query(
            "UPDATE order_hosts SET ended_early = CASE collection WHEN ?3 THEN ?4 ELSE ended_early END \
             WHERE order_id = ?1 AND agent = ?2 \
             AND (collection = ?3 OR state IN ('standing', 'watching'))",
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
        Said::Held => query(
            "UPDATE order_hosts SET answered = 1, refusal = NULL, \
             state = (SELECT recurrence FROM orders WHERE id = ?1) \
             WHERE order_id = ?1 AND agent = ?2 AND EXISTS \
             (SELECT 1 FROM orders WHERE id = ?1 AND recurrence IS NOT NULL)",
        )
        .bind(order.to_string())
        .bind(agent.to_string()),
        Said::Capturing {
            collection,
            number,
            at,
        } => query(
            // One that is told again changes nothing, and an older one never comes after a newer.
            "UPDATE order_hosts SET answered = 1, \
             state = (SELECT recurrence FROM orders WHERE id = ?1), \
             progress = CASE WHEN ?4 > captures THEN NULL ELSE progress END, \
             ended_early = CASE WHEN ?4 > captures THEN NULL ELSE ended_early END, \
             collection = CASE WHEN ?4 > captures THEN ?3 ELSE collection END, \
             captured_ns = CASE WHEN ?4 > captures THEN ?5 ELSE captured_ns END, \
             captures = MAX(captures, ?4) \
             WHERE order_id = ?1 AND agent = ?2 AND EXISTS \
             (SELECT 1 FROM orders WHERE id = ?1 AND recurrence IS NOT NULL)",
        )
        .bind(order.to_string())
        .bind(agent.to_string())
        .bind(collection.to_string())
        .bind(number)
        .bind(to_ns(*at)),
        Said::Over(why) => query(
            "UPDATE order_hosts SET over_why = COALESCE(over_why, ?3) \
             WHERE order_id = ?1 AND agent = ?2 AND state IN ('standing', 'watching')",
        )
        .bind(order.to_string())
        .bind(agent.to_string())
        .bind(why),
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
