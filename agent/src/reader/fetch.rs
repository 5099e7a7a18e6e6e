//! Reads files of the host for one lane, a little ahead of it, on a thread that may be left behind when the host
//! doesn't answer: opened without following links, read once, told whether they changed.
//!
//! Every failure becomes a gap. Nothing here waits for anything but the host and its lane. This file is the lane's side;
//! `reader` is the thread's.

mod contents;
mod reader;

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::AtomicBool,
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

use evidence::{gap::Reason, records::FileRecord};

use self::reader::Reader;
use super::shared::Shared;
use crate::files::{Pace, Parents, Stat};

/// Batches on their way to the lane.
const BATCHES: usize = 6;
/// What a lane hears of its files, in order.
#[derive(Debug)]
pub(super) enum Fetched {
    /// A line of files.jsonl for something without contents.
    Record(Box<FileRecord>),
    /// Something that was not obtained.
    Gap(FileGap),
    /// A file's contents follow.
    Begin(Box<Begin>),
    /// Some of them.
    Chunk(Vec<u8>),
    /// All of them.
    End(End),
    /// A job of this artifact is dealt with.
    Settled(&'static str),
}

/// A gap at a path.
#[derive(Debug)]
pub(super) struct FileGap {
    pub(super) artifact: &'static str,
    pub(super) subject: Vec<u8>,
    pub(super) reason: Reason,
    pub(super) text: String,
}

/// A file that was opened.
#[derive(Debug)]
pub(super) struct Begin {
    /// All but what the read tells.
    pub(super) record: FileRecord,
    pub(super) entry: String,
    /// How much is likely to come.
    pub(super) size_bytes: u64,
    pub(super) before: Stat,
}

/// How a read ended.
#[derive(Debug, Default)]
pub(super) struct End {
    /// What the file was after it.
    pub(super) after: Option<Stat>,
    /// Why not all could be read.
    pub(super) fault: Option<(Reason, String)>,
}

/// A thread that reads for one lane.
#[derive(Debug)]
pub(super) struct Fetcher {
    receiver: Receiver<Vec<Fetched>>,
    pace: Pace,
    desk: Arc<Mutex<Desk>>,
    shared: Arc<Shared>,
    left: Arc<AtomicBool>,
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.shared.queue.leave(&self.left);
    }
}

/// What is before a fetcher: its lane looks at it when the fetcher hangs in the host.
#[derive(Debug, Default)]
struct Desk {
    /// Said, and not sent yet.
    batch: Vec<Fetched>,
    /// Who named the file at work, and its path.
    at_work: Option<At>,
}

/// Who named a file, and its path.
type At = (&'static str, Vec<u8>);

impl Fetcher {
    /// Starts it.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(BATCHES);
        let pace = shared.pace.another();
        let desk = Arc::new(Mutex::new(Desk::default()));
        let left = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            shared: Arc::clone(shared),
            pace: pace.clone(),
            sender,
            desk: Arc::clone(&desk),
            left: Arc::clone(&left),
            parents: Parents::default(),
        };
        // Not a scoped thread: it may never come back, and nobody shall wait for it then.
        thread::Builder::new()
            .name("fetch".to_owned())
            .spawn(move || reader.run())?;
        Ok(Self {
            receiver,
            pace,
            desk,
            shared: Arc::clone(shared),
            left,
        })
    }

    pub(super) fn receiver(&self) -> &Receiver<Vec<Fetched>> {
        &self.receiver
    }

    /// For how long the host has not answered it.
    pub(super) fn silent_for(&self) -> std::time::Duration {
        self.pace.silent_for()
    }

    /// Leaves it behind: what it sent, what it said and didn't send, and the file that it is at (who named it, and its
    /// path).
    pub(super) fn leave(self) -> (Vec<Fetched>, Vec<Fetched>, Option<At>) {
        self.shared.queue.leave(&self.left);
        // What it is just sending, should it come back in this moment, is told as missing at the run's end.
        let mut desk = lock(&self.desk);
        let sent = self.receiver.try_iter().flatten().collect();
        (sent, std::mem::take(&mut desk.batch), desk.at_work.take())
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}
