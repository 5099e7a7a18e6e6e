//! Follows the collection of an order: keeps its position, and reports how far it is, seldom.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use evidence::{
    gap::Reason,
    ids::{CollectionId, OrderId},
    instant::Instant as WallTime,
};
use protocol::{
    live::Line,
    messages::{Progress, Report},
};

use super::{
    conversation::Conversation,
    live::{self, EndsWith, LiveLog, Pieces},
    state::{Change, State},
    task::{Position, Watch},
    way::Way,
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
    way: Arc<Way>,
    live: LiveLog,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    last: Option<Instant>,
    said: Option<Progress>,
    waits: Option<Progress>,
}

impl Follower {
    /// Follows the collection of `order`; with `given_up` it is stopped at once, for this reason; told to `stop`, it is paused,
    /// and so it is where it is held and another wants its `way`.
    pub fn new(
        (order, collection): (OrderId, CollectionId),
        state: SharedState,
        conversation: Arc<Conversation>,
        given_up: Option<String>,
        (stop, way): (Stop, Arc<Way>),
        recipients: usize,
    ) -> Self {
        Self {
            order,
            collection,
            state,
            conversation,
            given_up,
            stop,
            way,
            live: LiveLog::new(recipients),
            told: Mutex::default(),
        }
    }

    /// Runs `collect`, and tells meanwhile what is new in its log.
    pub(super) fn with_live_log<T>(&self, mut pieces: Pieces, collect: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            let telling = thread::Builder::new().name("live log".to_owned());
            let tell = || {
                self.live.serve(live::PAUSE, |lines, last| {
                    self.tell_lines(&mut pieces, lines, last);
                });
            };
            // Without a thread for it there is no live log, and nothing else is missing.
            let _ = telling.spawn_scoped(scope, tell);
            let _ends = EndsWith(&self.live);
            collect()
        })
    }

    /// What can't be told ends nothing: the archive has it.
    fn tell_lines(&self, pieces: &mut Pieces, lines: &[u8], last: bool) {
        if let Ok((piece, content)) = pieces.next(lines, last, WallTime::now()) {
            let _ = self
                .conversation
                .say(&FromReader::LogPiece { piece, content });
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
        self.way.hold(progress.waits_for.is_some());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // A run that waits has nothing new to say, maybe for hours.
        if told.said.as_ref() == Some(progress) {
            told.waits = None;
            return;
        }
        if told.last.is_some_and(|at| at.elapsed() < PAUSE) {
            told.waits = Some(progress.clone());
            return;
        }
        told.last = Some(Instant::now());
        told.said = Some(progress.clone());
        told.waits = None;
        self.report(progress.clone());
    }

    fn line(&self, line: &Line) {
        self.live.line(line);
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

    fn gives_way(&self) -> bool {
        self.way.is_wanted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_and_a_line_of_the_log_are_told_within_the_times_that_are_promised() {
        // The rest of the way waits for news, not for a time.
        assert!(PAUSE + super::super::conduct::TICK <= Duration::from_millis(500));
        assert!(live::PAUSE <= Duration::from_secs(2));
    }
}
