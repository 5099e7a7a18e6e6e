//! Conducts one run: the volatile artifacts alone into the first part, then the others while the lanes store the files
//! that they name; watches that nothing hangs, and ends the chain whatever happened.

mod ending;
mod hearing;
mod held;

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use evidence::{
    gap::{Reason, Severity},
    records::Counts,
};
use protocol::messages::Progress;

use super::{
    chain::{ChainError, Run, Trouble},
    inbox::Inbox,
    lane::Lane,
    outcome::SealedPart,
    queue::What,
    rest::{Look, Reckoning},
    scope,
    sink::Say,
};
use crate::{
    artifacts::{self, Artifact, Asked, source::NOT_RUNNING},
    config::Wanted,
    files::{Outside, Pace},
};

/// How often the run is looked at while nothing is said.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// The artifacts that there are, the most volatile first.
pub(super) type Registry = &'static [&'static dyn Artifact];

/// What is left when all is sealed.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) parts: Vec<SealedPart>,
    pub(super) counts: Counts,
    pub(super) ended_early: Option<String>,
    pub(super) without_room: u64,
}

/// One artifact whose turn it is, or is next.
enum Speaker {
    /// An earlier attempt has gathered it.
    Finished,
    /// An earlier attempt began with it, and what it tells of is another state by now.
    TooLate,
    /// The order's scope leaves it out.
    OutOfScope(Outside),
    /// Only a running system tells it.
    NotApplicable,
    /// There is no thread for it.
    Dumb(io::Error),
    /// It says what it finds, and shows whether it waits for the host.
    Speaks(Receiver<Say>, Pace),
}

/// See the module.
pub(super) struct Conductor<'r> {
    run: &'r Run<'r>,
    lane: Lane<'r>,
    registry: Registry,
    wanted: Vec<(&'static dyn Artifact, Wanted)>,
    /// Files of a volatile artifact, until its records end.
    waiting: VecDeque<What>,
    inbox: Option<Inbox>,
    progress: Progress,
    reckoning: Reckoning,
    looked: Instant,
    /// What the log has yet to say of the run's being held.
    turns: Vec<(evidence::instant::Instant, &'static str)>,
}

impl<'r> Conductor<'r> {
    /// For the artifacts of `registry` that the plan wants, in the registry's order of volatility.
    pub(super) fn new(run: &'r Run<'r>, registry: Registry) -> Self {
        let plan = &run.shared.plan;
        let chosen = |a: &'static dyn Artifact| {
            let wanted = plan.wanted.iter().find(|w| w.name == a.name())?;
            Some((a, wanted.clone()))
        };
        let wanted: Vec<_> = registry.iter().copied().filter_map(chosen).collect();
        let progress = Progress {
            artifacts_total: u32::try_from(wanted.len()).unwrap_or(u32::MAX),
            ..Progress::default()
        };
        Self {
            run,
            lane: Lane::new(run, 0),
            registry,
            wanted,
            waiting: VecDeque::new(),
            inbox: None,
            progress,
            reckoning: Reckoning::default(),
            looked: Instant::now(),
            turns: Vec::new(),
        }
    }

    /// From the first part to the last.
    pub(super) fn conduct(mut self, lanes: usize) -> Result<Done, ChainError> {
        let outcome = self.gather(lanes);
        self.run.shared.queue.close();
        match outcome {
            Err(Trouble::Fatal(error)) => Err(error),
            _ if self.run.is_paused() => Err(self.pause()),
            // Why is known to the run; the chain's end says it.
            Ok(()) | Err(Trouble::Stopped | Trouble::Lost(_)) => self.finish(),
        }
    }

    fn gather(&mut self, lanes: usize) -> Result<(), Trouble> {
        self.lane.log(None, "the collection begins".to_owned())?;
        self.unknown()?;
        self.short_of_memory()?;
        self.tell_waits()?;
        self.strangers()?;
        self.foreseen()?;
        let (volatile, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.wanted)
            .into_iter()
            .partition(|(a, _)| a.volatile());
        self.wanted = volatile.iter().chain(&others).cloned().collect();
        // All begin at once and are heard by turns: what is gone in seconds is looked at as early as can be.
        let speakers: Vec<_> = volatile.iter().map(|next| self.speaker(next)).collect();
        for (artifact, speaker) in speakers {
            self.artifact(artifact, speaker)?;
        }
        self.inbox = None;
        if others.is_empty() {
            return Ok(());
        }
        // What is gone in seconds is sealed and on its way before the disk is touched.
        if !volatile.is_empty() {
            self.lane.close(false, None)?;
        }
        self.begin_waits();
        self.with_lanes(lanes, &others)
    }

    /// Gathers `others` while lanes store what they name.
    fn with_lanes(
        &mut self,
        lanes: usize,
        others: &[(&'static dyn Artifact, Wanted)],
    ) -> Result<(), Trouble> {
        let run = self.run;
        let (ended, ends) = channel();
        thread::scope(|scope| {
            let lanes: Vec<_> = (1..=lanes)
                .map(|id| {
                    let ended = ended.clone();
                    scope.spawn(move || {
                        let outcome = fill(run, id);
                        let _ = ended.send(());
                        outcome
                    })
                })
                .collect();
            drop(ended);
            let gathered = others.iter().try_for_each(|next| {
                self.wait_where_held()?;
                let (artifact, speaker) = self.speaker(next);
                self.artifact(artifact, speaker)
            });
            run.shared.queue.close();
            self.wait_for(&ends);
            let gathered = gathered.and_then(|()| self.tell_turns());
            let stored = lanes.into_iter().map(|lane| match lane.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            let stored: Vec<Result<(), Trouble>> = stored.collect();
            // A fault of the whole run outweighs what only one lane met.
            let all = std::iter::once(gathered).chain(stored);
            let mut worst = Ok(());
            for outcome in all {
                if matches!(outcome, Err(Trouble::Fatal(_))) || worst.is_ok() {
                    worst = outcome;
                }
            }
            worst
        })
    }

    /// Until every lane has ended.
    fn wait_for(&mut self, ends: &Receiver<()>) {
        loop {
            match ends.recv_timeout(self.run.shared.pace.tick(TICK)) {
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(()) | Err(RecvTimeoutError::Timeout) => self.look(),
            }
        }
    }

    /// What this agent can't do, said at once.
    fn unknown(&mut self) -> Result<(), Trouble> {
        let shared = Arc::clone(&self.run.shared);
        for wanted in &shared.plan.wanted {
            let name = &wanted.name;
            let Some(artifact) = self.registry.iter().find(|a| a.name() == name) else {
                let text = "this agent doesn't know the artifact";
                self.serious(name, name, Reason::UnknownArtifact, text)?;
                continue;
            };
            // What must be told what to look for says itself why it looked for nothing.
            let options = wanted.options.iter();
            for (option, value) in options.filter(|_| artifact.asked() != Asked::Criteria) {
                if let Some(text) = artifacts::option_fault(*artifact, option, value) {
                    self.serious(name, option, Reason::Unsupported, &text)?;
                }
            }
        }
        Ok(())
    }

    /// A limit that is lower than what this agent takes at the least is told, not passed over.
    fn short_of_memory(&mut self) -> Result<(), Trouble> {
        let plan = &self.run.shared.plan;
        let Some(least) = plan.memory_short_of() else {
            return Ok(());
        };
        let limit = plan.limits.memory_bytes;
        let text = format!(
            "the limit of {limit} bytes can't be held: with one lane and small parts the agent takes some {least}"
        );
        let weight = (Reason::Limit, Severity::Ordinary);
        self.lane.gap("limits", b"memory_bytes", weight, &text)
    }

    /// Lets `artifact` begin, where it has anything to say.
    fn speaker(
        &self,
        (artifact, wanted): &(&'static dyn Artifact, Wanted),
    ) -> (&'static dyn Artifact, Speaker) {
        let speaker = if self.run.shared.tally.is_finished_before(artifact.name()) {
            Speaker::Finished
        } else if self.run.is_resumed() && artifact.volatile() {
            Speaker::TooLate
        } else if artifact.needs_running() && !self.run.shared.plan.is_running {
            Speaker::NotApplicable
        } else if let Some(why) = self.out_of_scope(*artifact) {
            Speaker::OutOfScope(why)
        } else {
            self.begin(*artifact, wanted)
        };
        (*artifact, speaker)
    }

    fn out_of_scope(&self, artifact: &dyn Artifact) -> Option<Outside> {
        let bounds = self.run.shared.bounds.as_ref()?;
        scope::leaves_out(bounds, artifact.extent(), evidence::instant::Instant::now())
    }

    /// Users of the scope whom the host does not know are told: nothing of theirs was looked for.
    fn strangers(&mut self) -> Result<(), Trouble> {
        let shared = Arc::clone(&self.run.shared);
        for user in shared.bounds.iter().flat_map(|bounds| &bounds.strangers) {
            let text = "the host knows no user of the order's scope by this name";
            self.serious("scope", user, Reason::NotFound, text)?;
        }
        Ok(())
    }

    /// What the order's keeper knew to be missing, once in the chain.
    fn foreseen(&mut self) -> Result<(), Trouble> {
        if self.run.counts().is_some_and(|(_, parts)| parts > 0) {
            return Ok(());
        }
        let shared = Arc::clone(&self.run.shared);
        for gap in &shared.plan.foreseen {
            let weight = (gap.reason, Severity::Serious);
            self.lane
                .gap(gap.artifact, &gap.subject, weight, &gap.text)?;
        }
        Ok(())
    }

    fn artifact(
        &mut self,
        artifact: &'static dyn Artifact,
        speaker: Speaker,
    ) -> Result<(), Trouble> {
        let name = artifact.name();
        self.progress.artifact = name.to_owned();
        match speaker {
            Speaker::Finished => {}
            Speaker::TooLate => {
                let text = "the run was cut off while this was gathered, and what it tells has changed since";
                self.run.shared.tally.said(name);
                self.serious(name, name, Reason::Interrupted, text)?;
            }
            Speaker::OutOfScope(why) => {
                self.run.shared.tally.said(name);
                self.serious(name, name, Reason::OutOfScope, why.words())?;
            }
            Speaker::NotApplicable => {
                self.run.shared.tally.said(name);
                let weight = (Reason::NotApplicable, Severity::Ordinary);
                self.lane.gap(name, name.as_bytes(), weight, NOT_RUNNING)?;
            }
            Speaker::Dumb(error) => {
                let text = format!("no thread for it: {error}");
                self.serious(name, name, Reason::Limit, &text)?;
            }
            Speaker::Speaks(hears, pace) => {
                self.lane.log(Some(name), format!("{name} begins"))?;
                self.gather_one(name, &hears, &pace)?;
            }
        }
        self.progress.artifacts_done += 1;
        self.look();
        if self.run.shared.stopped().is_some() {
            return Err(Trouble::Stopped);
        }
        Ok(())
    }

    fn serious(
        &mut self,
        artifact: &str,
        subject: &str,
        reason: Reason,
        text: &str,
    ) -> Result<(), Trouble> {
        let weight = (reason, Severity::Serious);
        self.lane.gap(artifact, subject.as_bytes(), weight, text)
    }

    /// Looks whether the run must stop, and tells how far it is; at most once a tick.
    fn look(&mut self) {
        if self.looked.elapsed() < TICK {
            return;
        }
        self.looked = Instant::now();
        self.run.must_stop();
        self.look_whether_held();
        self.tell();
    }

    fn tell(&mut self) {
        if let Some((counts, parts)) = self.run.counts() {
            self.progress.records = counts.records;
            self.progress.files = counts.files;
            self.progress.file_bytes = counts.file_bytes;
            self.progress.gaps = counts.gaps;
            self.progress.parts_sealed = parts;
        }
        self.reckon();
        self.run.watch.progress(&self.progress);
    }

    fn reckon(&mut self) {
        let (settled, waiting) = self.run.shared.tally.files();
        let at = self.run.watch.since(self.run.begun());
        let limit_s = self.run.shared.plan.limits.wall_seconds;
        let limit = Duration::from_secs(limit_s).saturating_sub(self.run.at_work());
        let limit = (limit_s > 0).then_some(limit);
        self.progress.files_waiting = waiting;
        self.progress.rest = self.reckoning.rest(Look {
            at,
            settled,
            waiting,
            is_all_known: self.progress.artifacts_done == self.progress.artifacts_total,
            limit,
        });
    }
}

/// One lane from its first file to its last part but the chain's.
fn fill(run: &Run<'_>, id: usize) -> Result<(), Trouble> {
    let mut lane = Lane::new(run, id);
    let mut inbox = match Inbox::start(&run.shared) {
        Ok(inbox) => inbox,
        Err(error) => {
            let why = format!("the system has no thread for the run: {error}");
            run.shared.stop(Reason::Limit, why);
            return Err(Trouble::Stopped);
        }
    };
    lane.store_all(&mut inbox)?;
    lane.close(false, None)
}
