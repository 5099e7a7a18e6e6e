//! Follows the collection of an order: keeps its position, and reports how far it is, seldom.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use evidence::{
    gap::Reason,
    ids::{CollectionId, OrderId},
};
use protocol::messages::{Progress, Report};

use super::{
    conversation::Conversation,
    state::{Change, State},
    task::{Position, Watch},
};
use crate::{link::FromReader, stop::Stop};

/// No report of progress follows another sooner.
const PAUSE: Duration = Duration::from_millis(200);

/// The state, for the service and the collection that runs.
pub type SharedState = Arc<Mutex<State>>;

/// Makes `change` durable.
///
/// # Errors
/// The disk refuses.
pub fn keep(state: &SharedState, change: Change) -> Result<(), super::state::StateError> {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.keep(change)
}

/// Who follows.
pub struct Follower {
    order: OrderId,
    collection: CollectionId,
    state: SharedState,
    conversation: Arc<Conversation>,
    given_up: Option<String>,
    stop: Stop,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    last: Option<Instant>,
    waits: Option<Progress>,
}

impl Follower {
    /// Follows the collection of `order`; with `given_up` it is stopped at once, for this reason; told to `stop`, it is paused.
    pub fn new(
        (order, collection): (OrderId, CollectionId),
        state: SharedState,
        conversation: Arc<Conversation>,
        given_up: Option<String>,
        stop: Stop,
    ) -> Self {
        Self {
            order,
            collection,
            state,
            conversation,
            given_up,
            stop,
            told: Mutex::default(),
        }
    }

    /// Reports what was held back.
    pub fn flush(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = told.waits.take() {
            self.report(progress);
        }
    }

    fn report(&self, progress: Progress) {
        let report = Report::Progress {
            order: self.order,
            collection: self.collection,
            progress,
        };
        // Progress that can't be told ends nothing; the link's end shows elsewhere.
        let _ = self.conversation.say(&FromReader::Report { report });
    }

    fn keep(&self, change: Change) -> Result<(), String> {
        keep(&self.state, change).map_err(|e| e.to_string())
    }
}

impl Watch for Follower {
    fn progress(&self, progress: &Progress) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.last.is_some_and(|at| at.elapsed() < PAUSE) {
            told.waits = Some(progress.clone());
            return;
        }
        told.last = Some(Instant::now());
        told.waits = None;
        self.report(progress.clone());
    }

    fn sealing(&self, position: &Position) -> Result<(), String> {
        let position = position.into();
        self.keep(Change::Sealing { position })
    }

    fn durable(&self, position: &Position) -> Result<(), String> {
        let position = position.into();
        self.keep(Change::Durable { position })
    }

    fn stop(&self) -> Option<(Reason, String)> {
        if self.conversation.is_over() {
            return Some((Reason::Interrupted, "the agent was stopped".to_owned()));
        }
        if let Some(why) = &self.given_up {
            return Some((Reason::Interrupted, why.clone()));
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let running = state.known().running.as_ref()?;
        let cancelled = running
            .cancelled
            .clone()
            .map(|why| (Reason::Cancelled, why));
        let cut_short = || Some((Reason::Interrupted, running.cut_short.clone()?));
        cancelled.or_else(cut_short)
    }

    fn pauses(&self) -> bool {
        self.stop.is_told()
    }
}
