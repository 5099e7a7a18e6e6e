//! Standing orders and watches as the state keeps them: what they rest on, and how far they are.

use std::collections::VecDeque;

use evidence::{
    capture::Capture,
    ids::{CollectionId, OrderId},
    instant::Instant,
    records::{Person, Refusal},
};
use protocol::messages::HandedOrder;
use serde::{Deserialize, Serialize};

use super::Running;

/// What counts for how many there were in an hour.
const HOUR_S: i64 = 3600;

/// An order that makes many collections, and has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recurring {
    /// The order, as it was handed over.
    pub handed: HandedOrder,
    /// The policy's envelope under which it was accepted.
    pub policy: String,
    /// Its id.
    pub order: OrderId,
    /// Who signed it, the requester first.
    pub signers: Vec<Person>,
    /// From then on it makes none: its own end, or that policy's.
    pub until: Instant,
    /// When it was accepted.
    pub accepted: Instant,
    /// How many it has made.
    pub captures: u32,
    /// Of a standing order: the turn that was captured last.
    pub turn: Option<u64>,
    /// Of a watch: when those of the last hour were begun.
    pub recent: VecDeque<Instant>,
    /// Of a watch: what happened before then is captured.
    pub looked: Instant,
}

/// A capture that begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    /// Of which order.
    pub order: OrderId,
    /// The collection that it is.
    pub collection: CollectionId,
    /// What it tells of itself.
    pub capture: Capture,
    /// When.
    pub at: Instant,
    /// Of a standing order: which turn it is.
    pub turn: Option<u64>,
    /// Of a watch: what happened before then is in it or in those before.
    pub looked: Option<Instant>,
}

impl Recurring {
    /// Counts a capture, and is what runs from here on.
    pub(super) fn begin(&mut self, begun: Begun, refusals: Vec<Refusal>) -> Running {
        self.captures = begun.capture.number;
        self.turn = begun.turn.or(self.turn);
        self.looked = begun.looked.unwrap_or(self.looked);
        self.recent.push_back(begun.at);
        self.recent.retain(|at| is_within_hour(*at, begun.at));
        let handed = (self.handed.clone(), self.policy.clone());
        let signers = self.signers.clone();
        Running {
            refusals,
            capture: Some(begun.capture),
            ..Running::new(handed, self.order, begun.collection, signers)
        }
    }

    /// How many were begun in the hour around `now`: a clock that is set back gains nobody another one.
    pub fn in_last_hour(&self, now: Instant) -> usize {
        let recent = self.recent.iter();
        recent.filter(|at| is_within_hour(**at, now)).count()
    }
}

fn is_within_hour(at: Instant, now: Instant) -> bool {
    now.seconds.saturating_sub(at.seconds).abs() < HOUR_S
}
