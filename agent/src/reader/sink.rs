//! The way out of an artifact, on the artifact's own thread: records and gaps go to the conductor, files to the lanes.

use std::{
    ffi::OsStr,
    fs::File,
    path::Path,
    sync::{Arc, mpsc::SyncSender},
    time::{Duration, Instant},
};

use evidence::{archive::Lines, gap::Reason};

use super::{
    queue::{Job, What},
    scope,
    shared::Shared,
};
use crate::{
    artifacts::{Artifact, Request, Sink, Stopped},
    config::Wanted,
    files::{Outside, Pace},
    platform::names::OsStrExt as _,
};

/// What an artifact says.
#[derive(Debug)]
pub(super) enum Say {
    Records(Lines),
    /// Of what (its exact bytes), why, and more for people.
    Gap(Vec<u8>, Reason, String),
    /// A file that belongs into the same part as the records.
    File(What),
    /// It has said all, and took so long.
    Done(Duration),
}

/// The sink of one artifact in one run.
pub(super) struct ArtifactSink {
    pub(super) artifact: &'static dyn Artifact,
    pub(super) shared: Arc<Shared>,
    /// Shows whether the artifact is waiting for the host.
    pub(super) pace: Pace,
    pub(super) says: SyncSender<Say>,
    /// Records that the order's scope left out.
    pub(super) left_out: u64,
}

impl ArtifactSink {
    /// Lets the artifact gather as `wanted` says.
    pub(super) fn run(mut self, wanted: &Wanted) {
        let shared = Arc::clone(&self.shared);
        let pace = self.pace.clone();
        let request = Request {
            root: &shared.plan.root,
            is_running: shared.plan.is_running,
            paths: &shared.plan.paths,
            options: &wanted.options,
            own: &shared.plan.own,
            pace: &pace,
            bounds: shared.bounds.as_ref(),
        };
        let began = Instant::now();
        pace.works();
        // A stop is known to the conductor already.
        let _ = self
            .artifact
            .collect(&request, &mut self)
            .and_then(|()| self.tell_left_out());
        pace.waits();
        let _ = self.says.send(Say::Done(began.elapsed()));
    }

    fn say(&self, say: Say) -> Result<(), Stopped> {
        // A walk costs as much as a read; what is gone in seconds waits for nothing.
        if !self.artifact.volatile() {
            self.pace.passed(0);
        }
        if self.pace.is_stopped() {
            return Err(Stopped);
        }
        self.pace.waits();
        let said = self.says.send(say).map_err(|_| Stopped);
        self.pace.works();
        said
    }

    /// Leaves out the records that the order's scope does not take in.
    fn within_scope(&mut self, lines: Lines) -> Lines {
        let Some(bounds) = &self.shared.bounds else {
            return lines;
        };
        let (kept, left_out) = scope::choose(bounds, self.artifact.extent(), lines);
        self.left_out += left_out;
        kept
    }

    fn tell_left_out(&mut self) -> Result<(), Stopped> {
        if self.left_out == 0 {
            return Ok(());
        }
        let text = format!(
            "{} records were left out by the order's scope",
            self.left_out
        );
        self.missing(OsStr::new("scope"), Reason::OutOfScope, &text)
    }

    fn named(&self, what: What) -> Result<(), Stopped> {
        let artifact = self.artifact.name();
        self.shared.tally.named(artifact);
        if self.artifact.volatile() {
            return self.say(Say::File(what));
        }
        self.pace.waits();
        let queued = self.shared.queue.push(Job { artifact, what }, &self.pace);
        self.pace.works();
        queued
    }
}

impl Sink for ArtifactSink {
    fn records(&mut self, lines: Lines) -> Result<(), Stopped> {
        let lines = self.within_scope(lines);
        match lines.is_empty() {
            true => Ok(()),
            false => self.say(Say::Records(lines)),
        }
    }

    fn file(&mut self, path: &Path) -> Result<(), Stopped> {
        self.named(What::Path(path.to_path_buf()))
    }

    fn left_out(&mut self, path: &Path, why: &'static str) -> Result<(), Stopped> {
        self.named(What::LeftOut(path.to_path_buf(), why))
    }

    fn open_file(&mut self, name: &str, open: File) -> Result<(), Stopped> {
        self.named(What::Open(name.to_owned(), open))
    }

    fn missing(&mut self, subject: &OsStr, reason: Reason, text: &str) -> Result<(), Stopped> {
        let subject = subject.as_bytes().to_vec();
        self.say(Say::Gap(subject, reason, text.to_owned()))
    }

    fn out_of_scope(&mut self, why: Outside, count: u64) {
        if count > 0 {
            let artifact = self.artifact.name();
            self.shared.tally.out_of_scope(artifact, why, count);
        }
    }
}
