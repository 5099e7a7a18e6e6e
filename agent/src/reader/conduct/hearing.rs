//! Hears one artifact, on a thread of its own, to its end or to the end of patience with it.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use evidence::gap::Reason;

use super::{Conductor, Speaker, TICK};
use crate::{
    artifacts::Artifact,
    config::Wanted,
    files::Pace,
    reader::{
        chain::Trouble,
        fetch::Fetched,
        inbox::Inbox,
        queue::{Job, What},
        sink::{ArtifactSink, Say},
        weight,
    },
};

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

impl Conductor<'_> {
    /// Lets `artifact` begin on a thread of its own.
    pub(super) fn begin(&self, artifact: &'static dyn Artifact, wanted: &Wanted) -> Speaker {
        let (says, hears) = sync_channel(WORDS);
        let pace = self.run.shared.pace.another();
        let sink = ArtifactSink {
            artifact,
            shared: Arc::clone(&self.run.shared),
            pace: pace.clone(),
            says,
            left_out: 0,
        };
        let wanted = wanted.clone();
        // Not a scoped thread: it may never come back from the host, and nobody shall wait for it then.
        let started = thread::Builder::new()
            .name("artifact".to_owned())
            .spawn(move || sink.run(&wanted));
        match started {
            Ok(_) => Speaker::Speaks(hears, pace),
            Err(error) => Speaker::Dumb(error),
        }
    }

    /// Takes in all that the artifact `name` says, and the files that it named.
    pub(super) fn gather_one(
        &mut self,
        name: &'static str,
        hears: &Receiver<Say>,
        pace: &Pace,
    ) -> Result<(), Trouble> {
        let took = self.hear(name, hears, pace)?;
        self.lane.end_results()?;
        self.store_waiting(name)?;
        self.lane.tell_outside(name)?;
        match took {
            Some(took) => {
                let took = took.as_millis();
                self.lane.log(Some(name), format!("{name} took {took} ms"))
            }
            None => Ok(()),
        }
    }

    /// Hears an artifact to its end, or to the end of patience with it; how long it took, where it came to its end.
    fn hear(
        &mut self,
        name: &'static str,
        hears: &Receiver<Say>,
        pace: &Pace,
    ) -> Result<Option<Duration>, Trouble> {
        let patience = self.run.shared.plan.patience;
        let mut stopped_at = None;
        loop {
            match hears.recv_timeout(self.run.shared.pace.tick(TICK)) {
                Ok(Say::Done(took)) => {
                    if self.run.shared.stopped().is_none() {
                        self.run.shared.tally.said(name);
                    }
                    return Ok(Some(took));
                }
                Ok(word) => self.word(name, word)?,
                Err(RecvTimeoutError::Disconnected) => {
                    let text = "its thread ended before it had said all; what came before is here";
                    self.serious(name, name, Reason::Interrupted, text)?;
                    return Ok(None);
                }
                // Only now: while words wait here, the artifact waits for us.
                Err(RecvTimeoutError::Timeout) if pace.silent_for() >= patience => {
                    let text = format!(
                        "the host did not answer for {} s; the artifact was left there, and what came before is here",
                        patience.as_secs()
                    );
                    self.run.shared.tally.said(name);
                    self.serious(name, name, Reason::ReadError, &text)?;
                    return Ok(None);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.look();
            self.tell_turns()?;
            if self.run.shared.stopped().is_some() {
                let at: &mut Instant = stopped_at.get_or_insert_with(Instant::now);
                if at.elapsed() >= STOP_PATIENCE {
                    return Ok(None);
                }
            }
        }
    }

    fn word(&mut self, name: &'static str, word: Say) -> Result<(), Trouble> {
        match word {
            Say::Records(lines) => {
                if self.lane.is_full_for(name) {
                    self.lane.end_results()?;
                    self.store_waiting(name)?;
                    self.lane.close(false, None)?;
                }
                self.lane.records(name, &lines)
            }
            Say::Gap(subject, reason, text) => {
                let weight = (reason, weight::of_gap(name, reason));
                self.lane.gap(name, &subject, weight, &text)
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
            Say::Done(_) => Ok(()),
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
}
