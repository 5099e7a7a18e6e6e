//! Reads files of the host for one lane, a little ahead of it, on a thread that may be left behind when the host
//! doesn't answer: opened without following links, read once, told whether they changed.
//!
//! Every failure becomes a gap. Nothing here waits for anything but the host and its lane.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::AtomicBool,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use evidence::{
    gap::Reason,
    names,
    records::{FileRecord, FileType, ReadBy},
};

use super::{
    extents,
    queue::{Job, What},
    shared::Shared,
    stored,
};
use crate::files::{OpenError, Opened, Pace, Parents, Stat, digest, open::open_parent, xattrs};
use crate::platform::names::OsStrExt as _;

/// One read; what deflate takes at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Batches on their way to the lane.
const BATCHES: usize = 6;
/// Words in a batch: so many small files go over in one.
const BATCH: usize = 48;
/// How far past its first length a growing file is followed.
const GROWTH_BYTES: u64 = 64 * 1024 * 1024;
/// A link that dissect wants as a file under both names.
const STORED_TWICE: &str = "/etc/os-release";
/// Above the names of files that have none of their own any more.
const OPEN_ROOT: &str = "fs/$open$";

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

/// Nobody listens any longer.
struct Deaf;

struct Reader {
    shared: Arc<Shared>,
    pace: Pace,
    sender: SyncSender<Vec<Fetched>>,
    desk: Arc<Mutex<Desk>>,
    left: Arc<AtomicBool>,
    parents: Parents,
}

impl Reader {
    fn run(mut self) {
        loop {
            self.pace.waits();
            if self.pace.is_stopped() {
                let _nobody_listens = self.flush();
                return;
            }
            let Some(job) = self.shared.queue.try_pop(&self.left) else {
                // The lane shall not wait for what lies here while nothing else comes.
                if self.flush().is_err() || !self.shared.queue.wait_for_more(&self.pace, &self.left)
                {
                    return;
                }
                continue;
            };
            let artifact = job.artifact;
            if self.job(job).is_err() || self.say(Fetched::Settled(artifact)).is_err() {
                return;
            }
            self.set_at_work(None);
        }
    }

    fn job(&mut self, job: Job) -> Result<(), Deaf> {
        let Job { artifact, what } = job;
        match what {
            What::Path(path) => {
                let bytes = path.as_os_str().as_bytes().to_vec();
                self.set_at_work(Some((artifact, bytes)));
                self.pace.works();
                self.path(artifact, &path)
            }
            What::LeftOut(path, why) => {
                let bytes = path.as_os_str().as_bytes().to_vec();
                self.set_at_work(Some((artifact, bytes)));
                self.pace.works();
                self.record_only(artifact, &path, &path, why.to_owned())
            }
            What::Open(name, file) => {
                self.set_at_work(Some((artifact, name.clone().into_bytes())));
                self.pace.works();
                self.open(artifact, &name, file)
            }
        }
    }

    fn path(&mut self, artifact: &'static str, path: &Path) -> Result<(), Deaf> {
        let own = match self.parents.resolve(&self.shared.plan.root, path) {
            Ok(own) => own,
            Err(error) => return self.not_opened(artifact, path, &error),
        };
        if self.shared.is_own(&own) {
            return Ok(());
        }
        if own != path && path != Path::new(STORED_TWICE) {
            self.say_link(artifact, path, &own)?;
            return self.plain(artifact, &own, &own);
        }
        self.plain(artifact, path, &own)
    }

    /// Stores the file at `own` under the name `path`.
    fn plain(&mut self, artifact: &'static str, path: &Path, own: &Path) -> Result<(), Deaf> {
        let opened = match self.parents.open_file(&self.shared.plan.root, own) {
            Ok(opened) => opened,
            Err(OpenError::NotAFile { kind, .. }) => {
                let why = format!("a {kind} is recorded, never opened");
                return self.record_only(artifact, path, own, why);
            }
            Err(error) => return self.not_opened(artifact, path, &error),
        };
        let Opened { file, before, .. } = opened;
        if self.shared.is_own_part(before.identity()) {
            return Ok(());
        }
        let mut record = stored::record(artifact, path, &before);
        match xattrs::read(&file) {
            Ok(found) => stored::add_xattrs(&mut record, found),
            Err(error) => {
                let text = format!("its extended attributes can't be read: {error}");
                self.say_gap(
                    artifact,
                    path.as_os_str().as_bytes(),
                    Reason::ReadError,
                    text,
                )?;
            }
        }
        // Pieces have no entry of their own that a further name could point to.
        if path == own
            && before.size_bytes <= self.shared.plan.content_bytes()
            && let Some(first) = self.shared.stored_before(path, &before)
        {
            record.why_no_entry = Some("stored once, under the first name".to_owned());
            record.hard_link_of = Some(first);
            return self.say(Fetched::Record(Box::new(record)));
        }
        let entry = names::unix_entry(path.as_os_str().as_bytes());
        self.contents(artifact, entry, file, before, record)
    }

    /// Stores a file that only a descriptor still names (deleted, or in memory).
    fn open(&mut self, artifact: &'static str, name: &str, file: File) -> Result<(), Deaf> {
        let entry = names::entry(OPEN_ROOT, name.as_bytes(), b'/');
        let stat = match Stat::of_open(&file) {
            Ok(stat) => stat,
            Err(error) => {
                let text = error.to_string();
                return self.say_gap(artifact, name.as_bytes(), Reason::ReadError, text);
            }
        };
        let mut record = stored::record(artifact, Path::new(name), &stat);
        record.read_by = Some(ReadBy::Proc);
        self.contents(artifact, entry, file, stat, record)
    }

    fn contents(
        &mut self,
        artifact: &'static str,
        entry: String,
        mut file: File,
        before: Stat,
        mut record: FileRecord,
    ) -> Result<(), Deaf> {
        let mut size_bytes = before.size_bytes;
        let mut runs = None;
        if digest::is_sparse(&before) && before.size_bytes > extents::SPARSE_BYTES {
            match extents::of(&file, before.size_bytes) {
                Ok(found) => {
                    size_bytes = found.iter().map(|e| e.size_bytes).sum();
                    record.only_extents.clone_from(&found);
                    runs = Some(found);
                }
                Err((reason, text)) => return self.without(artifact, record, reason, text),
            }
        }
        if !self.shared.tally.takes(artifact, size_bytes) {
            record.why_no_entry = Some("beyond the limit on collected files".to_owned());
            return self.say(Fetched::Record(Box::new(record)));
        }
        self.say(Fetched::Begin(Box::new(Begin {
            record,
            entry,
            size_bytes,
            before,
        })))?;
        let fault = match runs {
            None => {
                let limit_bytes = before.size_bytes.saturating_add(GROWTH_BYTES);
                self.read(&mut file, (before.size_bytes, limit_bytes))?
            }
            Some(runs) => self.read_extents(&mut file, &runs)?,
        };
        let after = Stat::of_open(&file).ok();
        self.say(Fetched::End(End { after, fault }))
    }

    /// Reads on to the end, or to the limit (which is past what is expected where the file may grow); gives why not all could be read.
    fn read(
        &mut self,
        file: &mut File,
        (expected_bytes, limit_bytes): (u64, u64),
    ) -> Result<Option<(Reason, String)>, Deaf> {
        let mut read = 0_u64;
        while read < limit_bytes {
            if self.pace.is_stopped() {
                let text = format!("the run was stopped; only its first {read} bytes are here");
                return Ok(Some((Reason::Interrupted, text)));
            }
            let room = (limit_bytes - read).min(CHUNK_BYTES as u64);
            // One more than is left, so that the end is seen in the same go.
            let left = expected_bytes.saturating_sub(read).saturating_add(1);
            let mut chunk = Vec::with_capacity(room.min(left) as usize);
            // Fills the chunk as far as one file goes, so that few words carry much.
            match file.by_ref().take(room).read_to_end(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(count) => {
                    read += count as u64;
                    self.pace.passed(count);
                    self.say(Fetched::Chunk(chunk))?;
                    if (count as u64) < room {
                        return Ok(None);
                    }
                }
                Err(error) => {
                    read += chunk.len() as u64;
                    self.say(Fetched::Chunk(chunk))?;
                    let text = format!("only its first {read} bytes could be read: {error}");
                    return Ok(Some((Reason::ReadError, text)));
                }
            }
        }
        if expected_bytes == limit_bytes {
            return Ok(None);
        }
        let text = format!("it grew while it was read; only its first {read} bytes are here");
        Ok(Some((Reason::Limit, text)))
    }

    fn read_extents(
        &mut self,
        file: &mut File,
        runs: &[evidence::records::Extent],
    ) -> Result<Option<(Reason, String)>, Deaf> {
        for run in runs {
            if let Err(error) = file.seek(io::SeekFrom::Start(run.offset_bytes)) {
                let text = format!("its data at {} can't be read: {error}", run.offset_bytes);
                return Ok(Some((Reason::ReadError, text)));
            }
            if let Some(fault) = self.read(file, (run.size_bytes, run.size_bytes))? {
                return Ok(Some(fault));
            }
        }
        Ok(None)
    }

    fn say_link(&mut self, artifact: &str, path: &Path, own: &Path) -> Result<(), Deaf> {
        let bytes = path.as_os_str().as_bytes();
        let mut record = FileRecord::new(artifact, bytes, FileType::Link);
        record.why_no_entry =
            Some("it leads through links; see the target's own record".to_owned());
        stored::add_target(&mut record, own);
        self.say(Fetched::Record(Box::new(record)))
    }

    fn record_only(
        &mut self,
        artifact: &'static str,
        path: &Path,
        own: &Path,
        why: String,
    ) -> Result<(), Deaf> {
        let root = &self.shared.plan.root;
        let looked = open_parent(root, own).and_then(|(folder, name)| folder.look(&name));
        match looked {
            Ok(stat) => {
                let mut record = stored::record(artifact, path, &stat);
                record.why_no_entry = Some(why);
                self.say(Fetched::Record(Box::new(record)))
            }
            Err(error) => self.not_opened(artifact, path, &error),
        }
    }

    /// A record of a file whose contents can't be stored, and the gap that says why.
    fn without(
        &mut self,
        artifact: &'static str,
        mut record: FileRecord,
        reason: Reason,
        text: String,
    ) -> Result<(), Deaf> {
        let subject = record.path.clone().into_bytes();
        record.why_no_entry = Some(text.clone());
        self.say(Fetched::Record(Box::new(record)))?;
        self.say_gap(artifact, &subject, reason, text)
    }

    fn not_opened(
        &mut self,
        artifact: &'static str,
        path: &Path,
        error: &OpenError,
    ) -> Result<(), Deaf> {
        let subject = path.as_os_str().as_bytes();
        self.say_gap(artifact, subject, error.reason(), error.to_string())
    }

    fn say_gap(
        &mut self,
        artifact: &'static str,
        subject: &[u8],
        reason: Reason,
        text: String,
    ) -> Result<(), Deaf> {
        self.say(Fetched::Gap(FileGap {
            artifact,
            subject: subject.to_vec(),
            reason,
            text,
        }))
    }

    fn say(&mut self, word: Fetched) -> Result<(), Deaf> {
        // A chunk as long as this is no small file's, and the lane may be waiting for it.
        let is_long = matches!(&word, Fetched::Chunk(bytes) if bytes.len() > CHUNK_BYTES / 4);
        let said = {
            let mut desk = lock(&self.desk);
            desk.batch.push(word);
            desk.batch.len()
        };
        if is_long || said >= BATCH {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Deaf> {
        let batch = std::mem::take(&mut lock(&self.desk).batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.pace.waits();
        let said = self.sender.send(batch).map_err(|_| Deaf);
        self.pace.works();
        said
    }

    fn set_at_work(&self, job: Option<At>) {
        lock(&self.desk).at_work = job;
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}
