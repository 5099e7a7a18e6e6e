//! Orders as they come: told apart from those that are known, judged, parked, refused or taken.

use std::time::{Duration, Instant as Moment};

use evidence::{digest::Digest, instant::Instant};
use protocol::{
    messages::{HandedOrder, Report},
    order_check::Refusal,
};

use super::{Parked, Service, ServiceError, WAITING};
use crate::reader::{
    follow::keep,
    orders,
    state::{Change, Running},
};

/// So long an order waits for the policy that it names, or for a `not_before` that is near.
const PARKED: Duration = Duration::from_secs(30);

impl Service {
    pub(super) fn order(&mut self, message: &[u8]) -> Result<(), ServiceError> {
        if self.is_cloned {
            return Ok(());
        }
        let handed: HandedOrder = match evidence::envelope::parse_strict(message) {
            Ok(handed) => handed,
            Err(error) => {
                self.journal.warning(&format!(
                    "something that is no order was handed over: {error}"
                ));
                return Ok(());
            }
        };
        let digest = orders::digest(&handed);
        let handed_over = handed.digest();
        let earlier = self.known().known().refusal_of(handed_over).cloned();
        if let Some(refused) = earlier {
            // The same order gets the same answer, and no second line anywhere.
            let notice = refused.notice;
            return self.report(Report::Refused { notice });
        }
        if let Some(live) = self.lives.iter().find(|live| live.digest == digest) {
            let order = live.order;
            return self.report(Report::Held { order });
        }
        if let Some(begun) = self.begun_of(digest) {
            return self.tell_accepted(&begun);
        }
        // By all that was handed over: a copy with more signatures is judged on its own.
        let is_same = |other: &HandedOrder| other.digest() == handed_over;
        if self.waiting.iter().any(is_same) || self.parked.iter().any(|p| is_same(&p.handed)) {
            return Ok(());
        }
        self.decide(handed, true)
    }

    /// Judges an order and does what follows; `may_park` where it may wait for what is on its way.
    pub(super) fn decide(
        &mut self,
        handed: HandedOrder,
        may_park: bool,
    ) -> Result<(), ServiceError> {
        let clock = self.ask_time()?;
        let now = (self.clock)();
        let judged = orders::judge(
            &handed,
            self.known().known(),
            &self.trust,
            &self.subject,
            now,
        );
        let accepted = match judged {
            Ok(accepted) => accepted,
            Err(Refusal::UnknownPolicyVersion { found, held })
                if may_park && found > held && self.parked.len() < WAITING =>
            {
                let until = Moment::now() + PARKED;
                self.parked.push(Parked { handed, until });
                return self.say_held();
            }
            Err(Refusal::NotYetValid) if may_park && self.parked.len() < WAITING => {
                let until = Moment::now() + PARKED.min(self.until_valid(&handed, now));
                self.parked.push(Parked { handed, until });
                return Ok(());
            }
            Err(refusal) => return self.refuse(&handed, refusal, now),
        };
        if accepted.order.recurrence.is_some() {
            return self.take_recurring(handed, &accepted);
        }
        if self.running.is_some() {
            if self.waiting.len() < WAITING {
                self.waiting.push_back(handed);
            } else {
                self.journal
                    .warning("too many orders wait: one is left for later");
            }
            return Ok(());
        }
        let change = orders::accept(handed, &accepted, self.known().known(), &self.trust.policy)?;
        keep(&self.state, change)?;
        self.journal.notice(&format!(
            "order {} by {} is accepted: profile {}, collection {}",
            accepted.order.id,
            accepted.order.requester,
            accepted.profile.name,
            self.is_running()
                .map_or_else(String::new, |r| r.collection.to_string())
        ));
        self.tell_running()?;
        self.begin(clock, None)
    }

    /// The collection that an order of this digest has become, where it has not ended.
    fn begun_of(&self, order_sha256: Digest) -> Option<Running> {
        let running = self.running.as_ref().map(|collecting| &collecting.what);
        let mut begun = running.into_iter().chain(&self.asides);
        let collection = begun.find(|b| b.order_sha256 == order_sha256)?.collection;
        let state = self.known();
        let mut all = state.known().begun();
        all.find(|r| r.collection == collection).cloned()
    }

    /// How long until the order is valid, where that is soon; else no time at all.
    fn until_valid(&self, handed: &HandedOrder, now: Instant) -> Duration {
        let highest = self.known().known().highest_signed;
        let now = highest.map_or(now, |signed| signed.max(now));
        let seconds =
            orders::not_before(handed).map_or(0, |t| t.seconds.saturating_sub(now.seconds));
        match u64::try_from(seconds) {
            Ok(seconds) if seconds < PARKED.as_secs() => Duration::from_secs(seconds + 1),
            _ => Duration::ZERO,
        }
    }

    /// Judges again what has waited long enough, or, with `all`, everything.
    pub(super) fn take_up_parked(&mut self, all: bool) -> Result<(), ServiceError> {
        let now = Moment::now();
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.parked)
            .into_iter()
            .partition(|parked| all || parked.until <= now);
        self.parked = later;
        for parked in due {
            let is_over = parked.until <= now;
            self.decide(parked.handed, !is_over)?;
        }
        Ok(())
    }

    pub(super) fn refuse(
        &mut self,
        handed: &HandedOrder,
        refusal: Refusal,
        now: Instant,
    ) -> Result<(), ServiceError> {
        let (change, notice) = orders::refuse(handed, refusal, &self.seal, now)?;
        if let Change::Refused { told, .. } = &change {
            self.journal
                .warning(&format!("{} is refused: {}", told.what, told.why));
        }
        keep(&self.state, change)?;
        self.report(Report::Refused { notice })
    }
}
