//! Cancellations: judged, kept until their order expires, and obeyed at once by what runs or waits.

use evidence::{envelope::Envelope, ids::OrderId, instant::Instant};
use protocol::{
    error::DocumentError,
    messages::{HandedOrder, Report},
    order::{Cancel, Order},
    order_check::Refusal,
};

use super::{Service, ServiceError};
use crate::reader::{follow::keep, state::Change};

/// So much of a reason is kept; it may be long, and the journal is others' too.
const REASON_CHARS: usize = 200;
/// No order outlives the policy that it was signed under, and that one not a year by much.
const YEAR_S: i64 = 400 * 86_400;

impl Service {
    /// A cancellation was handed over.
    pub(super) fn cancel(&mut self, message: &[u8]) -> Result<(), ServiceError> {
        let cancel = match self.judge_cancel(message) {
            Ok(cancel) => cancel,
            Err(error) => {
                self.journal
                    .warning(&format!("a cancellation does not count: {error}"));
                return Ok(());
            }
        };
        let order = cancel.order;
        if !self.holds_cancel(order) {
            let reason: String = cancel.reason.chars().take(REASON_CHARS).collect();
            let why = format!("cancelled by {}: {reason}", cancel.by);
            self.journal.notice(&format!("order {order} is {why}"));
            // Whoever shows a wrong end to the person who cancels must not have it forgotten early.
            let year = Instant {
                seconds: (self.clock)().seconds.saturating_add(YEAR_S),
                ns: 0,
            };
            let expires = cancel.expires.max(year);
            keep(
                &self.state,
                Change::Cancelled {
                    order,
                    expires,
                    why,
                },
            )?;
        }
        self.report(Report::Cancelled { order })?;
        self.refuse_cancelled(order)
    }

    fn judge_cancel(&self, message: &[u8]) -> Result<Cancel, DocumentError> {
        let envelope = Envelope::parse(message)?;
        Cancel::open(&envelope, &self.trust.policy, &self.subject.agency)
    }

    /// Whether nothing new can come of another cancellation of `order`.
    fn holds_cancel(&self, order: OrderId) -> bool {
        let state = self.known();
        let known = state.known();
        let goes_on = |r: &super::Running| r.order == order && r.cancelled.is_none();
        known.cancelled.contains_key(&order) && !known.begun().any(goes_on)
    }

    /// Orders that wait for their turn or for their time need not wait for it to be refused.
    fn refuse_cancelled(&mut self, order: OrderId) -> Result<(), ServiceError> {
        let waiting = std::mem::take(&mut self.waiting);
        let (mut all, others): (Vec<HandedOrder>, Vec<_>) =
            waiting.into_iter().partition(|handed| is(handed, order));
        self.waiting = others.into();
        let parked = self.parked.extract_if(.., |p| is(&p.handed, order));
        all.extend(parked.map(|p| p.handed));
        let now = (self.clock)();
        all.iter()
            .try_for_each(|handed| self.refuse(handed, Refusal::Cancelled, now))
    }
}

fn is(handed: &HandedOrder, order: OrderId) -> bool {
    let envelope = Envelope::parse(handed.order.as_bytes()).ok();
    let read = envelope.and_then(|envelope| Order::read(&envelope).ok());
    read.is_some_and(|read| read.id == order)
}
