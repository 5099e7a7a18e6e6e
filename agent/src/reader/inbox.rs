//! What a lane hears from its fetcher, word by word; a fetcher that hangs in the host is replaced, and the file that it
//! hung at becomes a gap.

use std::{
    collections::VecDeque,
    io::{self, Read},
    sync::{Arc, mpsc::RecvTimeoutError},
    time::Duration,
};

use evidence::gap::Reason;

use super::{
    fetch::{End, Fetched, Fetcher, FileGap},
    shared::Shared,
};

/// How often a silent fetcher is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// A lane's end of its fetcher.
#[derive(Debug)]
pub(super) struct Inbox {
    shared: Arc<Shared>,
    fetcher: Option<Fetcher>,
    words: VecDeque<Fetched>,
    /// The last word given was inside a file.
    is_in_file: bool,
}

impl Inbox {
    /// Starts a fetcher.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        Ok(Self {
            shared: Arc::clone(shared),
            fetcher: Some(Fetcher::start(shared)?),
            words: VecDeque::new(),
            is_in_file: false,
        })
    }

    /// The next word; none when nothing will come any more.
    pub(super) fn next(&mut self) -> Option<Fetched> {
        loop {
            if let Some(word) = self.words.pop_front() {
                self.is_in_file = is_in_file(self.is_in_file, &word);
                return Some(word);
            }
            let fetcher = self.fetcher.as_ref()?;
            match fetcher.receiver().recv_timeout(self.shared.pace.tick(LOOK)) {
                Ok(batch) => self.words.extend(batch),
                Err(RecvTimeoutError::Disconnected) => self.fetcher = None,
                Err(RecvTimeoutError::Timeout) => self.look(),
            }
        }
    }

    /// Replaces a fetcher to which the host doesn't answer; when the run stops, nobody waits for it any longer.
    fn look(&mut self) {
        let patience = if self.shared.pace.is_stopped() {
            LOOK
        } else {
            self.shared.plan.patience
        };
        let hangs = |f: &mut Fetcher| f.silent_for() >= patience;
        let Some(fetcher) = self.fetcher.take_if(hangs) else {
            return;
        };
        let silent_s = fetcher.silent_for().as_secs();
        let (sent, said, at_work) = fetcher.leave();
        self.words.extend(sent);
        self.words.extend(said);
        if let Some((artifact, subject)) = at_work {
            let text = format!("the host did not answer for {silent_s} s; it was left there");
            if self.words.iter().fold(self.is_in_file, is_in_file) {
                self.words.push_back(Fetched::End(End {
                    after: None,
                    fault: Some((Reason::ReadError, text)),
                }));
            } else {
                self.words.push_back(Fetched::Gap(FileGap {
                    artifact,
                    subject,
                    reason: Reason::ReadError,
                    text,
                }));
            }
            self.words.push_back(Fetched::Settled(artifact));
        }
        if !self.shared.pace.is_stopped() {
            // Without another thread, the files that wait are told as not taken at the run's end.
            self.fetcher = Fetcher::start(&self.shared).ok();
        }
    }
}

fn is_in_file(before: bool, word: &Fetched) -> bool {
    match word {
        Fetched::Begin(_) | Fetched::Chunk(_) => true,
        Fetched::End(_) => false,
        _ => before,
    }
}

/// The contents of one file, as its lane reads them.
pub(super) struct Incoming<'i> {
    inbox: &'i mut Inbox,
    chunk: Vec<u8>,
    at: usize,
    end: Option<End>,
}

impl<'i> Incoming<'i> {
    /// Of the file whose beginning `inbox` has just given.
    pub(super) fn new(inbox: &'i mut Inbox) -> Self {
        Self {
            inbox,
            chunk: Vec::new(),
            at: 0,
            end: None,
        }
    }

    /// How the read ended; what is left of it is passed over.
    pub(super) fn finish(mut self) -> End {
        loop {
            if let Some(end) = self.end.take() {
                return end;
            }
            self.more();
        }
    }

    fn more(&mut self) {
        match self.inbox.next() {
            Some(Fetched::Chunk(chunk)) => (self.chunk, self.at) = (chunk, 0),
            Some(Fetched::End(end)) => self.end = Some(end),
            other => {
                // A file's words follow each other; what comes instead belongs to the next.
                self.inbox.words.extend(other);
                let text = "the thread that read it ended before it did".to_owned();
                self.end = Some(End {
                    after: None,
                    fault: Some((Reason::Interrupted, text)),
                });
            }
        }
    }
}

impl Read for Incoming<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            if self.end.is_some() {
                return Ok(0);
            }
            self.more();
        }
        let rest = &self.chunk[self.at..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}
