//! Conducts one run: the volatile artifacts alone into the first part, then the others while the lanes store the files
//! that they name; watches that nothing hangs, and ends the chain whatever happened.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel, sync_channel},
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
    fetch::Fetched,
    inbox::Inbox,
    lane::Lane,
    outcome::SealedPart,
    port::SlotError,
    queue::{Job, What},
    sink::{ArtifactSink, Say},
};
use crate::{
    artifacts::{self, Artifact},
    config::Wanted,
    files::Pace,
};

/// How often the run is looked at while nothing is said.
const TICK: Duration = Duration::from_millis(100);
/// How long an artifact may take to notice that the run stops.
const STOP_PATIENCE: Duration = Duration::from_millis(800);
/// What an artifact may say before the conductor has heard it.
const WORDS: usize = 64;
/// Open files that wait while records stream: each holds a descriptor.
const WAITING_OPEN: usize = 64;
/// Paths that wait while records stream.
const WAITING: usize = 8192;
/// Files handed to the conductor's own fetcher at once.
const HANDFUL: usize = 32;

/// The artifacts that there are, the most volatile first.
pub(super) type Registry = &'static [&'static dyn Artifact];

/// What is left when all is sealed.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) parts: Vec<SealedPart>,
    pub(super) counts: Counts,
    pub(super) ended_early: Option<String>,
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
    looked: Instant,
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
            looked: Instant::now(),
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
        let (volatile, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.wanted)
            .into_iter()
            .partition(|(a, _)| a.volatile());
        self.wanted = volatile.iter().chain(&others).cloned().collect();
        for (artifact, wanted) in &volatile {
            self.artifact(*artifact, wanted)?;
        }
        self.inbox = None;
        if others.is_empty() {
            return Ok(());
        }
        // What is gone in seconds is sealed and on its way before the disk is touched.
        self.lane.close(false, None)?;
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
            let gathered = others
                .iter()
                .try_for_each(|(artifact, wanted)| self.artifact(*artifact, wanted));
            run.shared.queue.close();
            self.wait_for(&ends);
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
            match ends.recv_timeout(TICK) {
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
            for (option, value) in &wanted.options {
                if let Some(text) = artifacts::option_fault(*artifact, option, value) {
                    self.serious(name, option, Reason::Unsupported, text)?;
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

    fn artifact(
        &mut self,
        artifact: &'static dyn Artifact,
        wanted: &Wanted,
    ) -> Result<(), Trouble> {
        let name = artifact.name();
        self.progress.artifact = name.to_owned();
        let tally = &self.run.shared.tally;
        if !tally.is_finished_before(name) {
            if self.run.is_resumed() && artifact.volatile() {
                let text = "the run was cut off while this was gathered, and what it tells has changed since";
                tally.said(name);
                self.serious(name, name, Reason::Interrupted, text)?;
            } else {
                self.gather_one(artifact, wanted)?;
            }
        }
        self.progress.artifacts_done += 1;
        self.look();
        if self.run.shared.stopped().is_some() {
            return Err(Trouble::Stopped);
        }
        Ok(())
    }

    fn gather_one(
        &mut self,
        artifact: &'static dyn Artifact,
        wanted: &Wanted,
    ) -> Result<(), Trouble> {
        let began = Instant::now();
        let (says, hears) = sync_channel(WORDS);
        let pace = self.run.shared.pace.another();
        let sink = ArtifactSink {
            artifact,
            shared: Arc::clone(&self.run.shared),
            pace: pace.clone(),
            says,
        };
        let wanted = wanted.clone();
        // Not a scoped thread: it may never come back from the host, and nobody shall wait for it then.
        let started = thread::Builder::new()
            .name("artifact".to_owned())
            .spawn(move || sink.run(&wanted));
        let name = artifact.name();
        if let Err(error) = started {
            let text = format!("no thread for it: {error}");
            return self.serious(name, name, Reason::Limit, &text);
        }
        self.hear(name, &hears, &pace)?;
        self.lane.end_results()?;
        self.store_waiting(name)?;
        let took = began.elapsed().as_millis();
        self.lane.log(Some(name), format!("{name} took {took} ms"))
    }

    /// Hears an artifact to its end, or to the end of patience with it.
    fn hear(
        &mut self,
        name: &'static str,
        hears: &Receiver<Say>,
        pace: &Pace,
    ) -> Result<(), Trouble> {
        let patience = self.run.shared.plan.patience;
        let mut stopped_at = None;
        loop {
            match hears.recv_timeout(TICK) {
                Ok(Say::Done) => {
                    if self.run.shared.stopped().is_none() {
                        self.run.shared.tally.said(name);
                    }
                    return Ok(());
                }
                Ok(word) => self.word(name, word)?,
                Err(RecvTimeoutError::Disconnected) => {
                    let text = "its thread ended before it had said all; what came before is here";
                    return self.serious(name, name, Reason::Interrupted, text);
                }
                // Only now: while words wait here, the artifact waits for us.
                Err(RecvTimeoutError::Timeout) if pace.silent_for() >= patience => {
                    let text = format!(
                        "the host did not answer for {} s; the artifact was left there, and what came before is here",
                        patience.as_secs()
                    );
                    self.run.shared.tally.said(name);
                    return self.serious(name, name, Reason::ReadError, &text);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.look();
            if self.run.shared.stopped().is_some() {
                let at: &mut Instant = stopped_at.get_or_insert_with(Instant::now);
                if at.elapsed() >= STOP_PATIENCE {
                    return Ok(());
                }
            }
        }
    }

    fn word(&mut self, name: &'static str, word: Say) -> Result<(), Trouble> {
        match word {
            Say::Record(record) => {
                if self.lane.is_full_for(name) {
                    self.lane.end_results()?;
                    self.store_waiting(name)?;
                    self.lane.close(false, None)?;
                }
                self.lane.record(name, &record)
            }
            Say::Gap(subject, reason, text) => {
                let weight = (reason, severity(reason));
                self.lane.gap(name, subject.as_bytes(), weight, &text)
            }
            Say::File(what) => {
                self.waiting.push_back(what);
                let is_open = |w: &&What| matches!(w, What::Open(..));
                let open = self.waiting.iter().filter(is_open).count();
                if self.waiting.len() >= WAITING || open >= WAITING_OPEN {
                    self.lane.end_results()?;
                    self.store_waiting(name)?;
                }
                Ok(())
            }
            Say::Done => Ok(()),
        }
    }

    /// Stores the files that waited for the end of the records, into the same part.
    fn store_waiting(&mut self, artifact: &'static str) -> Result<(), Trouble> {
        while !self.waiting.is_empty() {
            let inbox = match &mut self.inbox {
                Some(inbox) => inbox,
                none => match Inbox::start(&self.run.shared) {
                    Ok(inbox) => none.insert(inbox),
                    // They are told as not taken at the run's end.
                    Err(_) => {
                        self.waiting.clear();
                        return Ok(());
                    }
                },
            };
            let handful = self.waiting.len().min(HANDFUL);
            for what in self.waiting.drain(..handful) {
                let job = Job { artifact, what };
                if self
                    .run
                    .shared
                    .queue
                    .push(job, &self.run.shared.pace)
                    .is_err()
                {
                    return Err(Trouble::Stopped);
                }
            }
            let mut settled = 0;
            while settled < handful {
                let Some(word) = inbox.next() else {
                    return Err(Trouble::Stopped);
                };
                settled += usize::from(matches!(word, Fetched::Settled(_)));
                self.lane.hear(word, inbox)?;
            }
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
        self.run.watch.progress(&self.progress);
    }

    /// Seals what is open and leaves the chain as it is, to be gone on with.
    fn pause(mut self) -> ChainError {
        if !self.lane.is_open() {
            return ChainError::Paused;
        }
        let text = "the agent was told to stop; the collection goes on at its next start";
        let sealed = self
            .lane
            .log(None, text.to_owned())
            .and_then(|()| self.lane.close(false, None));
        match sealed {
            Err(Trouble::Fatal(error)) => error,
            // What could not be sealed is gathered again.
            Ok(()) | Err(Trouble::Stopped | Trouble::Lost(_)) => ChainError::Paused,
        }
    }

    /// Ends the chain: what is missing is told in the last part, which is sealed whatever stopped the run.
    fn finish(mut self) -> Result<Done, ChainError> {
        let is_stopped = self.run.shared.stopped().is_some();
        if !is_stopped {
            // The last file may have met a limit just now.
            self.run.must_stop();
        }
        self.lane.begin_closing();
        let closed = match self.close_chain() {
            // What was in the part so far is lost and told as such; what tells it is small.
            Err(Trouble::Lost(_)) => self.close_chain(),
            other => other,
        };
        match closed {
            Ok(()) => {}
            Err(Trouble::Fatal(error)) => return Err(error),
            Err(Trouble::Lost(text)) => return Err(SlotError::Failed(text).into()),
            Err(Trouble::Stopped) => {
                let text = "the run was stopped before its chain could be ended".to_owned();
                return Err(SlotError::Failed(text).into());
            }
        }
        self.tell();
        let (parts, counts) = self.run.end()?;
        Ok(Done {
            parts,
            counts,
            ended_early: self.run.shared.stopped().map(|s| s.why.clone()),
        })
    }

    fn close_chain(&mut self) -> Result<(), Trouble> {
        let stop = self.run.shared.stopped().cloned();
        self.tell_missing()?;
        let why = stop.map(|s| s.why);
        let message = match &why {
            Some(why) => format!("the collection ends early: {why}"),
            None => "the collection ends".to_owned(),
        };
        self.lane.log(None, message)?;
        self.lane.close(true, why)
    }

    /// A gap for every artifact that is not whole, and for what limits left out.
    fn tell_missing(&mut self) -> Result<(), Trouble> {
        let standings = self.run.shared.tally.standings();
        let stop = self.run.shared.stopped().cloned();
        for (artifact, _) in self.wanted.clone() {
            let name = artifact.name();
            let standing = standings.get(name).copied().unwrap_or_default();
            if standing.beyond > 0 {
                let text = format!("{} files are beyond the limits of the run", standing.beyond);
                self.serious(name, name, Reason::Limit, &text)?;
            }
            if standing.is_lost {
                let text = "a part that held some of it could not be sealed";
                self.serious(name, name, Reason::ReadError, text)?;
            }
            if standing.is_whole() {
                continue;
            }
            let files = match standing.waiting {
                0 => String::new(),
                n => format!(", {n} files that it named not being read"),
            };
            match &stop {
                Some(stop) => {
                    let text = format!("it is not whole{files}: {}", stop.why);
                    self.serious(name, name, stop.reason, &text)?;
                }
                None => {
                    let text = format!("it is not whole{files}");
                    self.serious(name, name, Reason::Interrupted, &text)?;
                }
            }
        }
        Ok(())
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

/// What was asked for by name and is not there weighs more than what a rule swept past.
fn severity(reason: Reason) -> Severity {
    match reason {
        Reason::NotFound | Reason::UnknownArtifact | Reason::Interrupted => Severity::Serious,
        _ => Severity::Ordinary,
    }
}
