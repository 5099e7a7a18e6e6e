//! The way out of an artifact into the open part: records stream, files wait until the stream ends.
//!
//! A ZIP takes one entry at a time, so what an artifact names while its records flow is queued
//! (bounded) and stored after them. Nothing here opens a file for writing.

use std::{
    collections::VecDeque,
    fs::File,
    path::{Path, PathBuf},
};

use evidence::gap::{Reason, Severity};

use super::{
    content,
    pipeline::{Pipeline, PipelineError},
};
use crate::artifacts::{Record, Sink, Stopped};

/// How many paths wait at most.
const WAITING_PATHS: usize = 8192;
/// How many open files wait at most: each holds a descriptor.
const WAITING_OPEN: usize = 64;

/// What was named while records streamed.
#[derive(Debug)]
enum Waiting {
    Path(PathBuf),
    Open(String, File),
}

/// The sink of one artifact in one run.
pub(super) struct PartSink<'a, 'p> {
    pipeline: &'a mut Pipeline<'p>,
    artifact: &'static str,
    waiting: VecDeque<Waiting>,
    waiting_open: usize,
    streaming: bool,
    failure: Option<PipelineError>,
}

impl<'a, 'p> PartSink<'a, 'p> {
    /// A sink for `artifact`.
    pub(super) fn new(pipeline: &'a mut Pipeline<'p>, artifact: &'static str) -> Self {
        Self {
            pipeline,
            artifact,
            waiting: VecDeque::new(),
            waiting_open: 0,
            streaming: false,
            failure: None,
        }
    }

    /// Ends the stream and stores what waits; the failure that stopped the run comes out here.
    pub(super) fn finish(mut self) -> Result<(), PipelineError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.flush()
    }

    /// Turns a failure of the run into the word that artifacts understand, and keeps it.
    fn kept(&mut self, outcome: Result<(), PipelineError>) -> Result<(), Stopped> {
        outcome.map_err(|failure| {
            self.failure = Some(failure);
            Stopped
        })
    }

    fn write_record(&mut self, record: &Record) -> Result<(), PipelineError> {
        if !self.streaming {
            // The stream was cut here before, and a name can't stand twice in one part.
            if self.pipeline.part()?.has_results(self.artifact) {
                self.pipeline.close_part()?;
            }
            self.pipeline.part()?.begin_results(self.artifact)?;
            self.streaming = true;
        }
        self.pipeline.part()?.record(record)?;
        if self.pipeline.is_full() {
            self.flush()?;
            self.pipeline.close_part()?;
        }
        self.pipeline.tell(self.artifact);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PipelineError> {
        if self.streaming {
            self.pipeline.part()?.end_results()?;
            self.streaming = false;
        }
        while let Some(next) = self.waiting.pop_front() {
            match next {
                Waiting::Path(path) => content::store(self.pipeline, self.artifact, &path)?,
                Waiting::Open(name, file) => {
                    content::store_open(self.pipeline, self.artifact, &name, file)?;
                }
            }
            self.pipeline.tell(self.artifact);
        }
        self.waiting_open = 0;
        Ok(())
    }

    fn wait(&mut self, what: Waiting) -> Result<(), PipelineError> {
        self.waiting_open += usize::from(matches!(what, Waiting::Open(..)));
        self.waiting.push_back(what);
        let full = self.waiting.len() >= WAITING_PATHS || self.waiting_open >= WAITING_OPEN;
        if full || !self.streaming {
            self.flush()?;
        }
        Ok(())
    }
}

impl Sink for PartSink<'_, '_> {
    fn record(&mut self, record: Record) -> Result<(), Stopped> {
        let outcome = self.write_record(&record);
        self.kept(outcome)
    }

    fn file(&mut self, path: &Path) -> Result<(), Stopped> {
        let outcome = self.wait(Waiting::Path(path.to_path_buf()));
        self.kept(outcome)
    }

    fn open_file(&mut self, name: &str, open: File) -> Result<(), Stopped> {
        let outcome = self.wait(Waiting::Open(name.to_owned(), open));
        self.kept(outcome)
    }

    fn gap(&mut self, subject: &str, reason: Reason, text: &str) -> Result<(), Stopped> {
        let outcome = self
            .pipeline
            .gap(self.artifact, subject, reason, severity(reason), text);
        self.kept(outcome)
    }
}

/// What was asked for by name and is not there weighs more than what a rule swept past.
fn severity(reason: Reason) -> Severity {
    match reason {
        Reason::NotFound | Reason::UnknownArtifact | Reason::Interrupted => Severity::Serious,
        _ => Severity::Ordinary,
    }
}
