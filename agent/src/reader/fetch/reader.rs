//! The thread that reads for a lane: takes one job after the other, opens what it names, and says what it finds.

use std::{
    fs::File,
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicBool, mpsc::SyncSender},
};

use evidence::{
    gap::Reason,
    names,
    records::{FileRecord, FileType, ReadBy},
};

use super::{At, Desk, Fetched, FileGap, contents::CHUNK_BYTES, lock};
use crate::files::{OpenError, Opened, Outside, Pace, Parents, Stat, open::open_parent, xattrs};
use crate::platform::names::OsStrExt as _;
use crate::reader::{
    queue::{Job, What},
    shared::Shared,
    stored,
};

/// Words in a batch: so many small files go over in one.
const BATCH: usize = 48;
/// A chunk that is sent at once.
const LONG_BYTES: usize = CHUNK_BYTES / 4;
/// A link that dissect wants as a file under both names.
const STORED_TWICE: &str = "/etc/os-release";
/// Above the names of files that have none of their own any more.
const OPEN_ROOT: &str = "fs/$open$";

/// Nobody listens any longer.
pub(super) struct Deaf;

pub(super) struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) pace: Pace,
    pub(super) sender: SyncSender<Vec<Fetched>>,
    pub(super) desk: Arc<Mutex<Desk>>,
    pub(super) left: Arc<AtomicBool>,
    pub(super) parents: Parents,
}

impl Reader {
    pub(super) fn run(mut self) {
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
                self.begin(artifact, &path);
                self.path(artifact, &path)
            }
            What::LeftOut(path, why) => {
                self.begin(artifact, &path);
                self.record_only(artifact, &path, &path, why.to_owned())
            }
            What::Open(name, file) => {
                self.begin(artifact, Path::new(&name));
                self.open(artifact, &name, file)
            }
        }
    }

    /// Begins with what is called `name`: should the host not answer, its lane tells that. Where there is a scope, what
    /// was not judged yet has no name.
    fn begin(&mut self, artifact: &'static str, name: &Path) {
        let is_free = self.shared.bounds.is_none();
        let name = if is_free { name } else { Path::new("scope") };
        self.set_at_work(Some((artifact, name.as_os_str().as_bytes().to_vec())));
        self.pace.works();
    }

    fn path(&mut self, artifact: &'static str, path: &Path) -> Result<(), Deaf> {
        if let Err(why) = self.within_paths(&[path]) {
            return self.out_of_scope(artifact, why);
        }
        let own = match self.parents.resolve(&self.shared.plan.root, path) {
            Ok(own) => own,
            Err(error) => return self.not_looked(artifact, path, &error),
        };
        if self.shared.is_own(&own) {
            return Ok(());
        }
        if let Err(why) = self.within_paths(&[&own]) {
            return self.out_of_scope(artifact, why);
        }
        let looked = match self.parents.look(&self.shared.plan.root, &own) {
            Ok(looked) => looked,
            Err(error) => return self.not_looked(artifact, path, &error),
        };
        if let Err(why) = self.judge(&looked) {
            return self.out_of_scope(artifact, why);
        }
        if own != path && path != Path::new(STORED_TWICE) {
            self.say_link(artifact, path, &own)?;
            return self.plain(artifact, &own, &own, &looked);
        }
        self.plain(artifact, path, &own, &looked)
    }

    /// Stores the file at `own`, which was `looked` at and judged, under the name `path`.
    fn plain(
        &mut self,
        artifact: &'static str,
        path: &Path,
        own: &Path,
        looked: &Stat,
    ) -> Result<(), Deaf> {
        self.set_at_work(Some((artifact, path.as_os_str().as_bytes().to_vec())));
        let opened = match self.parents.open(&self.shared.plan.root, own, looked) {
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
        // It may have become another's since the look.
        if let Err(why) = self.judge(&before) {
            return self.out_of_scope(artifact, why);
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
        if let Err(why) = self.judge(&stat) {
            return self.out_of_scope(artifact, why);
        }
        let mut record = stored::record(artifact, Path::new(name), &stat);
        record.read_by = Some(ReadBy::Proc);
        self.contents(artifact, entry, file, stat, record)
    }

    /// Records that `path` leads to `own`, which was judged; the links are judged here.
    fn say_link(&mut self, artifact: &'static str, path: &Path, own: &Path) -> Result<(), Deaf> {
        let bounds = self.shared.bounds.as_ref();
        if let Some(Err(why)) = bounds.map(|b| b.links(&self.shared.plan.root, path)) {
            return self.out_of_scope(artifact, why);
        }
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
        if let Err(why) = self.within_paths(&[path, own]) {
            return self.out_of_scope(artifact, why);
        }
        let root = &self.shared.plan.root;
        let looked = open_parent(root, own).and_then(|(folder, name)| folder.look(&name));
        match looked {
            Ok(stat) => {
                if let Err(why) = self.judge(&stat) {
                    return self.out_of_scope(artifact, why);
                }
                let mut record = stored::record(artifact, path, &stat);
                record.why_no_entry = Some(why);
                self.say(Fetched::Record(Box::new(record)))
            }
            Err(error) => self.not_looked(artifact, path, &error),
        }
    }

    /// Whether the order's scope takes all of `paths` in.
    fn within_paths(&self, paths: &[&Path]) -> Result<(), Outside> {
        match &self.shared.bounds {
            Some(bounds) => paths.iter().try_for_each(|path| bounds.path(path)),
            None => Ok(()),
        }
    }

    /// Whether the order's scope takes in what `stat` is of.
    fn judge(&self, stat: &Stat) -> Result<(), Outside> {
        self.shared.bounds.as_ref().map_or(Ok(()), |b| b.file(stat))
    }

    /// Counted, not named: its lane or the conductor tells the number.
    fn out_of_scope(&self, artifact: &'static str, why: Outside) -> Result<(), Deaf> {
        self.shared.tally.out_of_scope(artifact, why, 1);
        Ok(())
    }

    /// Nobody knows whose it is: where the scope names users it counts as another's.
    fn not_looked(
        &mut self,
        artifact: &'static str,
        path: &Path,
        error: &OpenError,
    ) -> Result<(), Deaf> {
        match self.shared.bounds.as_ref().map(|b| b.user(None)) {
            Some(Err(why)) => self.out_of_scope(artifact, why),
            _ => self.not_opened(artifact, path, error),
        }
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

    pub(super) fn say_gap(
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

    pub(super) fn say(&mut self, word: Fetched) -> Result<(), Deaf> {
        // A chunk as long as this is no small file's, and the lane may be waiting for it.
        let is_long = matches!(&word, Fetched::Chunk(bytes) if bytes.len() > LONG_BYTES);
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
