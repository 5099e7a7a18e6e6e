//! Asks the server for orders, one long question after the other, and hands what comes to the reader as bytes.
//!
//! Nothing is judged here: the reader checks every signature. A newer policy goes to the reader before the orders.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use evidence::envelope::Envelope;
use evidence::{envelope, ids::OrderId};
use protocol::{
    messages::{AgentOrders, HandedOrder, MAX_MESSAGE_BYTES, Report, Trust},
    order::RefusalNotice,
};
use serde::Deserialize;

use super::{
    context::{Context, CourierError},
    http::HttpError,
    pause::{Backoff, Retry},
};
use crate::link::FromSpool;

/// How long the server may let a question wait; below what it allows.
const WAIT_MS: u64 = 50_000;
/// Orders that were handed over and not reported on: with more, no new ones are asked for.
const OPEN_MAX: usize = 64;
/// Orders that one conversation takes; a new conversation forgets them.
const HANDED_MAX: usize = 100_000;

/// Which orders the reader was given in this conversation.
#[derive(Debug, Default)]
pub(super) struct Handed {
    orders: Mutex<Sets>,
    is_greeted: AtomicBool,
}

#[derive(Debug, Default)]
struct Sets {
    /// All that were handed over.
    handed: BTreeSet<OrderId>,
    /// Those of them that the server has no report of.
    open: BTreeSet<OrderId>,
}

impl Handed {
    /// The reader is there, and has said which policy it holds.
    pub(super) fn greeted(&self) {
        self.is_greeted.store(true, Ordering::Release);
    }

    /// Notes a report that waits from an earlier conversation: its order need not be handed over again.
    pub(super) fn note_waiting(&self, report: &Report) {
        if let Some(order) = settles(report) {
            let mut sets = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
            sets.handed.insert(order);
            sets.open.insert(order);
        }
    }

    /// The server has taken this report.
    pub(super) fn reported(&self, report: &Report) {
        if let Some(order) = settles(report) {
            let mut sets = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
            sets.open.remove(&order);
        }
    }

    fn open(&self) -> Vec<OrderId> {
        let sets = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        sets.open.iter().copied().collect()
    }

    /// Whether the order is new in this conversation; it counts as open from here on.
    fn is_new(&self, order: OrderId) -> bool {
        let mut sets = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        sets.open.insert(order);
        sets.handed.insert(order)
    }

    fn is_full(&self) -> (bool, bool) {
        let sets = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        (sets.open.len() >= OPEN_MAX, sets.handed.len() >= HANDED_MAX)
    }
}

/// The order that the server will hand out no more after this report.
fn settles(report: &Report) -> Option<OrderId> {
    match report {
        Report::Accepted { order, .. } | Report::Ended { order, .. } => Some(*order),
        Report::Refused { notice } => {
            let envelope = Envelope::parse(notice.as_bytes()).ok()?;
            let notice: RefusalNotice = envelope.document(envelope::REFUSAL).ok()?;
            notice.order
        }
        Report::Progress { .. } => None,
    }
}

/// Asks until the courier ends.
pub(super) fn serve(context: &Context, handed: &Handed) -> Result<(), CourierError> {
    let mut backoff = Backoff::default();
    let mut tried_policy = 0;
    context.wait_until(None, || handed.is_greeted.load(Ordering::Acquire));
    while !context.has_ended() {
        match handed.is_full() {
            (_, true) => return Err(CourierError::TooManyOrders),
            (true, false) => {
                context.wait_until(None, || !handed.is_full().0);
                continue;
            }
            (false, false) => {}
        }
        match ask(context, handed, &mut tried_policy) {
            Ok(Some(true)) => backoff.reset(),
            // Nothing that is new to us, and yet at once: don't turn in a circle.
            Ok(Some(false)) => context.rest(&mut backoff, Retry::Later),
            Ok(None) => backoff.reset(),
            Err(Missed::Fatal(error)) => return Err(error),
            Err(Missed::Server(error)) => {
                context.missed("the server was not asked for orders", &error);
                context.rest(&mut backoff, error.retry());
            }
        }
    }
    Ok(())
}

enum Missed {
    Server(HttpError),
    Fatal(CourierError),
}

impl From<HttpError> for Missed {
    fn from(error: HttpError) -> Self {
        Self::Server(error)
    }
}

impl From<CourierError> for Missed {
    fn from(error: CourierError) -> Self {
        Self::Fatal(error)
    }
}

/// One question; says whether something new came, and nothing where the server had nothing to say.
fn ask(context: &Context, handed: &Handed, tried_policy: &mut u64) -> Result<Option<bool>, Missed> {
    let held = context.policy_version.load(Ordering::Acquire);
    let known: Vec<_> = handed.open().iter().map(OrderId::to_string).collect();
    let policy = held.max(*tried_policy);
    let path = format!(
        "/v1/agent/orders?wait_ms={WAIT_MS}&policy={policy}&known={}",
        known.join(",")
    );
    let answer = context.client().get(&path, MAX_MESSAGE_BYTES)?;
    context.heard();
    if answer.status == 204 {
        return Ok(None);
    }
    let orders: AgentOrders = answer.message("orders")?;
    let mut is_new = false;
    if orders.policy_version > policy {
        hand_trust(context)?;
        // Whether the reader believes it is the reader's matter; it is not asked for again in this conversation.
        *tried_policy = orders.policy_version;
        is_new = true;
    }
    for order in &orders.orders {
        is_new |= hand_order(context, handed, order)?;
    }
    Ok(Some(is_new))
}

fn hand_trust(context: &Context) -> Result<(), Missed> {
    let answer = context.client().get("/v1/trust", MAX_MESSAGE_BYTES)?;
    answer.message::<Trust>("trust")?;
    Ok(context.hand_over(&FromSpool::Trust {}, &answer.body)?)
}

/// Hands over an order that is new; one without an id is passed over, since no report could ever settle it.
fn hand_order(context: &Context, handed: &Handed, order: &HandedOrder) -> Result<bool, Missed> {
    let Some(id) = id(order) else {
        context.note("an order was passed over", "an order has no id".into());
        return Ok(false);
    };
    if !handed.is_new(id) {
        return Ok(false);
    }
    let bytes = serde_json::to_vec(order).map_err(|_| HttpError::Answer("an unwritable order"))?;
    tracing::info!(order = %id, "an order has come");
    context.hand_over(&FromSpool::Order {}, &bytes)?;
    Ok(true)
}

fn id(order: &HandedOrder) -> Option<OrderId> {
    #[derive(Deserialize)]
    struct Id {
        id: OrderId,
    }
    let envelope = Envelope::parse(order.order.as_bytes()).ok()?;
    serde_json::from_slice::<Id>(envelope.payload())
        .ok()
        .map(|found| found.id)
}
