//! Collections of orders: begun, taken up again, given up, ended; one at a time.

use std::{sync::Arc, thread};

use evidence::records::Clock;

use super::{Collecting, Event, Service, ServiceError};
use crate::link::FromReader;
use crate::platform::program::Use;
use crate::reader::{
    collect::{self, ChainError, CollectError},
    follow::{Follower, keep},
    live::Pieces,
    orders,
    outcome::Outcome,
    state::{Change, Ended, Running},
    task::Task,
};

/// A collection that was cut off so often, and not told to stop, is closed instead of gone on with.
pub(super) const ATTEMPTS: u32 = 5;

impl Service {
    /// Takes up again what was cut off.
    pub(super) fn resume(&mut self) -> Result<(), ServiceError> {
        let Some(running) = self.is_running() else {
            return Ok(());
        };
        let attempt = running.attempt.saturating_add(1);
        keep(&self.state, Change::Resumed { attempt })?;
        self.journal.notice(&format!(
            "collection {} goes on: attempt {attempt}",
            running.collection
        ));
        self.tell_accepted()?;
        let cut_off = (attempt - 1).saturating_sub(running.pauses);
        if cut_off >= 2 * ATTEMPTS {
            return self.give_up(&running);
        }
        let given_up =
            (cut_off >= ATTEMPTS).then(|| format!("the collection was cut off {cut_off} times"));
        self.begin(self.measured, given_up)
    }

    /// Not even a closing part could be made: the chain stays without its end, which verify tells.
    fn give_up(&mut self, running: &Running) -> Result<(), ServiceError> {
        let ended = Ended {
            order: running.order,
            collection: running.collection,
            parts: running.position.as_ref().map_or(0, |p| p.parts()),
            ended_early: Some("the collection could not be brought to an end".to_owned()),
        };
        keep(&self.state, Change::Ended(ended))?;
        self.tell_ended()
    }

    pub(super) fn begin(
        &mut self,
        clock: Option<Clock>,
        given_up: Option<String>,
    ) -> Result<(), ServiceError> {
        let Some(running) = self.is_running() else {
            return Ok(());
        };
        let plan = orders::plan(&running, &self.house)?;
        let authority = orders::authority(&running, self.known().known(), clock)?;
        let order = orders::digest(&running.handed);
        let follower = Follower::new(
            (running.order, running.collection),
            Arc::clone(&self.state),
            Arc::clone(&self.conversation),
            given_up,
            self.stop.clone(),
            plan.recipients.len(),
        );
        let (seal, events) = (self.seal.clone(), self.events.clone());
        let pieces = Pieces {
            seal: seal.clone(),
            recipients: plan.recipients.clone(),
            collection: running.collection,
            order_digest: order,
            attempt: running.attempt,
            before: None,
        };
        let conversation = Arc::clone(&self.conversation);
        let collect = move || {
            let task = Task {
                plan: &plan,
                collection: running.collection,
                seal,
                authority,
                attempt: running.attempt,
                position: running.position.map(Into::into),
                sealing: running.sealing.map(Into::into),
            };
            let outcome = follower.with_live_log(pieces, || {
                collect::run_task(task, &*conversation, &follower)
            });
            follower.flush();
            // Nobody waits for it once the service has ended.
            let _ = events.send(Event::Collected(outcome));
        };
        let named = thread::Builder::new().name("collection".to_owned());
        let thread = named.spawn(collect).map_err(ServiceError::Thread)?;
        self.running = Some(Collecting { thread, order });
        Ok(())
    }

    pub(super) fn collected(
        &mut self,
        outcome: Result<Outcome, CollectError>,
    ) -> Result<(), ServiceError> {
        if let Some(collecting) = self.running.take() {
            // It has said its last.
            let _ = collecting.thread.join();
        }
        let outcome = match outcome {
            Err(CollectError::Chain(ChainError::Paused)) => {
                keep(&self.state, Change::Paused {})?;
                self.journal
                    .notice("the agent was told to stop: what was open is sealed, and the collection goes on at its next start");
                return Ok(());
            }
            other => other.map_err(|e| ServiceError::Collection(Box::new(e)))?,
        };
        if let Some(running) = self.is_running() {
            let last = outcome.parts.iter().map(|p| p.part).max().unwrap_or(0);
            let ended = Ended {
                order: running.order,
                collection: running.collection,
                parts: running.position.map_or(last, |p| p.parts().max(last)),
                ended_early: outcome.ended_early,
            };
            self.journal.notice(&format!(
                "collection {} of order {} ended with {} parts",
                ended.collection, ended.order, ended.parts
            ));
            keep(&self.state, Change::Ended(ended))?;
            // Before its end is told: whoever has heard that may go.
            let used = Use::own();
            self.conversation.say(&FromReader::Used { used })?;
            self.tell_ended()?;
        }
        if self.is_cloned {
            return self.ask_fork();
        }
        while self.running.is_none() {
            let Some(next) = self.waiting.pop_front() else {
                break;
            };
            self.decide(next, true)?;
        }
        Ok(())
    }
}
