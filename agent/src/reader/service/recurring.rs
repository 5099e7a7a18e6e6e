//! Standing orders and watches: kept, judged before each capture, captured when due and nothing else runs, ended.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant as Moment},
};

use evidence::{ids::OrderId, instant::Instant};
use protocol::{
    messages::{HandedOrder, Report},
    order_check::{Accepted, Refusal},
    recurrence::{Recurrence, Turn},
};

use super::{Service, ServiceError};
use crate::reader::{
    follow::keep,
    orders,
    recurring::{
        self, Live,
        captured::keep_in_scope,
        watching::{Watched, Watching},
    },
    state::{Begun, Change, Recurring},
};

/// No host keeps more of them at once.
const LIVE_MOST: usize = 16;
/// One that can't capture for now is looked at again so much later.
const PAUSE: Duration = Duration::from_secs(30);

/// What is due.
enum Due {
    Turn(Turn),
    Changes,
}

impl Service {
    /// Takes up again what was kept, and says so: the first time may have been lost.
    pub(super) fn take_up_recurring(&mut self) -> Result<(), ServiceError> {
        let kept: Vec<Recurring> = self.known().known().recurring.values().cloned().collect();
        for one in &kept {
            self.live(one, true)?;
            self.report(Report::Held { order: one.order })?;
        }
        Ok(())
    }

    /// Keeps an accepted order that recurs.
    pub(super) fn take_recurring(
        &mut self,
        handed: HandedOrder,
        accepted: &Accepted,
    ) -> Result<(), ServiceError> {
        if self.lives.len() >= LIVE_MOST || !self.known().known().has_room() {
            self.journal
                .warning("too many standing orders and watches are kept: one is left for later");
            return Ok(());
        }
        let now = (self.time(), (self.clock)());
        let change = {
            let state = self.known();
            let in_force = (state.known(), &self.trust.policy);
            recurring::accept(handed, accepted, in_force, now)
        };
        keep(&self.state, change)?;
        let order = accepted.order.id;
        let what = match accepted.order.recurrence {
            Some(Recurrence::Watch { .. }) => "a watch",
            _ => "a standing order",
        };
        self.journal.notice(&format!(
            "order {order} by {} is accepted: {what}, profile {}, until {}",
            accepted.order.requester, accepted.profile.name, accepted.order.expires
        ));
        if let Some(kept) = self.kept(order) {
            self.live(&kept, false)?;
        }
        self.report(Report::Held { order })
    }

    fn live(&mut self, kept: &Recurring, is_again: bool) -> Result<(), ServiceError> {
        if let Some(mut live) = Live::of(kept, &self.subject)? {
            live.watching = self.watching(&live.recurrence, kept, is_again)?;
            self.lives.push(live);
        }
        Ok(())
    }

    /// What looks for changes, where the order is a watch; none where the system can't now, which is tried again.
    fn watching(
        &mut self,
        recurrence: &Recurrence,
        kept: &Recurring,
        is_again: bool,
    ) -> Result<Option<Watching>, ServiceError> {
        let Recurrence::Watch { settle_seconds, .. } = recurrence else {
            return Ok(None);
        };
        let started = Watching::start(Watched {
            root: self.house.root.clone(),
            own: self.house.own.clone(),
            paths: orders::whole_plan(&kept.handed, &self.house)?.0.paths,
            settle: Duration::from_secs(*settle_seconds),
            since: kept.looked,
            is_again,
            clock: self.clock,
        });
        match started {
            Ok(watching) => Ok(Some(watching)),
            Err(error) => {
                self.rests_until = Some(Moment::now() + PAUSE);
                self.journal.warning(&format!(
                    "order {} can't watch for now, and tries again: {error}",
                    kept.order
                ));
                Ok(None)
            }
        }
    }

    fn kept(&self, order: OrderId) -> Option<Recurring> {
        self.known().known().recurring.get(&order).cloned()
    }

    /// Begins the capture that is due, if one is; called where nothing else runs or waits.
    pub(super) fn recur(&mut self) -> Result<(), ServiceError> {
        if self.is_cloned || self.resting() {
            return Ok(());
        }
        for at in 0..self.lives.len() {
            if self.due(at).is_none() {
                continue;
            }
            let order = self.lives[at].order;
            if !self.capture(at)? {
                self.rests_until = Some(Moment::now() + PAUSE);
            }
            // Who has had a turn comes last the next time.
            self.lives.sort_by_key(|live| live.order == order);
            return Ok(());
        }
        Ok(())
    }

    /// Whether a capture is due that would begin.
    pub(super) fn may_capture(&self) -> bool {
        if self.is_cloned || self.resting() {
            return false;
        }
        (0..self.lives.len()).any(|at| {
            let kept = self.due(at).and_then(|_| self.kept(self.lives[at].order));
            kept.is_some_and(|kept| self.judge_again(&kept).is_ok())
        })
    }

    fn resting(&self) -> bool {
        self.rests_until.is_some_and(|until| Moment::now() < until)
    }

    fn due(&self, at: usize) -> Option<Due> {
        let (live, now) = (self.lives.get(at)?, self.time());
        let state = self.known();
        let kept = state.known().recurring.get(&live.order)?;
        // What holds a capture of an order holds the next one too: it comes when that one has ended.
        let is_unfinished = state.known().begun().any(|r| r.order == live.order);
        if now >= kept.until || live.is_spent(kept) || is_unfinished {
            return None;
        }
        match &live.watching {
            None => live.turn(kept, now).map(Due::Turn),
            Some(watching) => {
                let is_due = live.has_rate(kept, now) && watching.is_due(Moment::now());
                is_due.then_some(Due::Changes)
            }
        }
    }

    /// Drops those that were cancelled, have ended or have made all that they may, and those that a newer policy ends;
    /// lets those look that could not.
    pub(super) fn end_some(&mut self) -> Result<(), ServiceError> {
        if self.lives.is_empty() {
            return Ok(());
        }
        let version = self.trust.policy.version;
        let (mut spent, mut to_judge, mut blind) = (Vec::new(), Vec::new(), Vec::new());
        {
            let state = Arc::clone(&self.state);
            let state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = &state.known().recurring;
            let is_begun = |order| state.known().begun().any(|r| r.order == order);
            self.lives.retain(|live| kept.contains_key(&live.order));
            for live in &mut self.lives {
                let is_spent = kept.get(&live.order).is_some_and(|k| live.is_spent(k));
                if is_spent && !is_begun(live.order) {
                    spent.push(live.order);
                } else if live.judged_by != version {
                    live.judged_by = version;
                    to_judge.push(live.order);
                }
                if live.is_blind() {
                    blind.push(live.order);
                }
            }
        }
        for order in spent {
            self.over(order, "it has made all the collections that it allows")?;
        }
        for kept in to_judge
            .into_iter()
            .filter_map(|order| self.kept(order))
            .collect::<Vec<_>>()
        {
            if let Err(refusal) = self.judge_again(&kept)
                && !is_passing(&refusal)
            {
                self.over(kept.order, &refusal.to_string())?;
            }
        }
        if !self.resting() {
            blind
                .into_iter()
                .try_for_each(|order| self.look_at_last(order))?;
        }
        Ok(())
    }

    /// Begins to watch what could not be watched before.
    fn look_at_last(&mut self, order: OrderId) -> Result<(), ServiceError> {
        let place = self.lives.iter().position(|live| live.order == order);
        let (Some(at), Some(kept)) = (place, self.kept(order)) else {
            return Ok(());
        };
        let recurrence = self.lives[at].recurrence.clone();
        self.lives[at].watching = self.watching(&recurrence, &kept, true)?;
        Ok(())
    }

    fn judge_again(&self, kept: &Recurring) -> Result<Accepted, Refusal> {
        let (state, now) = (self.known(), (self.clock)());
        orders::judge_again(&kept.handed, state.known(), &self.trust, &self.subject, now)
    }

    /// It makes no more collections, though its time is not over.
    fn over(&mut self, order: OrderId, why: &str) -> Result<(), ServiceError> {
        self.journal
            .notice(&format!("order {order} makes no more collections: {why}"));
        keep(&self.state, Change::Over { order })?;
        self.lives.retain(|live| live.order != order);
        let why = why.to_owned();
        self.report(Report::Over { order, why })
    }

    /// Begins a capture, or ends the order; says whether it did either.
    fn capture(&mut self, at: usize) -> Result<bool, ServiceError> {
        let clock = self.ask_time()?;
        // Judged again by the server's time, which may be another than the host's.
        let (Some(due), Some(live)) = (self.due(at), self.lives.get(at)) else {
            return Ok(false);
        };
        let Some(kept) = self.kept(live.order) else {
            return Ok(false);
        };
        if let Err(refusal) = self.judge_again(&kept) {
            if !is_passing(&refusal) {
                self.over(kept.order, &refusal.to_string())?;
                return Ok(true);
            }
            self.journal.warning(&format!(
                "order {} makes no collection for now: {refusal}",
                kept.order
            ));
            return Ok(false);
        }
        let Some(begun) = self.begun(at, &kept, due)? else {
            return Ok(true);
        };
        let (collection, number) = (begun.collection, begun.capture.number);
        keep(&self.state, Change::Capturing(begun))?;
        self.journal.notice(&format!(
            "capture {number} of order {} begins: collection {collection}",
            kept.order
        ));
        self.tell_running()?;
        self.begin(clock, None)?;
        Ok(true)
    }

    /// What the capture is; none where the order's scope leaves out all that has changed.
    fn begun(
        &mut self,
        at: usize,
        kept: &Recurring,
        due: Due,
    ) -> Result<Option<Begun>, ServiceError> {
        let mut begun = recurring::next(kept, self.time())?;
        let live = &mut self.lives[at];
        match due {
            Due::Turn(turn) => {
                begun.turn = Some(turn.number);
                begun.capture.due = Some(turn.due);
                begun.capture.missed = live.missed(kept, turn);
            }
            Due::Changes => {
                if let Some(watching) = &live.watching {
                    let mut taken = watching.take(Moment::now());
                    let (plan, _) = orders::whole_plan(&kept.handed, &self.house)?;
                    begun.capture.out_of_scope = keep_in_scope(&plan, &mut taken.changes);
                    if taken.changes.is_empty() {
                        watching.tell_later(&taken.blind);
                        return Ok(None);
                    }
                    begun.capture.watched_since = Some(kept.accepted);
                    begun.capture.changes = taken.changes;
                    begun.capture.blind = taken.blind;
                    begun.looked = taken.looked;
                }
            }
        }
        Ok(Some(begun))
    }

    /// The server's time as far as it is known, else the host's; never before what the server has signed.
    pub(super) fn time(&self) -> Instant {
        let host = (self.clock)();
        let ahead_s = self.measured.map_or(0, |clock| clock.offset_ms / 1000);
        let now = Instant {
            seconds: host.seconds.saturating_sub(ahead_s),
            ..host
        };
        let highest = self.known().known().highest_signed;
        highest.map_or(now, |signed| signed.max(now))
    }
}

/// Whether time alone may change the answer.
fn is_passing(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Expired { .. } | Refusal::NotYetValid)
}
