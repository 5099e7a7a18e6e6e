//! Makes sense of what was heard: watches new folders, forgets those that are gone, and looks at everything again where
//! something may have been missed.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant as Moment},
};

use evidence::{capture::Happened, instant::Instant};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::{
    Shared,
    ear::{Heard, Sign},
    field::{Field, Relation},
};
use crate::files::{Kind, Stat, list::next_names, open::open_folder};

/// How often it is looked whether the watch is over, and whether something was missed.
const LOOK: Duration = Duration::from_millis(200);
/// A watch has no more folders at once; what lies below the others is looked at from time to time.
const FOLDERS_MOST: usize = 8_192;
/// Entries that one look at everything takes in.
const ENTRIES_MOST: usize = 500_000;
/// Where the system can't tell all, it is looked again so often at the most, and never for more than a twentieth of the time.
const AGAIN: Duration = Duration::from_secs(60);
const SHARE: u32 = 20;
/// A file's time may lie so much before the clock's: the kernel keeps it by a coarser one.
const COARSE_NS: u32 = 20_000_000;

/// What a look at a tree takes for a change.
#[derive(Debug, Clone, Copy)]
enum Counts {
    /// What has changed since.
    Since(Instant),
    /// All that is there: it has come as a whole.
    All,
}

/// See the module.
pub(super) struct Eye {
    shared: Arc<Shared>,
    heard: Receiver<Heard>,
    watcher: RecommendedWatcher,
    field: Field,
    /// Folders that are watched, by their host paths.
    folders: BTreeSet<PathBuf>,
    /// Whether some folder can't be watched.
    is_short: bool,
    looked: Moment,
    look_took: Duration,
}

impl Eye {
    pub(super) fn open(shared: Arc<Shared>, heard: Receiver<Heard>) -> notify::Result<Self> {
        let ears = Arc::clone(&shared);
        let watcher = notify::recommended_watcher(move |told| ears.ear.hear(told))?;
        Ok(Self {
            shared,
            heard,
            watcher,
            field: Field::default(),
            folders: BTreeSet::new(),
            is_short: false,
            looked: Moment::now(),
            look_took: Duration::ZERO,
        })
    }

    /// Until the watch is over.
    pub(super) fn watch(mut self) {
        let watched = &self.shared.watched;
        let since = watched.since;
        if watched.is_again {
            let until = (watched.clock)();
            let mut pending = self.shared.pending();
            pending.blind(
                watched.since,
                until,
                "the agent did not run, or was started anew",
            );
        }
        self.arm(Counts::Since(since));
        self.shared.is_ready.store(true, Ordering::Release);
        while !self.shared.is_over() {
            match self.heard.recv_timeout(LOOK) {
                Ok(heard) => self.see(&heard),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Some((since, why)) = self.shared.ear.take_lost() {
                self.look_again(since, &why);
            } else if self.is_short && self.looked.elapsed() > AGAIN.max(self.look_took * SHARE) {
                let since = self.shared.watched.since;
                self.look_again(
                    self.last_look(since),
                    "the system allows no more watches, or there are too many folders",
                );
            }
        }
    }

    /// When everything was looked at the last time, by the host's clock.
    fn last_look(&self, never: Instant) -> Instant {
        let now = (self.shared.watched.clock)();
        let ago = i64::try_from(self.looked.elapsed().as_secs() + self.look_took.as_secs());
        let seconds = now.seconds.saturating_sub(ago.unwrap_or(i64::MAX));
        Instant { seconds, ns: 0 }.max(never)
    }

    /// Looks at everything, and tells from when to when something may have been missed.
    fn look_again(&mut self, since: Instant, why: &str) {
        self.arm(Counts::Since(since));
        let until = (self.shared.watched.clock)();
        self.shared.pending().blind(since, until, why);
    }

    /// Watches all places as they are now.
    fn arm(&mut self, counts: Counts) {
        let begun = Moment::now();
        let watched = &self.shared.watched;
        self.field = Field::new(&watched.root, &watched.paths);
        self.is_short = false;
        let mut left = ENTRIES_MOST;
        for place in self.field.places().to_vec() {
            self.watch_above(&place.real);
            self.survey(&place.real, counts, &mut left);
        }
        (self.looked, self.look_took) = (Moment::now(), begun.elapsed());
    }

    /// Watches the nearest folder above `path` that there is.
    fn watch_above(&mut self, path: &Path) {
        let is_folder = |at: &&Path| {
            let at_root = at.parent().is_none();
            at_root
                || self
                    .shared
                    .look(at)
                    .is_ok_and(|stat| stat.kind == Kind::Folder)
        };
        let above = path.ancestors().skip(1).find(is_folder);
        if let Some(above) = above.map(Path::to_path_buf) {
            self.watch_folder(&above);
        }
    }

    /// Watches one folder; says whether it is watched.
    fn watch_folder(&mut self, path: &Path) -> bool {
        if self.folders.contains(path) {
            return true;
        }
        if self.folders.len() >= FOLDERS_MOST {
            self.is_short = true;
            return false;
        }
        let on_system = self.field.on_system(path);
        match self.watcher.watch(&on_system, RecursiveMode::NonRecursive) {
            Ok(()) => self.folders.insert(path.to_path_buf()),
            // Gone in this moment: its folder tells.
            Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => false,
            Err(_) => {
                self.is_short = true;
                false
            }
        }
    }

    /// Watches `path` and every folder below it, and notes what `counts` for a change there.
    fn survey(&mut self, path: &Path, counts: Counts, left: &mut usize) {
        let mut waiting = vec![path.to_path_buf()];
        while let Some(path) = waiting.pop() {
            if self.shared.is_over() {
                return;
            }
            if *left == 0 {
                self.is_short = true;
                return;
            }
            *left -= 1;
            if self.is_own(&path) {
                continue;
            }
            let Ok(stat) = self.shared.look(&path) else {
                continue;
            };
            if stat.kind != Kind::Folder {
                match counts {
                    Counts::Since(since) if !is_since(&stat, since) => {}
                    Counts::Since(since) => {
                        let is_new = stat.born.is_some_and(|born| born >= coarsely(since));
                        let event = if is_new {
                            Happened::Appeared
                        } else {
                            Happened::Changed
                        };
                        self.note(&path, event, stat.changed);
                    }
                    Counts::All => self.note(&path, Happened::Appeared, stat.changed),
                }
                continue;
            }
            // Watched before it is listed: what comes in between is in the list or is told.
            self.watch_folder(&path);
            let Ok(folder) = open_folder(&self.shared.watched.root, &path) else {
                continue;
            };
            while let Ok(names) = next_names(&folder) {
                if names.is_empty() || waiting.len() > ENTRIES_MOST {
                    break;
                }
                waiting.extend(names.iter().map(|listed| folder.path_of(&listed.name)));
            }
        }
    }

    fn is_own(&self, path: &Path) -> bool {
        let on_system = self.field.on_system(path);
        let own = &self.shared.watched.own;
        own.iter().any(|folder| on_system.starts_with(folder))
    }

    /// Notes a change at the host path `path`, under the name that the order has for it.
    fn note(&self, path: &Path, event: Happened, at: Instant) {
        if let Relation::Inside(given) = self.field.relation(path) {
            let mut pending = self.shared.pending();
            pending.note(&given, event, at, Moment::now());
        }
    }

    /// One event.
    fn see(&mut self, heard: &Heard) {
        let path = self.field.on_host(&heard.path);
        match self.field.relation(&path) {
            Relation::Elsewhere => {}
            Relation::Above => self.see_above(&path, heard),
            Relation::Inside(_) if self.is_own(&path) => {}
            Relation::Inside(given) => self.see_inside(&path, &given, heard),
        }
    }

    /// A folder on the way to a place has come or gone.
    fn see_above(&mut self, path: &Path, heard: &Heard) {
        match &heard.sign {
            Sign::Changed => return,
            Sign::Gone => self.forget(path),
            // What it was before is not there any more, and says so itself.
            Sign::File | Sign::New | Sign::Renamed(_) => {}
        }
        self.arm_below(path, heard);
    }

    /// What came with a folder above a place has come as a whole.
    fn arm_below(&mut self, path: &Path, heard: &Heard) {
        let watched = &self.shared.watched;
        self.field = Field::new(&watched.root, &watched.paths);
        let places = self.field.places().to_vec();
        let mut left = ENTRIES_MOST;
        for place in places.iter().filter(|p| p.real.starts_with(path)) {
            self.watch_above(&place.real);
            match heard.sign {
                Sign::Gone => self.note(&place.real, Happened::Removed, heard.at),
                _ => self.survey(&place.real, Counts::All, &mut left),
            }
        }
    }

    fn see_inside(&mut self, path: &Path, given: &Path, heard: &Heard) {
        let (at, now) = (heard.at, heard.now);
        let is_place = self.field.places().iter().any(|place| place.real == path);
        match &heard.sign {
            Sign::File => self
                .shared
                .pending()
                .note(given, Happened::Appeared, at, now),
            Sign::New => match self.shared.look(path) {
                Ok(stat) if stat.kind == Kind::Folder => {
                    let mut left = ENTRIES_MOST;
                    self.survey(path, Counts::All, &mut left);
                }
                _ => self
                    .shared
                    .pending()
                    .note(given, Happened::Changed, at, now),
            },
            // A folder changes with each of its entries, which are told themselves.
            Sign::Changed if self.folders.contains(path) => {}
            Sign::Changed => self
                .shared
                .pending()
                .note(given, Happened::Changed, at, now),
            Sign::Gone => {
                self.forget(path);
                self.shared
                    .pending()
                    .note(given, Happened::Removed, at, now);
                if is_place {
                    self.watch_above(path);
                }
            }
            Sign::Renamed(from) => {
                let from = self.field.on_host(from);
                if let Relation::Inside(from) = self.field.relation(&from) {
                    self.shared.pending().renamed(&from);
                }
            }
        }
        // A link may lead elsewhere now.
        if is_place && !matches!(heard.sign, Sign::Changed) {
            let watched = &self.shared.watched;
            let field = Field::new(&watched.root, &watched.paths);
            if field.places() != self.field.places() {
                self.arm(Counts::Since(at));
            }
        }
    }

    /// Watches nothing at or below `path` any more.
    fn forget(&mut self, path: &Path) {
        let gone: Vec<_> = self
            .folders
            .range(path.to_path_buf()..)
            .take_while(|folder| folder.starts_with(path))
            .cloned()
            .collect();
        for folder in gone {
            self.folders.remove(&folder);
            // Of a folder that is gone there is no watch to be given back.
            let _ = self.watcher.unwatch(&self.field.on_system(&folder));
        }
    }
}

/// Whether a file of these times may have changed at `since` or later.
fn is_since(stat: &Stat, since: Instant) -> bool {
    let at = stat.changed.max(stat.modified);
    // Some file systems keep whole seconds alone.
    at >= coarsely(since) || at.ns == 0 && at.seconds >= since.seconds
}

fn coarsely(since: Instant) -> Instant {
    match since.ns.checked_sub(COARSE_NS) {
        Some(ns) => Instant { ns, ..since },
        None => Instant {
            seconds: since.seconds.saturating_sub(1),
            ns: 1_000_000_000 + since.ns - COARSE_NS,
        },
    }
}
