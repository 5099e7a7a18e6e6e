//! A question and its answer, a line of JSON each, as qemu's monitor and its agent in the guest speak.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// What comes before an answer of the guest's agent where bytes were lost.
const FLUSH: u8 = 0xff;

/// See the module.
#[derive(Debug)]
pub(super) struct Lines(Mutex<Ends>);

#[derive(Debug)]
struct Ends {
    reading: BufReader<UnixStream>,
    events: VecDeque<String>,
}

impl Lines {
    /// Connects to the socket at `path`; no answer may take longer than `patience`.
    pub(super) fn connect(path: &Path, patience: Duration) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(patience))?;
        Ok(Self(Mutex::new(Ends {
            reading: BufReader::new(stream),
            events: VecDeque::new(),
        })))
    }

    /// Asks, and gives what is answered.
    pub(super) fn ask(&self, what: &str, arguments: Value) -> anyhow::Result<Value> {
        let mut ends = self.ends();
        ends.say(what, arguments)?;
        loop {
            let mut line = ends.hear().with_context(|| what.to_owned())?;
            if let Some(answer) = line.get_mut("return") {
                return Ok(answer.take());
            }
            if let Some(error) = line.get("error") {
                bail!("{what}: {error}");
            }
            ends.note(&line);
        }
    }

    /// Says what is not answered.
    pub(super) fn say(&self, what: &str, arguments: Value) -> anyhow::Result<()> {
        self.ends().say(what, arguments)
    }

    /// Waits for an event of this name.
    pub(super) fn wait_for(&self, event: &str) -> anyhow::Result<()> {
        let mut ends = self.ends();
        loop {
            while let Some(noted) = ends.events.pop_front() {
                if noted == event {
                    return Ok(());
                }
            }
            let line = ends.hear().with_context(|| event.to_owned())?;
            ends.note(&line);
        }
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ends {
    fn say(&mut self, what: &str, arguments: Value) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(&json!({"execute": what, "arguments": arguments}))?;
        line.push(b'\n');
        Ok(self.reading.get_mut().write_all(&line)?)
    }

    fn hear(&mut self) -> anyhow::Result<Value> {
        let mut line = Vec::new();
        self.reading.read_until(b'\n', &mut line)?;
        let text = line.strip_prefix(&[FLUSH]).unwrap_or(&line);
        serde_json::from_slice(text).context("no answer")
    }

    fn note(&mut self, line: &Value) {
        if let Some(event) = line["event"].as_str() {
            self.events.push_back(event.to_owned());
        }
    }
}
