//! What all threads of one run share, and keeps living for those of them that hang in the host: the plan, the queue,
//! the limits, what was stored already, and why the run stops.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError, atomic::AtomicU64},
};

use evidence::{gap::Reason, names};

use super::{queue::Queue, room::Room, tally::Tally, task::Spent, waits::Waits};
use crate::platform::names::OsStrExt as _;
use crate::{
    artifacts::passwd::Names,
    config::Plan,
    files::{Bounds, Pace, Stat},
};

/// Identities kept so that a file which is named twice is told from a copy. Past this many, one may be stored twice,
/// which is true evidence still.
const REMEMBERED: usize = 1 << 16;
/// Names kept of files that have several.
const REMEMBERED_NAMES: usize = 1 << 12;

/// Why a run ends before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    /// The reason of the gaps that it leaves.
    pub(super) reason: Reason,
    /// For people.
    pub(super) why: String,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) pace: Pace,
    pub(super) queue: Queue,
    pub(super) tally: Tally,
    pub(super) room: Room,
    pub(super) waits: Waits,
    /// The order's scope on this host.
    pub(super) bounds: Option<Bounds>,
    /// Files that there was no room for.
    pub(super) without_room: AtomicU64,
    seen: Mutex<Seen>,
    own_parts: Mutex<HashSet<(u64, u64)>>,
    stop: OnceLock<Stop>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By identity, the hash of the path under which it was stored.
    files: HashMap<(u64, u64), u64>,
    names: HashMap<(u64, u64), String>,
}

impl Shared {
    /// With what an earlier attempt has finished, and what that took of the limits.
    pub(super) fn new(plan: Plan, finished: &[String], before: Spent) -> Self {
        Self {
            pace: Pace::new(&plan.limits),
            queue: Queue::default(),
            tally: Tally::new(&plan.limits, finished, before),
            room: Room::default(),
            waits: Waits::new(&plan.limits, plan.host),
            bounds: bounds(&plan),
            without_room: AtomicU64::new(0),
            seen: Mutex::default(),
            own_parts: Mutex::default(),
            stop: OnceLock::new(),
            plan,
        }
    }

    /// The run stops; the first cause counts.
    pub(super) fn stop(&self, reason: Reason, why: impl Into<String>) {
        let why = why.into();
        self.stop.get_or_init(|| Stop { reason, why });
        self.pace.stop();
    }

    /// Why it stops, if it does.
    pub(super) fn stopped(&self) -> Option<&Stop> {
        self.stop.get()
    }

    /// Whether `path` lies in a folder of the agent's own.
    pub(super) fn is_own(&self, path: &Path) -> bool {
        self.plan.own.iter().any(|own| path.starts_with(own))
    }

    /// `identity` is a part that is being written.
    pub(super) fn add_own_part(&self, identity: (u64, u64)) {
        lock(&self.own_parts).insert(identity);
    }

    /// Whether that file is a part of this run, whatever its name here.
    pub(super) fn is_own_part(&self, identity: (u64, u64)) -> bool {
        lock(&self.own_parts).contains(&identity)
    }

    /// Remembers that the file `stat` at `path` is being stored, or gives the entry under which it was before.
    pub(super) fn stored_before(&self, path: &Path, stat: &Stat) -> Option<String> {
        let entry = names::unix_entry(path.as_os_str().as_bytes());
        let (identity, hash) = (stat.identity(), hash_of(path));
        let mut seen = lock(&self.seen);
        if let Some(before) = seen.files.get(&identity) {
            // Otherwise a mount shows it under a second path, or nobody knows the first name any more.
            let same = (*before == hash).then_some(entry);
            return same.or_else(|| seen.names.get(&identity).cloned());
        }
        if seen.files.len() < REMEMBERED {
            seen.files.insert(identity, hash);
            if stat.links > 1 && seen.names.len() < REMEMBERED_NAMES {
                seen.names.insert(identity, entry);
            }
        }
        None
    }
}

/// The scope of `plan`, with the ids that the host itself gives its users.
pub(super) fn bounds(plan: &Plan) -> Option<Bounds> {
    let scope = plan.scope.clone()?;
    let users = Names::users(&plan.root).into_ids();
    Some(Bounds::new(scope, &users))
}

fn hash_of(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
