//! An agent asks for its orders, and hears of them as soon as they are there.
//!
//! An open order is joined here, by what the token certified of the host; whether the order is
//! obeyed remains the agent's own judgement.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Query, State},
    http::StatusCode,
    response::IntoResponse as _,
};
use data_encoding::HEXLOWER;
use evidence::{digest::Digest, envelope::Envelope, ids::AgentId, instant::Instant};
use protocol::{
    artifacts,
    messages::{AgentOrders, HandedOrder, MAX_MESSAGE_BYTES},
    order::Order,
    order_check::{self, Accepted, Refusal as OrderRefusal, Situation},
    target::Subject,
    version::VERSION,
};
use serde::Deserialize;

use super::{
    Answer, App, json,
    poll::{Look, poll},
};
use crate::{
    access::{self, Caller},
    refusal::Refusal,
    state::{Asker, Server},
    store::{
        agents::Change as AgentChange,
        index::Change,
        orders::{Change as OrderChange, Waiting},
    },
};

/// Orders in one answer.
const MAX_ORDERS: usize = 8;
/// All of them together, but for the first: what else is in a message has room beside them.
const ORDERS_BYTES: usize = MAX_MESSAGE_BYTES / 4 * 3;
/// Cancellations in one answer.
const MAX_CANCELS: usize = 64;
/// Orders and cancellations that an agent may say it knows.
const MAX_KNOWN: usize = 1_000;

/// What the agent says it has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    #[serde(default)]
    wait_ms: u64,
    #[serde(default)]
    policy: u64,
    #[serde(default)]
    known: String,
    /// How many orders it can take now.
    #[serde(default = "most")]
    room: usize,
    /// Which start of the agent asks.
    instance: Option<String>,
}

fn most() -> usize {
    MAX_ORDERS
}

/// `GET /v1/agent/orders`.
pub(crate) async fn wait(
    State(server): App,
    Extension(caller): Extension<Caller>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let agent = caller.agent()?.id;
    let Query(asked) = asked.map_err(|e| Refusal::Malformed(e.body_text()))?;
    let known: BTreeSet<&str> = asked.known.split(',').filter(|o| !o.is_empty()).collect();
    if known.len() > MAX_KNOWN {
        return Err(Refusal::TooLarge);
    }
    server.saw(agent);
    meet(&server, agent, asked.instance.as_deref()).await?;
    let _polling = server.metrics.agent_polls();
    let bell = server.wake.agents.listen(agent);
    let look = || look(&server, agent, &asked, &known);
    match poll((&server, Asker::Agent(agent)), bell, asked.wait_ms, look).await? {
        Some(Some(orders)) => json(&orders),
        Some(None) | None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// Notes which start of the agent asks, where it is not the one that asked last.
async fn meet(server: &Arc<Server>, agent: AgentId, instance: Option<&str>) -> Result<(), Refusal> {
    let Some(instance) = instance else {
        return Ok(());
    };
    let bytes = HEXLOWER.decode(instance.as_bytes());
    if bytes.map_or(true, |bytes| bytes.len() != 16) {
        let why = "the instance is not 128 bits in hex";
        return Err(Refusal::Malformed(why.into()));
    }
    if server.index.is_newest_instance(agent, instance).await? {
        return Ok(());
    }
    let change = AgentChange::Met {
        agent,
        instance: instance.to_owned(),
        at: Instant::now(),
    };
    // It may be the one by which a clone is told, which is logged behind the row.
    let noting = Arc::clone(server);
    let noted = async move { Ok(noting.change(Change::Agent(change)).await?) };
    server.uncut.run(noted).await
}

/// What to answer, where there is something: nothing at once to a start of which another has taken the place.
async fn look(
    server: &Server,
    agent: AgentId,
    asked: &Asked,
    known: &BTreeSet<&str>,
) -> Result<Look<Option<AgentOrders>>, Refusal> {
    // Again with each look: a revoked agent's open question ends at once, and a cloned one's.
    if !server.index.agent_is_active(agent).await? {
        return Err(access::shut_out(server, agent).await?);
    }
    if server.index.is_cloned(agent).await? {
        return Err(Refusal::Cloned);
    }
    if let Some(instance) = &asked.instance
        && !server.index.is_newest_instance(agent, instance).await?
    {
        return Ok(Look::News(None));
    }
    let now = Instant::now();
    join(server, agent, now).await?;
    let mut waiting = server.index.waiting(agent, now).await?;
    waiting.retain(|order| !known.contains(order.handed.digest().to_string().as_str()));
    keep_signed(server, agent, &mut waiting).await?;
    release(server, &mut waiting, now).await?;
    let (mut due, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|o| o.due(now) <= now);
    due.truncate(as_many_as_fit(&due, asked.room.min(MAX_ORDERS)));
    let newest = server.documents().policy.version;
    let mut cancels = server.index.cancels(agent, now).await?;
    let is_known =
        |cancel: &str| known.contains(Digest::of(cancel.as_bytes()).to_string().as_str());
    cancels.retain(|cancel| !is_known(cancel));
    cancels.truncate(MAX_CANCELS);
    if due.is_empty() && cancels.is_empty() && newest <= asked.policy {
        let next = later.iter().map(|o| o.due(now)).min();
        return Ok(Look::Nothing(next.map(|at| until(at, now))));
    }
    // Before it goes out: from now on the host may hold it, whatever comes of this answer.
    let first = due.iter().filter(|o| !o.is_handed).map(|o| o.order);
    let first: Vec<_> = first.collect();
    if !first.is_empty() {
        let change = OrderChange::Handed {
            agent,
            orders: first,
            at: now,
        };
        server.change(Change::Order(change)).await?;
    }
    Ok(Look::News(Some(AgentOrders {
        v: VERSION,
        policy_version: newest,
        orders: due.into_iter().map(|o| o.handed).collect(),
        cancels,
    })))
}

/// How many of the first ones, at least one and at most `most`, one message can hold.
fn as_many_as_fit(due: &[Waiting], most: usize) -> usize {
    let mut taken = 0;
    let fits = |order: &&Waiting| {
        let is_first = taken == 0;
        taken += order.handed.order.len();
        is_first || taken <= ORDERS_BYTES
    };
    due.iter().take(most).take_while(fits).count()
}

fn until(at: Instant, now: Instant) -> Duration {
    let seconds = at.seconds.saturating_sub(now.seconds);
    Duration::from_secs(seconds.clamp(1, 3_600).unsigned_abs())
}

/// Leaves out those that too few people have signed: they wait here, and not as a refusal on the host. One that can't
/// even be read goes out: the agent says so under its own signature, and nothing is held up.
async fn keep_signed(
    server: &Server,
    agent: AgentId,
    waiting: &mut Vec<Waiting>,
) -> Result<(), Refusal> {
    if waiting.is_empty() {
        return Ok(());
    }
    let Some(row) = server.index.agent(agent).await? else {
        return Ok(());
    };
    let documents = server.documents();
    let is_lacking = |order: &Waiting| {
        let envelope = &order.handed.order;
        server.lacking.is_lacking(&documents, envelope, &row.agency)
    };
    waiting.retain(|order| !is_lacking(order));
    Ok(())
}

/// From when all who must have signed, the delays of an order's hosts run; the first to ask notes it.
async fn release(server: &Server, waiting: &mut [Waiting], now: Instant) -> Result<(), Refusal> {
    let unnoted = |o: &&mut Waiting| o.released.is_none() && o.delay_ns > 0 && o.begins <= now;
    for order in waiting.iter_mut().filter(unnoted) {
        let change = OrderChange::Release {
            order: order.order,
            at: now,
        };
        server.change(Change::Order(change)).await?;
        order.released = Some(now);
    }
    Ok(())
}

/// Joins the open orders whose expression fits the host.
async fn join(server: &Server, agent: AgentId, now: Instant) -> Result<(), Refusal> {
    let open = server.index.joinable(agent, now).await?;
    if open.is_empty() {
        return Ok(());
    }
    let Some(row) = server.index.agent(agent).await? else {
        return Ok(());
    };
    for order in open {
        let answer = would(server, &row.subject(), &order.handed, now);
        if !matches!(answer, Ok(Ok(_))) {
            continue;
        }
        let change = OrderChange::Join {
            order: order.order,
            agent,
        };
        server.change(Change::Order(change)).await?;
    }
    Ok(())
}

/// Whether the host would obey the order, as far as the server can tell.
fn would(
    server: &Server,
    subject: &Subject,
    handed: &HandedOrder,
    now: Instant,
) -> Result<Result<Accepted, OrderRefusal>, Refusal> {
    let envelope = Envelope::parse(handed.order.as_bytes()).map_err(Refusal::failed)?;
    let order = Order::read(&envelope)?;
    let (nothing, documents) = (BTreeSet::new(), server.documents());
    let situation = Situation {
        policy: &documents.policy,
        root: &documents.root,
        subject,
        kit: None,
        // One that may not begin yet is joined, and handed over when it may.
        now: now.max(order.not_before),
        highest_signed: None,
        used: &nothing,
        cancelled: &nothing,
        class_of: &artifacts::class_of,
    };
    Ok(order_check::check(
        &envelope,
        handed.proof.as_ref(),
        &situation,
    ))
}
