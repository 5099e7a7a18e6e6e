//! An order's scope as the host knows it: user ids, folders, times. Asked before anything is read.
//!
//! A file is in the scope's time if it may hold something of it: born before its end, and changed at or after its
//! beginning.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use evidence::instant::Instant;
use protocol::scope::Scope;

use super::Stat;

/// See the module.
#[derive(Debug, Clone)]
pub struct Bounds {
    scope: Scope,
    uids: BTreeSet<u32>,
    /// Users of the scope whom the host doesn't know.
    pub strangers: Vec<String>,
    paths: Vec<PathBuf>,
}

/// Why something is out of scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outside {
    /// It lies elsewhere.
    Path,
    /// It is another user's, or nobody says whose.
    User,
    /// It is older or younger.
    Time,
}

impl Outside {
    /// For a gap's text.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Path => "it lies outside the paths of the order's scope",
            Self::User => "it is not of the users of the order's scope",
            Self::Time => "it is not of the time of the order's scope",
        }
    }
}

impl Bounds {
    /// `scope` on a host where `uid_of` tells users by their names.
    pub fn new(scope: Scope, uid_of: impl Fn(&str) -> Option<u32>) -> Self {
        let (mut uids, mut strangers) = (BTreeSet::new(), Vec::new());
        for user in &scope.users {
            // A name may look like a number; the host's own list comes first.
            match uid_of(user).or_else(|| user.parse().ok()) {
                Some(uid) => {
                    uids.insert(uid);
                }
                None => strangers.push(user.clone()),
            }
        }
        let paths = scope.paths.iter().map(PathBuf::from).collect();
        Self {
            scope,
            uids,
            strangers,
            paths,
        }
    }

    /// Whether it names users.
    pub fn names_users(&self) -> bool {
        !self.scope.users.is_empty()
    }

    /// Whether it names paths.
    pub fn names_paths(&self) -> bool {
        !self.paths.is_empty()
    }

    /// Whether `path` may be opened.
    ///
    /// # Errors
    /// It lies elsewhere.
    pub fn path(&self, path: &Path) -> Result<(), Outside> {
        let inside = !self.names_paths() || self.paths.iter().any(|own| path.starts_with(own));
        inside.then_some(()).ok_or(Outside::Path)
    }

    /// Whether the file `stat` may be read.
    ///
    /// # Errors
    /// It is another's, or of another time.
    pub fn file(&self, stat: &Stat) -> Result<(), Outside> {
        self.user(Some(stat.uid))?;
        let last = stat.modified.max(stat.changed);
        let ended = self.scope.from.is_some_and(|from| last < from);
        let began = |born: Instant| self.scope.until.is_some_and(|until| born >= until);
        // Without a time of birth it may be old.
        match ended || stat.born.is_some_and(began) {
            true => Err(Outside::Time),
            false => Ok(()),
        }
    }

    /// Whether what belongs to the user `uid` may be told.
    ///
    /// # Errors
    /// It is another's.
    pub fn user(&self, uid: Option<u32>) -> Result<(), Outside> {
        let theirs = !self.names_users() || uid.is_some_and(|uid| self.uids.contains(&uid));
        theirs.then_some(()).ok_or(Outside::User)
    }

    /// Whether what is of the user of this name may be told.
    ///
    /// # Errors
    /// It is another's.
    pub fn user_name(&self, name: Option<&str>) -> Result<(), Outside> {
        let theirs = !self.names_users() || name.is_some_and(|n| self.scope.users.contains(n));
        theirs.then_some(()).ok_or(Outside::User)
    }

    /// Whether what was at `time` may be told.
    ///
    /// # Errors
    /// It is of another time.
    pub fn time(&self, time: Instant) -> Result<(), Outside> {
        self.scope.has(time).then_some(()).ok_or(Outside::Time)
    }

    /// Whether what has no time may be told.
    ///
    /// # Errors
    /// The scope names a time.
    pub fn timeless(&self) -> Result<(), Outside> {
        let any = self.scope.from.is_none() && self.scope.until.is_none();
        any.then_some(()).ok_or(Outside::Time)
    }

    /// Where a walk of `paths` may go: of each, what lies in the scope; and those that lie outside.
    pub fn roots(&self, paths: &[PathBuf]) -> (Vec<PathBuf>, Vec<PathBuf>) {
        if !self.names_paths() {
            return (paths.to_vec(), Vec::new());
        }
        let (mut roots, mut outside) = (Vec::new(), Vec::new());
        for path in paths {
            if self.path(path).is_ok() {
                roots.push(path.clone());
                continue;
            }
            roots.extend(
                self.paths
                    .iter()
                    .filter(|own| own.starts_with(path))
                    .cloned(),
            );
            outside.push(path.clone());
        }
        (roots, outside)
    }
}
