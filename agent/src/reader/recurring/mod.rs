//! Orders that make many collections: when the next one is due, and what it is told of itself.
//!
//! Nothing here acts. What was done is in the state alone (`state::Recurring`), and is written there before anything is.

pub mod captured;
pub mod pending;
pub mod watching;

use evidence::{
    capture::Capture,
    digest::Digest,
    envelope::Envelope,
    ids::{CollectionId, OrderId},
    instant::Instant,
};
use protocol::{
    messages::HandedOrder,
    order::Order,
    order_check::Accepted,
    policy::Policy,
    recurrence::{Recurrence, Turn, Turns, spread},
    target::Subject,
};

use self::watching::Watching;
use super::{
    orders::{self, OrderError},
    state::{Begun, Change, Known, Recurring},
};

/// Turns that passed are counted so far; nobody looks through years of minutes.
const MISSED_MOST: u64 = 10_000;

/// An order that is alive.
#[derive(Debug)]
pub struct Live {
    /// The order.
    pub order: OrderId,
    /// Its digest.
    pub digest: Digest,
    /// How it recurs.
    pub recurrence: Recurrence,
    /// The version of the policy by which it was judged last.
    pub judged_by: u64,
    /// What it watches, where it does.
    pub watching: Option<Watching>,
    begin: Instant,
    spread: u64,
}

impl Live {
    /// What `kept` says, for the agent `subject`; none where the order does not recur.
    ///
    /// # Errors
    /// The order does not read, which it did when it was accepted.
    pub fn of(kept: &Recurring, subject: &Subject) -> Result<Option<Self>, OrderError> {
        let envelope = Envelope::parse(kept.handed.order.as_bytes())?;
        let (order, digest) = (Order::read(&envelope)?, envelope.digest());
        let Some(recurrence) = order.recurrence else {
            return Ok(None);
        };
        Ok(Some(Self {
            order: order.id,
            digest,
            recurrence,
            judged_by: 0,
            watching: None,
            begin: order.not_before,
            spread: spread(subject.id, digest),
        }))
    }

    /// The turn of a standing order that is due at `now`, if one is.
    pub fn turn(&self, kept: &Recurring, now: Instant) -> Option<Turn> {
        let turns = self.turns()?;
        let number = turns.number_at(now)?;
        if kept.turn.is_some_and(|captured| captured >= number) {
            return None;
        }
        let turn = turns.turn(number)?;
        (turn.due <= now && now < turn.end).then_some(turn)
    }

    /// How many turns before `turn` passed without a capture.
    pub fn missed(&self, kept: &Recurring, turn: Turn) -> u64 {
        let Some(turns) = self.turns() else {
            return 0;
        };
        let first = match kept.turn {
            Some(captured) => captured.saturating_add(1),
            None => turns.number_at(kept.accepted).unwrap_or(0),
        };
        let first = first.max(turn.number.saturating_sub(MISSED_MOST));
        let passed = (first..turn.number).filter_map(|number| turns.turn(number));
        // One that had ended when the order came was nobody's to take.
        let missed = passed.filter(|t| t.end > kept.accepted).count();
        missed as u64
    }

    fn turns(&self) -> Option<Turns<'_>> {
        let Recurrence::Standing {
            every_seconds,
            window,
            ..
        } = &self.recurrence
        else {
            return None;
        };
        Some(Turns {
            begin: self.begin,
            every_seconds: *every_seconds,
            window: window.as_ref(),
            spread: self.spread,
        })
    }

    /// Whether a watch may capture once more in this hour.
    pub fn has_rate(&self, kept: &Recurring, now: Instant) -> bool {
        match self.recurrence {
            Recurrence::Watch { per_hour, .. } => kept.in_last_hour(now) < per_hour as usize,
            Recurrence::Standing { .. } => true,
        }
    }

    /// Whether it should watch and does not.
    pub fn is_blind(&self) -> bool {
        matches!(self.recurrence, Recurrence::Watch { .. }) && self.watching.is_none()
    }

    /// Whether it has made all that it may.
    pub fn is_spent(&self, kept: &Recurring) -> bool {
        kept.captures >= self.recurrence.captures()
    }
}

/// What is kept once an order that recurs is accepted, now by the server's time and by the host's.
pub fn accept(
    handed: HandedOrder,
    accepted: &Accepted,
    (known, policy): (&Known, &Policy),
    (now, by_host): (Instant, Instant),
) -> Change {
    let recurring = Recurring {
        handed,
        policy: known.policy.clone().unwrap_or_default(),
        order: accepted.order.id,
        signers: orders::signers(accepted, policy),
        // A part proves its order by the policy of then, whose end no collection outlives.
        until: accepted.order.expires.min(policy.expires),
        accepted: now,
        captures: 0,
        turn: None,
        recent: std::collections::VecDeque::new(),
        // Held against the times of files, which the host's clock gives.
        looked: by_host,
    };
    Change::Recurs {
        recurring,
        expires: accepted.order.expires,
    }
}

/// The next capture of `kept`, begun at `at`.
///
/// # Errors
/// No random numbers.
pub fn next(kept: &Recurring, at: Instant) -> Result<Begun, getrandom::Error> {
    Ok(Begun {
        order: kept.order,
        collection: CollectionId::random()?,
        capture: Capture {
            number: kept.captures.saturating_add(1),
            due: None,
            missed: 0,
            watched_since: None,
            changes: Vec::new(),
            out_of_scope: 0,
            blind: Vec::new(),
        },
        at,
        turn: None,
        looked: None,
    })
}

#[cfg(test)]
mod tests;
