//! An order's scope as the host knows it: user ids, folders, times. Asked before anything is read.
//!
//! A file is in the scope's time if it may hold something of it: born before its end, and changed at or after its
//! beginning.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use evidence::instant::Instant;
use protocol::scope::Scope;

use super::{Kind, OpenError, Stat, open::open_parent, resolve};

/// See the module.
#[derive(Debug, Clone)]
pub struct Bounds {
    scope: Scope,
    uids: BTreeSet<u32>,
    /// All names of those, and the users as the scope calls them.
    names: BTreeSet<String>,
    /// Users of the scope whom the host doesn't know.
    pub strangers: Vec<String>,
    paths: Vec<PathBuf>,
}

/// Why something is out of scope; its place in counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outside {
    /// It lies elsewhere.
    Path,
    /// It is another user's, or nobody knows whose.
    User,
    /// It is older or younger.
    Time,
}

impl Outside {
    /// All there are, in the order of counts.
    pub const ALL: [Self; 3] = [Self::Path, Self::User, Self::Time];

    /// For a gap's text.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Path => "it lies outside the paths of the order's scope",
            Self::User => {
                "it is not of the users of the order's scope, or nobody knows whose it is"
            }
            Self::Time => "it is not of the time of the order's scope",
        }
    }
}

impl Bounds {
    /// `scope` on a host with these `users`, by name.
    pub fn new(scope: Scope, users: &BTreeMap<String, u32>) -> Self {
        let (mut uids, mut strangers) = (BTreeSet::new(), Vec::new());
        for user in &scope.users {
            // A name may look like a number; the host's own list comes first.
            match users.get(user).copied().or_else(|| user.parse().ok()) {
                Some(uid) => {
                    uids.insert(uid);
                }
                None => strangers.push(user.clone()),
            }
        }
        let paths = scope.paths.iter().map(PathBuf::from).collect();
        // Records may carry a name alone, whatever the scope calls the user.
        let theirs = users.iter().filter(|(_, uid)| uids.contains(uid));
        let names = theirs.map(|(name, _)| name);
        let names = names.chain(&scope.users).cloned().collect();
        Self {
            scope,
            uids,
            names,
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

    /// Whether something that may be opened can lie at `path` or below it.
    ///
    /// # Errors
    /// It all lies elsewhere.
    pub fn path_or_below(&self, path: &Path) -> Result<(), Outside> {
        let leads_in = self.paths.iter().any(|own| own.starts_with(path));
        self.path(path)
            .or_else(|why| leads_in.then_some(()).ok_or(why))
    }

    /// Whether the links that `path` leads through may be told.
    ///
    /// # Errors
    /// One of them is another's, of another time, or can't be looked at.
    pub fn links(&self, root: &Path, path: &Path) -> Result<(), Outside> {
        let look = |path: &Path| -> Result<Option<Stat>, OpenError> {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Ok(None);
            };
            let (folder, name) = open_parent(root, &resolve(root, parent)?.join(name))?;
            folder.look(&name).map(Some)
        };
        path.ancestors().try_for_each(|part| match look(part) {
            Ok(Some(stat)) if stat.kind == Kind::Link => self.file(&stat),
            Ok(_) => Ok(()),
            Err(_) => Err(Outside::User),
        })
    }

    /// Whether the file `stat` may be read.
    ///
    /// # Errors
    /// It is another's, or of another time.
    pub fn file(&self, stat: &Stat) -> Result<(), Outside> {
        self.user(Some(stat.uid))?;
        self.life(stat.born, stat.modified.max(stat.changed))
    }

    /// Whether what was made at `born` and changed at `last` may hold something of the scope's time.
    ///
    /// # Errors
    /// It can't.
    pub fn life(&self, born: Option<Instant>, last: Instant) -> Result<(), Outside> {
        let ended = self.scope.from.is_some_and(|from| last < from);
        let began = |born: Instant| self.scope.until.is_some_and(|until| born >= until);
        // Without a time of birth it may be old.
        match ended || born.is_some_and(began) {
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
        let theirs = !self.names_users() || name.is_some_and(|n| self.names.contains(n));
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn bounds(users: &[&str], paths: &[&str]) -> Bounds {
        let scope = Scope {
            basis: "4 Gs 12/26".into(),
            users: users.iter().map(|u| (*u).to_owned()).collect(),
            paths: paths.iter().map(|p| (*p).to_owned()).collect(),
            from: None,
            until: None,
        };
        let known = [("bob", 7), ("rob", 7), ("eve", 8), ("9", 10)];
        let known = known.map(|(name, uid)| (name.to_owned(), uid));
        Bounds::new(scope, &BTreeMap::from(known))
    }

    #[test]
    fn a_user_is_the_same_by_number_and_by_each_name() {
        for called in ["7", "bob", "rob"] {
            let bounds = bounds(&[called], &[]);
            assert!(bounds.user(Some(7)).is_ok() && bounds.user(Some(8)).is_err());
            for (name, is_theirs) in [("bob", true), ("rob", true), ("eve", false)] {
                assert_eq!(bounds.user_name(Some(name)).is_ok(), is_theirs, "{name}");
            }
        }
        // The host's own list comes first.
        assert!(bounds(&["9"], &[]).user(Some(10)).is_ok());
        assert!(bounds(&["9"], &[]).user(Some(9)).is_err());
    }

    #[test]
    fn the_way_to_a_path_of_the_scope_is_entered_and_nothing_beside_it() {
        let bounds = bounds(&[], &["/home/bob"]);
        for (path, is_way) in [
            ("/", true),
            ("/home", true),
            ("/home/bob/x", true),
            ("/home/bobby", false),
            ("/etc", false),
        ] {
            assert_eq!(bounds.path_or_below(Path::new(path)).is_ok(), is_way);
        }
    }

    #[test]
    fn links_are_told_only_where_all_of_them_are_within() {
        let tree = tempfile::tempdir().unwrap();
        symlink("elsewhere", tree.path().join("link")).unwrap();
        let links =
            |user: &str, path: &str| bounds(&[user], &[]).links(tree.path(), Path::new(path));
        let own =
            Stat::of_entry(super::super::Folder::root(tree.path()).unwrap(), c"link").unwrap();
        assert!(links(&own.uid.to_string(), "/link").is_ok());
        assert!(links("4294967294", "/link").is_err());
    }
}
