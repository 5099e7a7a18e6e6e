//! File systems of other machines, by the mount table: nothing on them is touched unless asked for, not even by a look,
//! which hangs for as long as their server doesn't answer.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::platform::{names::OsStringExt as _, procfs};

/// No mount table is longer.
const TABLE_BYTES: usize = 16 << 20;

/// Types of file systems that are served by another machine or by a program; those of FUSE are told by their prefix.
const TYPES: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ncpfs",
    "9p",
    "ceph",
    "afs",
    "coda",
    "lustre",
    "gpfs",
    "vboxsf",
    "virtiofs",
    "glusterfs",
    "beegfs",
    "orangefs",
    "pvfs2",
    "autofs",
    "fuse",
    "davfs",
];

/// How old the table may be.
const FRESH: Duration = Duration::from_secs(5);
static LAST: Mutex<Option<(Instant, PathBuf, Arc<Distant>)>> = Mutex::new(None);

/// Where distant file systems are mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distant {
    points: HashSet<PathBuf>,
    /// Their last names: most entries of a tree are told by these at once.
    names: HashSet<OsString>,
}

impl Distant {
    /// By what this machine's mount table has below `root`. What a disk itself claims to have mounted is no table: it would
    /// decide what is looked at.
    pub fn of(root: &Path) -> Self {
        // A test can't mount; its tree brings a table along.
        #[cfg(test)]
        if let Ok(table) = procfs::read_capped(&root.join("proc/self/mountinfo"), TABLE_BYTES) {
            return Self::parse(&table.bytes);
        }
        let table = procfs::read_capped(Path::new("/proc/self/mountinfo"), TABLE_BYTES);
        let all = table.map_or_else(|_| Self::default(), |table| Self::parse(&table.bytes));
        match root == Path::new("/") {
            true => all,
            false => all.below(root),
        }
    }

    /// Those below `root`, by their paths from there.
    fn below(self, root: &Path) -> Self {
        let below = |point: PathBuf| Some(Path::new("/").join(point.strip_prefix(root).ok()?));
        Self {
            points: self.points.into_iter().filter_map(below).collect(),
            names: self.names,
        }
    }

    /// As [`Self::of`]; the table is read anew at most every few seconds.
    pub fn now(root: &Path) -> Arc<Self> {
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((at, of, distant)) if at.elapsed() < FRESH && of == root => Arc::clone(distant),
            _ => {
                let distant = Arc::new(Self::of(root));
                *last = Some((Instant::now(), root.to_owned(), Arc::clone(&distant)));
                distant
            }
        }
    }

    fn parse(table: &[u8]) -> Self {
        let mut distant = Self::default();
        for line in table.split(|b| *b == b'\n') {
            let words: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
            let dash = words.iter().position(|w| *w == b"-");
            let kind = dash.and_then(|at| words.get(at + 1)).copied();
            if let (Some(kind), Some(point)) = (kind, words.get(4))
                && is_distant(&String::from_utf8_lossy(kind))
            {
                let point = PathBuf::from(OsString::from_vec(plain(point)));
                distant.names.extend(point.file_name().map(OsStr::to_owned));
                distant.points.insert(point);
            }
        }
        distant
    }

    /// Whether `name` in the folder at `folder` is where one is mounted.
    pub fn is_mounted_at(&self, folder: &Path, name: &OsStr) -> bool {
        self.names.contains(name) && self.points.contains(&folder.join(name))
    }
}

fn is_distant(kind: &str) -> bool {
    TYPES.contains(&kind) || kind.starts_with("fuse.")
}

/// Undoes the mount table's `\040` for blanks, tabs, newlines and backslashes, and for any other byte.
pub fn plain(word: &[u8]) -> Vec<u8> {
    let (mut plain, mut rest) = (Vec::with_capacity(word.len()), word);
    while let Some((&byte, after)) = rest.split_first() {
        let digits = (byte == b'\\').then(|| after.get(..3)).flatten();
        let code = digits
            .and_then(|d| std::str::from_utf8(d).ok())
            .and_then(|d| u8::from_str_radix(d, 8).ok());
        (plain, rest) = match code {
            Some(code) => {
                plain.push(code);
                (plain, &after[3..])
            }
            None => {
                plain.push(byte);
                (plain, after)
            }
        };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_other_machines_are_told_from_the_table() {
        let table = b"22 27 0:21 / /mnt/a\\040b rw shared:1 - nfs4 server:/x rw\n\
                      23 27 0:22 / /run/user/0/doc rw - fuse.portal portal rw\n\
                      24 27 8:1 / /media/disk rw - fuseblk /dev/sdb1 rw\n\
                      25 27 8:2 / / rw - ext4 /dev/sda1 rw\n\ngarbage - \n";
        let distant = Distant::parse(table);
        let is = |folder: &str, name: &str| distant.is_mounted_at(folder.as_ref(), name.as_ref());
        assert!(is("/mnt", "a b") && is("/run/user/0", "doc"));
        let below = distant.clone().below("/mnt".as_ref());
        assert!(below.is_mounted_at("/".as_ref(), "a b".as_ref()));
        assert!(!below.is_mounted_at("/run/user/0".as_ref(), "doc".as_ref()));
        assert!(!is("/media", "disk") && !is("/other", "doc") && !is("/mnt/a b", "x"));
    }

    #[test]
    fn every_escape_is_undone_and_strange_ones_stay() {
        assert_eq!(plain(b"a\\040\\134b\\9\\04"), b"a \\b\\9\\04");
    }
}
