//! Collections of orders: begun, taken up again, given up, ended; one runs at a time.

use std::{sync::Arc, thread};

use evidence::records::Clock;

use super::{Collecting, Event, Service, ServiceError, asides::Unfinished};
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
    way::Way,
};

/// A collection that was cut off so often, and not told to stop, is closed instead of gone on with.
pub(super) const ATTEMPTS: u32 = 5;

impl Service {
    /// Takes up again what was cut off, and says of all that was begun that it goes on.
    pub(super) fn resume(&mut self) -> Result<(), ServiceError> {
        let running = self.is_running();
        if let Some(running) = &running {
            let attempt = running.attempt.saturating_add(1);
            keep(&self.state, Change::Resumed { attempt })?;
        }
        let begun: Vec<Running> = self.known().known().begun().cloned().collect();
        begun.iter().try_for_each(|one| self.tell_accepted(one))?;
        let asides = begun.iter().skip(usize::from(running.is_some()));
        let asides: Result<_, _> = asides.map(|r| Unfinished::of(r, &self.house)).collect();
        self.asides = asides?;
        match running {
            Some(_) => self.go_on(),
            None => Ok(()),
        }
    }

    /// Goes on with what the state says to run, which was begun before.
    pub(super) fn go_on(&mut self) -> Result<(), ServiceError> {
        let Some(running) = self.is_running() else {
            return Ok(());
        };
        let attempt = running.attempt;
        self.journal.notice(&format!(
            "collection {} goes on: attempt {attempt}",
            running.collection
        ));
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
        self.ended(Ended {
            order: running.order,
            collection: running.collection,
            parts: running.position.as_ref().map_or(0, |p| p.parts()),
            ended_early: Some("the collection could not be brought to an end".to_owned()),
        })
    }

    pub(super) fn begin(
        &mut self,
        clock: Option<Clock>,
        given_up: Option<String>,
    ) -> Result<(), ServiceError> {
        let Some(running) = self.is_running() else {
            return Ok(());
        };
        let what = Unfinished::of(&running, &self.house)?;
        let way = Arc::<Way>::default();
        let plan = orders::plan(&running, &self.house)?;
        let authority = orders::authority(&running, self.known().known(), clock)?;
        let follower = Follower::new(
            (running.order, running.collection),
            Arc::clone(&self.state),
            Arc::clone(&self.conversation),
            given_up,
            (self.stop.clone(), Arc::clone(&way)),
            plan.recipients.len(),
        );
        let (seal, events) = (self.seal.clone(), self.events.clone());
        let pieces = Pieces {
            seal: seal.clone(),
            recipients: plan.recipients.clone(),
            collection: running.collection,
            order_digest: what.order_sha256,
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
        self.running = Some(Collecting { thread, what, way });
        Ok(())
    }

    pub(super) fn collected(
        &mut self,
        outcome: Result<Outcome, CollectError>,
    ) -> Result<(), ServiceError> {
        let Some(collecting) = self.running.take() else {
            return Ok(());
        };
        // It has said its last.
        let _ = collecting.thread.join();
        let outcome = match outcome {
            Err(CollectError::Chain(ChainError::Paused)) if self.stop.is_told() => {
                keep(&self.state, Change::Paused {})?;
                self.journal
                    .notice("the agent was told to stop: what was open is sealed, and the collection goes on at its next start");
                return Ok(());
            }
            Err(CollectError::Chain(ChainError::Paused)) => return self.put_aside(collecting.what),
            other => other.map_err(|e| ServiceError::Collection(Box::new(e)))?,
        };
        let Some(running) = self.is_running() else {
            return Ok(());
        };
        let last = outcome.parts.iter().map(|p| p.part).max().unwrap_or(0);
        self.ended(Ended {
            order: running.order,
            collection: running.collection,
            parts: running.position.map_or(last, |p| p.parts().max(last)),
            ended_early: outcome.ended_early,
        })
    }

    fn ended(&mut self, ended: Ended) -> Result<(), ServiceError> {
        keep(&self.state, Change::Ended(ended))?;
        // Before its end is told: whoever has heard that may go.
        let used = Use::own();
        self.conversation.say(&FromReader::Used { used })?;
        self.tell_ended()?;
        match self.is_cloned && self.asides.is_empty() {
            true => self.ask_fork(),
            false => Ok(()),
        }
    }
}
