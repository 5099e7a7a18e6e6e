//! The walk of whole trees on several threads: each folder entered from the one above, entries visited where they are
//! found, idle threads given work by busy ones, results handed over in bounded batches.
//!
//! Memory is bounded by depth and number of threads, never by the tree.

use std::{
    collections::VecDeque,
    ffi::{CStr, OsStr},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
};

use evidence::gap::Reason;

use crate::platform::{names::OsStrExt as _, tree::Errno};

use super::{
    distant::Distant,
    list::{Listed, next_names},
    open::{Folder, OpenError, Opened, open_parent, reason_of},
    place::{Place, place_of, place_of_entry},
    record::text_of,
    stat::{Kind, Stat},
};

/// Folders that one thread holds open at once; soft limits of 1,024 descriptors are common.
const DEPTH_AT_MOST: usize = 200;
/// Entries whose results are handed over at once.
const BATCH: usize = 64;
/// So many times as much may be on its way.
const BATCHES: usize = 16;

/// Where the walk goes and where it doesn't.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Enter distant file systems and overlays below the roots too. Trees that the kernel makes up are never entered.
    pub other_file_systems: bool,
    /// Device and inode of folders to leave out: the collection's own output.
    pub excluded: Vec<(u64, u64)>,
    /// Walking threads.
    pub threads: usize,
}

/// Something that the walk couldn't reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// The path on the host.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
    /// More for people.
    pub text: String,
    /// Whose it is, where that is known.
    pub uid: Option<u32>,
}

impl Missed {
    /// From a failure to open; what has gone since it was listed is called so.
    pub fn from_error(path: PathBuf, error: &OpenError, uid: Option<u32>) -> Self {
        let reason = match error.reason() {
            Reason::NotFound => Reason::Vanished,
            reason => reason,
        };
        Self {
            path,
            reason,
            text: error.to_string(),
            uid,
        }
    }
}

/// What is known of an entry by the time when it is visited.
#[derive(Debug)]
pub enum Seen {
    /// A regular file, open already.
    Opened(Opened),
    /// It was looked at and not opened.
    Looked(Stat),
}

impl Seen {
    fn stat(&self) -> &Stat {
        match self {
            Self::Opened(opened) => &opened.before,
            Self::Looked(stat) => stat,
        }
    }
}

/// Looks at entries, on the walking threads.
pub trait Visit: Sync {
    /// What some entries come to.
    type Found: Default + Send;
    /// What one thread has under way.
    type Hand;
    /// Whether entries are looked at before they are opened, so that the visit may leave them unopened.
    fn looks_first(&self) -> bool {
        false
    }
    /// A new thread's.
    fn hand(&self) -> Self::Hand;
    /// Whether regular files are opened before they are visited: the fastest where most are read.
    fn opens(&self) -> bool {
        true
    }
    /// Whether the regular file `name` in `folder` is passed over without a look.
    fn passes_over(&self, folder: &Folder, name: &CStr) -> bool {
        let _ = (folder, name);
        false
    }
    /// Visits an `entry` (its folder, its name, what is known of it); `stop` says to give up early. What is done by now, this or an earlier entry,
    /// goes to `found`.
    fn visit(
        &self,
        hand: &mut Self::Hand,
        entry: (&Folder, &CStr, Seen),
        stop: &AtomicBool,
        found: &mut Self::Found,
    );
    /// Brings to an end what is under way.
    fn finish(&self, hand: &mut Self::Hand, stop: &AtomicBool, found: &mut Self::Found);
    /// Notes something missed.
    fn missed(&self, missed: Missed, found: &mut Self::Found);
}

enum Job {
    /// A root: parent and name.
    Entry(Arc<Folder>, Listed),
    Folder(Arc<Folder>, usize),
    Names(Arc<Folder>, VecDeque<Listed>, usize),
}

struct Frame {
    folder: Arc<Folder>,
    names: VecDeque<Listed>,
    is_listed: bool,
    depth: usize,
}

struct Queue {
    jobs: VecDeque<Job>,
    busy: usize,
}

struct Shared<'a, V: Visit> {
    visit: &'a V,
    scope: &'a Scope,
    distant: Arc<Distant>,
    queue: Mutex<Queue>,
    changed: Condvar,
    idle: AtomicUsize,
    stop: AtomicBool,
}

/// Walks `paths` below `root` and calls `each` with what was found, some entries' at a time, on the calling thread,
/// until it returns an error.
///
/// # Errors
/// Whatever `each` returned.
pub fn walk<V: Visit, E>(
    root: &Path,
    paths: &[PathBuf],
    scope: &Scope,
    visit: &V,
    mut each: impl FnMut(V::Found) -> Result<(), E>,
) -> Result<(), E> {
    let mut jobs = VecDeque::new();
    for path in without_nested(paths) {
        match root_job(root, &path) {
            Ok(job) => jobs.push_back(job),
            Err(error) => {
                let mut found = V::Found::default();
                let missed = Missed {
                    reason: error.reason(),
                    text: error.to_string(),
                    path,
                    uid: None,
                };
                visit.missed(missed, &mut found);
                each(found)?;
            }
        }
    }
    let shared = Shared {
        visit,
        scope,
        distant: Distant::now(root),
        queue: Mutex::new(Queue { jobs, busy: 0 }),
        changed: Condvar::new(),
        idle: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
    };
    let (sender, receiver) = sync_channel::<V::Found>(BATCHES);
    std::thread::scope(|threads| {
        for _ in 0..scope.threads.max(1) {
            let sender = sender.clone();
            let shared = &shared;
            threads.spawn(move || Worker::new(shared, sender).run());
        }
        drop(sender);
        let mut result = Ok(());
        // Dropped at the first error: the walkers' sends fail then, and they end.
        for batch in receiver {
            result = each(batch);
            if result.is_err() {
                shared.halt();
                break;
            }
        }
        result
    })
}

fn root_job(root: &Path, path: &Path) -> Result<Job, OpenError> {
    if path
        .components()
        .all(|c| c == std::path::Component::RootDir)
    {
        return Ok(Job::Folder(Arc::new(Folder::root(root)?), 0));
    }
    let (parent, name) = open_parent(root, path)?;
    parent.look(&name)?;
    let file_inode = None;
    Ok(Job::Entry(Arc::new(parent), Listed { name, file_inode }))
}

/// Roots below other roots are walked with those.
fn without_nested(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = Vec::new();
    let mut sorted = paths.to_vec();
    sorted.sort();
    for path in sorted {
        if !roots.iter().any(|root| path.starts_with(root)) {
            roots.push(path);
        }
    }
    roots
}

impl<V: Visit> Shared<'_, V> {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn halt(&self) {
        self.stop.store(true, Ordering::Relaxed);
        // Under the lock, so that no thread misses it between its look and its wait.
        let _held = self.lock();
        self.changed.notify_all();
    }

    /// A job that waits, for a thread that may have something under way.
    fn try_next(&self) -> Option<Job> {
        let mut queue = self.lock();
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let job = queue.jobs.pop_front();
        queue.busy += usize::from(job.is_some());
        job
    }

    /// The next job; none when all is done. Called by a thread that has nothing left.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(job) = queue.jobs.pop_front() {
                queue.busy += 1;
                return Some(job);
            }
            if queue.busy == 0 {
                self.changed.notify_all();
                return None;
            }
            self.idle.fetch_add(1, Ordering::Relaxed);
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            self.idle.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn done(&self) {
        self.lock().busy -= 1;
        self.changed.notify_all();
    }

    fn give(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.changed.notify_one();
    }

    fn is_hungry(&self) -> bool {
        self.idle.load(Ordering::Relaxed) > 0 && self.lock().jobs.is_empty()
    }
}

struct Worker<'a, V: Visit> {
    shared: &'a Shared<'a, V>,
    sender: SyncSender<V::Found>,
    found: V::Found,
    /// Entries that it is of.
    entries: usize,
    stack: Vec<Frame>,
    hand: V::Hand,
}

/// Nobody listens any longer.
struct Deaf;

impl<'a, V: Visit> Worker<'a, V> {
    fn new(shared: &'a Shared<'a, V>, sender: SyncSender<V::Found>) -> Self {
        Self {
            shared,
            sender,
            found: V::Found::default(),
            entries: 0,
            stack: Vec::new(),
            hand: shared.visit.hand(),
        }
    }

    fn run(mut self) {
        while let Some(job) = self.next() {
            let result = self.job(job);
            self.shared.done();
            if result.is_err() {
                self.shared.halt();
                return;
            }
        }
        let _nobody_listens = self.flush();
    }

    /// The next job; what is under way is brought to an end before it is waited for.
    fn next(&mut self) -> Option<Job> {
        let shared = self.shared;
        shared.try_next().or_else(|| {
            shared
                .visit
                .finish(&mut self.hand, &shared.stop, &mut self.found);
            shared.next()
        })
    }

    fn job(&mut self, job: Job) -> Result<(), Deaf> {
        self.stack.clear();
        match job {
            // A root was asked for by name: a distant one is entered then.
            Job::Entry(parent, listed) => self.entry(&parent, &listed, 0, true)?,
            Job::Folder(folder, depth) => match place_of(&*folder) {
                Ok(Place::Virtual) => {
                    self.elsewhere(folder.path().to_owned(), Some(folder.stat().uid))?;
                }
                _ => self.push(folder, depth),
            },
            Job::Names(folder, names, depth) => {
                self.stack.push(Frame {
                    folder,
                    names,
                    is_listed: true,
                    depth,
                });
            }
        }
        while !self.stack.is_empty() {
            self.one()?;
        }
        Ok(())
    }

    /// One entry of the innermost folder, or its end.
    fn one(&mut self) -> Result<(), Deaf> {
        if self.shared.stop.load(Ordering::Relaxed) {
            return Err(Deaf);
        }
        if self.shared.is_hungry() {
            self.share();
        }
        let Some(frame) = self.stack.last_mut() else {
            return Ok(());
        };
        if let Some(listed) = frame.names.pop_front() {
            let (folder, depth) = (Arc::clone(&frame.folder), frame.depth);
            return self.entry(&folder, &listed, depth, false);
        }
        if frame.is_listed {
            self.stack.pop();
            return Ok(());
        }
        match next_names(&frame.folder) {
            Ok(names) => {
                frame.is_listed = names.is_empty();
                frame.names = names.into();
                Ok(())
            }
            Err(error) => {
                frame.is_listed = true;
                let folder = &frame.folder;
                let (path, uid) = (folder.path().to_owned(), folder.stat().uid);
                self.unlisted(path, error, uid)
            }
        }
    }

    fn entry(
        &mut self,
        folder: &Arc<Folder>,
        listed: &Listed,
        depth: usize,
        is_root: bool,
    ) -> Result<(), Deaf> {
        let (shared, name) = (self.shared, &*listed.name);
        let is_mounted = || {
            let name = OsStr::from_bytes(name.to_bytes());
            shared.distant.is_mounted_at(folder.path(), name)
        };
        if !is_root && !shared.scope.other_file_systems && is_mounted() {
            return self.elsewhere(folder.path_of(name), None);
        }
        let is_file = listed.file_inode.is_some();
        if is_file && !is_root && shared.visit.passes_over(folder, name) {
            return Ok(());
        }
        let opens = shared.visit.opens() && !shared.visit.looks_first();
        let opened = opens.then(|| folder.open_listed(listed));
        let opened = opened.flatten().map(|o| Ok(Seen::Opened(o)));
        let seen = match opened.unwrap_or_else(|| folder.look(name).map(Seen::Looked)) {
            Ok(seen) => seen,
            Err(error) => {
                return self.miss(Missed::from_error(folder.path_of(name), &error, None));
            }
        };
        let stat = *seen.stat();
        if self.shared.scope.excluded.contains(&stat.identity()) {
            return Ok(());
        }
        let (hand, found) = (&mut self.hand, &mut self.found);
        shared
            .visit
            .visit(hand, (&**folder, name, seen), &shared.stop, found);
        self.noted()?;
        if stat.kind == Kind::Folder {
            self.enter(folder, name, &stat, depth, is_root)?;
        }
        Ok(())
    }

    fn enter(
        &mut self,
        folder: &Arc<Folder>,
        name: &CStr,
        stat: &Stat,
        depth: usize,
        is_root: bool,
    ) -> Result<(), Deaf> {
        let path = folder.path_of(name);
        if depth >= DEPTH_AT_MOST {
            let text = format!("Deeper than {DEPTH_AT_MOST} folders; all below is missing.");
            return self.miss(Missed {
                path,
                reason: Reason::Limit,
                text,
                uid: Some(stat.uid),
            });
        }
        if is_root || stat.automount || stat.device != folder.stat().device {
            let is_asked = is_root || self.shared.scope.other_file_systems;
            match place_of_entry(&**folder, name) {
                Ok(Place::Local) => {}
                Ok(Place::Distant | Place::Overlay) if is_asked => {}
                Ok(_) => return self.elsewhere(path, Some(stat.uid)),
                Err(error) => return self.unlisted(path, error, stat.uid),
            }
        }
        match folder.enter(name, stat) {
            Ok(inner) => self.push(Arc::new(inner), depth + 1),
            Err(error) => self.miss(Missed::from_error(path, &error, Some(stat.uid)))?,
        }
        Ok(())
    }

    fn push(&mut self, folder: Arc<Folder>, depth: usize) {
        self.stack.push(Frame {
            folder,
            names: VecDeque::new(),
            is_listed: false,
            depth,
        });
    }

    /// Gives half of the outermost names that wait here to a thread that has none.
    fn share(&mut self) {
        if let Some(frame) = self.stack.iter_mut().find(|f| f.names.len() > 1) {
            let half = frame.names.split_off(frame.names.len() / 2);
            self.shared
                .give(Job::Names(Arc::clone(&frame.folder), half, frame.depth));
        }
    }

    fn elsewhere(&mut self, path: PathBuf, uid: Option<u32>) -> Result<(), Deaf> {
        let text = "Not a local file system; all below is missing.".to_owned();
        self.miss(Missed {
            path,
            reason: Reason::OtherFileSystem,
            text,
            uid,
        })
    }

    fn unlisted(&mut self, path: PathBuf, error: Errno, uid: u32) -> Result<(), Deaf> {
        let text = format!(
            "{} can't be listed: {error}. All below is missing.",
            text_of(&path)
        );
        self.miss(Missed {
            path,
            reason: reason_of(error),
            text,
            uid: Some(uid),
        })
    }

    fn miss(&mut self, missed: Missed) -> Result<(), Deaf> {
        self.shared.visit.missed(missed, &mut self.found);
        self.noted()
    }

    /// One more entry; hands over where there are enough.
    fn noted(&mut self) -> Result<(), Deaf> {
        self.entries += 1;
        match self.entries {
            BATCH.. => self.flush(),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Deaf> {
        self.entries = 0;
        self.sender
            .send(std::mem::take(&mut self.found))
            .map_err(|_| Deaf)
    }
}
