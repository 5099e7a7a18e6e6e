//! Asks the server for orders, one long question after the other, and hands what comes to the reader as bytes.
//!
//! Nothing is judged here: the reader checks every signature. A newer policy goes to the reader before the orders.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use evidence::{
    digest::Digest,
    envelope::{self, Envelope},
    ids::OrderId,
};
use protocol::{
    messages::{AgentOrders, HandedOrder, MAX_MESSAGE_BYTES, Report, Trust},
    order::RefusalNotice,
};
use serde::Deserialize;

use super::{
    context::{Context, CourierError},
    disk::DiskError,
    http::HttpError,
    pause::{Backoff, Retry},
};
use crate::link::FromSpool;

/// How long the server may let a question wait; below what it allows.
const WAIT_MS: u64 = 50_000;
/// Orders that were handed over and not reported on: no more are asked for.
const OPEN_MAX: usize = 64;
/// Orders that one conversation takes; a new conversation forgets them.
const HANDED_MAX: usize = 100_000;

/// Orders that were settled of late, and that the server is told of too: those that it would hand out for ever.
const SETTLED_MAX: usize = 64;

/// Which orders the reader was given in this conversation, each by the digest of all that was handed over: an order
/// that nobody can read has one as well, and a copy with other signatures is another.
#[derive(Debug, Default)]
pub(super) struct Handed {
    orders: Mutex<Sets>,
    is_greeted: AtomicBool,
}

#[derive(Debug, Default)]
struct Sets {
    /// All that were handed over.
    handed: BTreeSet<Digest>,
    /// Those of them that the server has no report of, and their ids where they have one.
    open: BTreeMap<Digest, Option<OrderId>>,
    /// Orders of which a report waits from an earlier conversation.
    reported: BTreeSet<OrderId>,
    /// Those that were settled last.
    settled: VecDeque<Digest>,
    /// Cancellations that were handed over last.
    cancels: VecDeque<Digest>,
}

impl Sets {
    fn settle(&mut self, what: &Settled) {
        let is_meant = |digest: &Digest, id: &Option<OrderId>| match what {
            Settled::Order(order) => *id == Some(*order),
            Settled::Copy(copy) => digest == copy,
        };
        if let Settled::Order(order) = what {
            self.reported.remove(order);
        }
        let over: Vec<Digest> = self
            .open
            .extract_if(.., |digest, id| is_meant(digest, id))
            .map(|(digest, _)| digest)
            .collect();
        self.settled.extend(over);
        while self.settled.len() > SETTLED_MAX {
            self.settled.pop_front();
        }
    }
}

impl Handed {
    /// The reader is there, and has said which policy it holds.
    pub(super) fn greeted(&self) {
        self.is_greeted.store(true, Ordering::Release);
    }

    /// Notes a report that waits from an earlier conversation: its order need not be handed over again.
    pub(super) fn note_waiting(&self, report: &Report) {
        let mut sets = self.sets();
        match settles(report) {
            Some(Settled::Order(order)) => {
                sets.reported.insert(order);
            }
            Some(Settled::Copy(copy)) => {
                sets.handed.insert(copy);
                sets.open.insert(copy, None);
            }
            None => {}
        }
    }

    /// The server has taken this report, or never will.
    pub(super) fn reported(&self, report: &Report) {
        if let Some(what) = settles(report) {
            self.sets().settle(&what);
        }
    }

    /// What the server need not hand out: what is open, and what was settled of late.
    fn known(&self) -> Vec<String> {
        let sets = self.sets();
        let all = sets.open.keys().chain(&sets.settled).chain(&sets.cancels);
        all.map(Digest::to_string).collect()
    }

    /// Whether the order is new in this conversation; it counts as open from here on.
    fn is_new(&self, copy: Digest, id: Option<OrderId>) -> bool {
        let mut sets = self.sets();
        let is_new = sets.handed.insert(copy);
        if is_new {
            sets.open.insert(copy, id);
        }
        is_new && id.is_none_or(|id| !sets.reported.contains(&id))
    }

    /// It could not be handed over: it is asked for again.
    fn not_handed(&self, copy: Digest) {
        let mut sets = self.sets();
        sets.handed.remove(&copy);
        sets.open.remove(&copy);
        sets.cancels.retain(|cancel| *cancel != copy);
    }

    /// Whether the cancellation is new among the last ones.
    fn is_new_cancel(&self, cancel: Digest) -> bool {
        let mut sets = self.sets();
        if sets.cancels.contains(&cancel) {
            return false;
        }
        sets.cancels.push_back(cancel);
        while sets.cancels.len() > SETTLED_MAX {
            sets.cancels.pop_front();
        }
        true
    }

    /// How many more orders may be handed over before some are reported on. Cancellations and policies always may.
    fn room(&self) -> usize {
        OPEN_MAX.saturating_sub(self.sets().open.len())
    }

    /// Whether so many were handed over that a new conversation must begin.
    fn is_worn(&self) -> bool {
        self.sets().handed.len() >= HANDED_MAX
    }

    fn sets(&self) -> MutexGuard<'_, Sets> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the server will hand out no more after a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Settled {
    /// The order, whatever was handed over of it.
    Order(OrderId),
    /// One copy of an order.
    Copy(Digest),
}

/// What `report` settles.
pub(super) fn settles(report: &Report) -> Option<Settled> {
    match report {
        Report::Accepted { order, .. }
        | Report::Held { order }
        | Report::Capturing { order, .. }
        | Report::Over { order, .. }
        | Report::Ended { order, .. } => Some(Settled::Order(*order)),
        Report::Refused { notice } => {
            let envelope = Envelope::parse(notice.as_bytes()).ok()?;
            let notice: RefusalNotice = envelope.document(envelope::REFUSAL).ok()?;
            Some(Settled::Copy(notice.handed_digest))
        }
        Report::Progress { .. } | Report::Cancelled { .. } => None,
    }
}

/// Asks until the courier ends.
pub(super) fn serve(context: &Context, handed: &Handed) -> Result<(), CourierError> {
    let mut backoff = Backoff::default();
    let mut tried_policy = 0;
    context.wait_until(None, || handed.is_greeted.load(Ordering::Acquire));
    while !context.has_ended() {
        if handed.is_worn() {
            return Err(CourierError::TooManyOrders);
        }
        match ask(context, handed, &mut tried_policy) {
            Ok(Some(true)) => backoff.reset(),
            // Nothing that is new to us, and yet at once: don't turn in a circle.
            Ok(Some(false)) => context.rest(&mut backoff, Retry::Later),
            Ok(None) => backoff.reset(),
            Err(Missed::Fatal(error)) => return Err(error),
            Err(Missed::Disk(error)) => {
                context.note(
                    "what the server sent can't be handed on now",
                    &error.to_text(),
                );
                context.rest(&mut backoff, Retry::Later);
            }
            Err(Missed::Server(error @ HttpError::Cloned { .. })) => {
                context.missed("this agent is given no more orders", &error);
                context.say(&FromSpool::Cloned {}, None)?;
                // Nothing else would be answered; once the host has an identity of its own, all begins anew.
                context.wait_until(None, || false);
            }
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
    /// It is not lost: the server has it until it is answered.
    Disk(DiskError),
    Fatal(CourierError),
}

impl From<HttpError> for Missed {
    fn from(error: HttpError) -> Self {
        Self::Server(error)
    }
}

impl From<CourierError> for Missed {
    fn from(error: CourierError) -> Self {
        match error {
            CourierError::Disk(error) => Self::Disk(error),
            other => Self::Fatal(other),
        }
    }
}

/// One question; says whether something new came, and nothing where the server had nothing to say.
fn ask(context: &Context, handed: &Handed, tried_policy: &mut u64) -> Result<Option<bool>, Missed> {
    let held = context.policy_version.load(Ordering::Acquire);
    let known = handed.known();
    let policy = held.max(*tried_policy);
    let path = format!(
        "/v1/agent/orders?wait_ms={WAIT_MS}&policy={policy}&instance={}&room={}&known={}",
        context.instance,
        handed.room(),
        known.join(",")
    );
    let answer = context.client().get(&path, MAX_MESSAGE_BYTES)?;
    context.welcome();
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
    for cancel in &orders.cancels {
        is_new |= hand_cancel(context, handed, cancel)?;
    }
    Ok(Some(is_new))
}

fn hand_trust(context: &Context) -> Result<(), Missed> {
    let answer = context.client().get("/v1/trust", MAX_MESSAGE_BYTES)?;
    answer.message::<Trust>("trust")?;
    Ok(context.hand_over(&FromSpool::Trust {}, &answer.body)?)
}

/// Hands over an order that is new, whether or not anybody can read it: the reader's refusal settles it.
fn hand_order(context: &Context, handed: &Handed, order: &HandedOrder) -> Result<bool, Missed> {
    let (id, copy) = (id(order), order.digest());
    if !handed.is_new(copy, id) {
        return Ok(false);
    }
    let bytes = serde_json::to_vec(order).map_err(|_| HttpError::Answer("an unwritable order"))?;
    match id {
        Some(id) => tracing::info!(order = %id, "an order has come"),
        None => tracing::warn!(digest = %copy, "an order without an id has come"),
    }
    let told = context.hand_over(&FromSpool::Order {}, &bytes);
    told.inspect_err(|_| handed.not_handed(copy))?;
    Ok(true)
}

/// Hands over a cancellation, once in a conversation: the server hears of it when the reader keeps it.
fn hand_cancel(context: &Context, handed: &Handed, cancel: &str) -> Result<bool, Missed> {
    let digest = Digest::of(cancel.as_bytes());
    if !handed.is_new_cancel(digest) {
        return Ok(false);
    }
    tracing::info!("a cancellation has come");
    let told = context.hand_over(&FromSpool::Cancel {}, cancel.as_bytes());
    told.inspect_err(|_| handed.not_handed(digest))?;
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
