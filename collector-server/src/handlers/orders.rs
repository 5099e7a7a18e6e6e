//! People hand orders in and follow them.
//!
//! The server checks what it can, so that a mistake is told at once; the agents check everything again.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Extension,
    extract::{Path, Query, State},
};
use evidence::{
    custody::event::Action,
    digest::Digest,
    envelope::Envelope,
    ids::{AgentId, OrderId},
    instant::Instant,
};
use protocol::{
    artifacts,
    messages::{Logged, OrderStatus, Orders, SubmitOrder},
    name::Name,
    order::{Order, Rollout},
    order_check::{self, Refusal as OrderRefusal, Situation},
    policy::{Person, Role},
    recurrence::Recurrence,
    target::{Subject, TargetList, TargetProof},
    version::VERSION,
};
use serde::Deserialize;

use super::{
    Answer, App, Message, json, lacking,
    poll::{Look, poll},
};
use crate::{
    access::{Caller, CallingPerson},
    refusal::Refusal,
    state::{Asker, Server},
    store::{
        agents::AgentRow,
        index::Change,
        orders::{Change as OrderChange, NewHost, NewOrder, more_signatures},
    },
    trust::Documents,
};

/// Of a signature that counts for nobody.
const STRAY: &str = "a signature on the order does not hold, or is by a key that the policy does not know. Leave it off.";

/// An order names no more hosts.
const MAX_TARGETS: usize = 100_000;

/// `POST /v1/orders`.
pub(crate) async fn submit(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Message(sent): Message<SubmitOrder>,
) -> Answer {
    let asker = caller.person()?;
    let envelope = Envelope::parse(sent.order.as_bytes())
        .map_err(|e| Refusal::Malformed(format!("the order: {e}")))?;
    let order = Order::read(&envelope)?;
    if order.requester != asker.person.id {
        return Err(Refusal::Denied(
            "The order is another person's. Each hands in their own.",
        ));
    }
    let hosts = targets(&server, &asker, &order, sent.targets).await?;
    let kit = match (&order.kit, hosts.first()) {
        (Some(_), Some((row, _))) => server.index.seal_key(row.agent).await?,
        _ => None,
    };
    let now = Instant::now();
    // An order for later is judged as it will be when it may begin.
    check(
        &server,
        &asker.person,
        &envelope,
        (&hosts, kit),
        now.max(order.not_before),
    )?;
    check_signatures(&server, &envelope)?;
    let new = NewOrder {
        order: order.id,
        sha256: envelope.digest(),
        envelope: sent.order,
        requester: order.requester,
        case: order.case,
        submitted: now,
        begins: order.not_before,
        expires: order.expires,
        open: order.targets.open,
        predecessor: order.predecessor,
        hosts_per_minute: order.rollout.unwrap_or_default().hosts_per_minute,
        stop_percent: order.rollout.unwrap_or_default().stop_past_failed_percent,
        recurrence: order
            .recurrence
            .as_ref()
            .map(|recurrence| match recurrence {
                Recurrence::Standing { .. } => "standing",
                Recurrence::Watch { .. } => "watching",
            }),
        hosts: staggered(hosts, order.rollout.unwrap_or_default())?,
    };
    keep(&server, new, &envelope).await
}

/// When each host is handed the order: so many a minute, each somewhere in its turn by chance.
fn staggered(
    hosts: Vec<(AgentRow, TargetProof)>,
    rollout: Rollout,
) -> Result<Vec<NewHost>, Refusal> {
    const MINUTE_NS: u64 = 60_000_000_000;
    let turn = MINUTE_NS.checked_div(u64::from(rollout.hosts_per_minute));
    let delay = |place: usize| -> Result<i64, Refusal> {
        let Some(turn) = turn.filter(|turn| *turn > 0) else {
            return Ok(0);
        };
        let jitter = getrandom::u64().map_err(Refusal::failed)? % turn;
        let delay = (place as u64).saturating_mul(turn).saturating_add(jitter);
        Ok(i64::try_from(delay).unwrap_or(i64::MAX))
    };
    let new = |(place, (row, proof)): (usize, (AgentRow, TargetProof))| {
        Ok(NewHost {
            agent: row.agent,
            proof,
            delay_ns: delay(place)?,
        })
    };
    hosts.into_iter().enumerate().map(new).collect()
}

/// The leaves, the row, and the waking of those who wait.
async fn keep(server: &Server, new: NewOrder, envelope: &Envelope) -> Answer {
    let (order, order_sha256, open) = (new.order, new.sha256, new.open);
    let ordered = Action::Ordered {
        order,
        order_sha256,
    };
    let receipt = server.custody.log(ordered).await?;
    log_approvals(server, (order, order_sha256), envelope).await?;
    let change = OrderChange::Submit(Box::new(new));
    server.change(Change::Order(change)).await?;
    if open {
        server.wake.agents.ring_all();
    }
    tracing::info!(%order, "an order was taken in");
    json(&Logged {
        v: VERSION,
        receipt,
    })
}

/// A leaf for each signature that is new.
pub(super) async fn log_approvals(
    server: &Server,
    (order, order_sha256): (OrderId, Digest),
    envelope: &Envelope,
) -> Result<(), Refusal> {
    for by_key in approvals(server, (order, order_sha256), envelope).await? {
        let approved = Action::Approved {
            order,
            order_sha256,
            by_key,
        };
        server.custody.log(approved).await?;
    }
    Ok(())
}

/// The keys that signed the order since it was handed in the last time.
async fn approvals(
    server: &Server,
    (order, sha256): (OrderId, Digest),
    envelope: &Envelope,
) -> Result<Vec<Digest>, Refusal> {
    let Some(held) = server.index.envelope(order, sha256).await? else {
        return Ok(Vec::new());
    };
    let held = Envelope::parse(held.as_bytes()).map_err(Refusal::failed)?;
    let more = more_signatures(&held, envelope);
    more.iter()
        .map(|(key, _)| key.parse().map_err(|_| Refusal::unacceptable(STRAY)))
        .collect()
}

/// Every signature must hold: one that does not could stand in the way of one that does.
pub(super) fn check_signatures(server: &Server, envelope: &Envelope) -> Result<(), Refusal> {
    let holding = server.documents().policy.signers(envelope).len();
    match holding == envelope.signatures().len() {
        true => Ok(()),
        false => Err(Refusal::unacceptable(STRAY)),
    }
}

/// The hosts behind the order's signed root, each with its proof; all must be within the asker's reach.
async fn targets(
    server: &Server,
    asker: &CallingPerson,
    order: &Order,
    listed: Vec<AgentId>,
) -> Result<Vec<(AgentRow, TargetProof)>, Refusal> {
    if listed.len() > MAX_TARGETS {
        return Err(Refusal::TooLarge);
    }
    let list = TargetList::new(listed.iter().copied());
    let signed = &order.targets;
    if list.targets(signed.expression.clone(), signed.open) != *signed {
        let why = "the list is not the one whose root the order signs. Make the order again.";
        return Err(Refusal::unacceptable(why));
    }
    let terms = order.kit.as_ref();
    if terms.is_some() && (listed.len() != 1 || signed.open) {
        let why = "an order for a kit is for its identity alone. Name that one, and no others.";
        return Err(Refusal::unacceptable(why));
    }
    let is_meant = |row: &AgentRow| match terms {
        Some(terms) => row.is_kit(terms.kit),
        None => row.is_target(),
    };
    let hosts = server.index.hosts(&asker.scope).await?;
    let mut known: BTreeMap<AgentId, AgentRow> =
        hosts.into_iter().map(|row| (row.agent, row)).collect();
    let wanted: BTreeSet<AgentId> = listed.into_iter().collect();
    let mut found = Vec::with_capacity(wanted.len());
    for agent in wanted {
        let row = known.remove(&agent).filter(is_meant);
        let pair = row.zip(list.prove(&agent));
        found.push(pair.ok_or_else(|| {
            Refusal::unacceptable(format!(
                "the list names {agent}, which is no host that you may order for. Take it off."
            ))
        })?);
    }
    if found.is_empty() && !signed.open {
        let why = "the order is for no host. Name one, or make it open.";
        return Err(Refusal::unacceptable(why));
    }
    Ok(found)
}

/// Checks the order as one host of each agency would, but for what only agents know.
fn check(
    server: &Server,
    asker: &Person,
    envelope: &Envelope,
    (hosts, kit): (&[(AgentRow, TargetProof)], Option<Digest>),
    now: Instant,
) -> Result<(), Refusal> {
    let mut agencies: BTreeMap<&Name, (Subject, Option<&TargetProof>)> = BTreeMap::new();
    for (row, proof) in hosts {
        let one = || (row.subject(), Some(proof));
        agencies.entry(&row.agency).or_insert_with(one);
    }
    let nobody = |agency: &Name| Subject {
        id: AgentId::from_bytes([0; 16]),
        agency: agency.clone(),
        labels: BTreeSet::new(),
        os: agency.clone(),
        arch: agency.clone(),
    };
    let is_empty = agencies.is_empty();
    if is_empty {
        // Open, and nobody on the list yet: what does not hang on a host is checked all the same.
        for agency in asker
            .agencies
            .iter()
            .filter(|a| asker.may(Role::Investigator, a))
        {
            agencies.insert(agency, (nobody(agency), None));
        }
    }
    let documents = server.documents();
    for (subject, proof) in agencies.values() {
        let situation = Situation {
            kit,
            ..situation(&documents, subject, now)
        };
        match order_check::check(envelope, *proof, &situation) {
            Ok(_) => {}
            Err(OrderRefusal::ForeignTarget) if is_empty => {}
            // It waits here until enough people have signed it.
            Err(OrderRefusal::BelowThreshold { .. }) => {}
            Err(why) => return Err(Refusal::unacceptable(why)),
        }
    }
    Ok(())
}

fn situation<'a>(documents: &'a Documents, subject: &'a Subject, now: Instant) -> Situation<'a> {
    static NOTHING: BTreeSet<OrderId> = BTreeSet::new();
    Situation {
        policy: &documents.policy,
        root: &documents.root,
        subject,
        kit: None,
        now,
        highest_signed: None,
        used: &NOTHING,
        cancelled: &NOTHING,
        class_of: &artifacts::class_of,
    }
}

/// `GET /v1/orders`.
pub(crate) async fn list(State(server): App, Extension(caller): Extension<Caller>) -> Answer {
    let asker = caller.person()?;
    let mut orders = server
        .index
        .orders(&asker.scope, &asker.person.id, Instant::now())
        .await?;
    lacking::note(&server, &asker.scope, &mut orders).await?;
    json(&Orders { v: VERSION, orders })
}

/// What the asker has seen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Since {
    #[serde(default)]
    since: u64,
    #[serde(default)]
    wait_ms: u64,
}

/// `GET /v1/orders/{order}`.
pub(crate) async fn follow(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Path(order): Path<String>,
    since: Result<Query<Since>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let asker = caller.person()?;
    let Query(since) = since.map_err(|e| Refusal::Malformed(e.body_text()))?;
    let order: OrderId = order.parse().map_err(|_| Refusal::NotFound)?;
    let bell = server.wake.orders.listen(order);
    let look = || async {
        asker.check_still(&server.documents().policy)?;
        let status = status_since(&server, &asker, order, since.since).await?;
        Ok(match status.revision > since.since {
            true => Look::News(status),
            false => Look::Nothing(None),
        })
    };
    let who = Asker::Person(asker.person.id.clone());
    let news = poll((&server, who), bell, since.wait_ms, look).await?;
    match news {
        Some(status) => json(&status),
        None => json(&status_since(&server, &asker, order, since.since).await?),
    }
}

/// An order and all of its hosts that the asker may see.
pub(super) async fn status(
    server: &Server,
    asker: &CallingPerson,
    order: OrderId,
) -> Result<OrderStatus, Refusal> {
    status_since(server, asker, order, 0).await
}

async fn status_since(
    server: &Server,
    asker: &CallingPerson,
    order: OrderId,
    since: u64,
) -> Result<OrderStatus, Refusal> {
    let who = (&asker.scope, &asker.person.id);
    let found = server.index.order(order, who, since, Instant::now());
    let found = found.await?.ok_or(Refusal::NotFound)?;
    Ok(OrderStatus {
        v: VERSION,
        revision: found.revision,
        order: found.envelope,
        cancel: found.cancel,
        halted: found.halted,
        totals: found.totals,
        hosts: found.hosts,
    })
}
