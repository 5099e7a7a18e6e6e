//! Opening by component: each folder is entered from the one before, no component may be a link, and the file that
//! was opened is the file that was looked at.

use std::{
    ffi::{CStr, CString, OsStr, OsString},
    fs::File,
    io::{self, Read as _},
    path::{Component, Path, PathBuf},
};

use evidence::gap::Reason;

use super::{
    distant::Distant,
    stat::{Kind, Stat},
};
use crate::platform::{
    handle::{AsFd, BorrowedFd, OwnedFd},
    names::OsStrExt as _,
    tree::{self, Errno, Listed, Open},
};

/// How many links one path may lead through, as in the kernel.
const LINKS_AT_MOST: usize = 40;

/// Why something was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system refused or failed.
    #[error("{path} could not be opened: {source}. Look at its permissions and its file system.")]
    System {
        /// What was to be opened.
        path: String,
        /// The system's word.
        source: Errno,
    },
    /// What was opened is not what was listed.
    #[error(
        "{0} was replaced between listing and opening. Somebody is changing the tree: look at it closely."
    )]
    Replaced(String),
    /// It is no regular file.
    #[error(
        "{path} is a {kind}, and only regular files are opened. Its record stands without contents."
    )]
    NotAFile {
        /// What was to be opened.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// It lies on another machine's file system.
    #[error("{0} lies on a distant file system, which was not asked for. Ask for it by its path.")]
    Distant(String),
    /// It leads through too many links.
    #[error("{0} leads through too many links. Look for a loop of links.")]
    LinkLoop(String),
}

impl OpenError {
    /// The reason for `gaps.jsonl`.
    pub fn reason(&self) -> Reason {
        match self {
            Self::System { source, .. } => reason_of(*source),
            Self::Replaced(_) => Reason::Replaced,
            Self::NotAFile { .. } => Reason::NotApplicable,
            Self::LinkLoop(_) => Reason::ReadError,
            Self::Distant(_) => Reason::OtherFileSystem,
        }
    }

    /// Whether there simply is nothing at the path.
    pub fn is_not_found(&self) -> bool {
        self.reason() == Reason::NotFound
    }

    fn system(path: &Path, source: Errno) -> Self {
        Self::System {
            path: path.display().to_string(),
            source,
        }
    }
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::System { source, .. } => source.into(),
            error => Self::other(error),
        }
    }
}

/// The reason for a gap that `error` gives.
pub fn reason_of(error: Errno) -> Reason {
    match error {
        Errno::NOENT | Errno::NOTDIR => Reason::NotFound,
        Errno::ACCESS | Errno::PERM => Reason::PermissionDenied,
        Errno::LOOP => Reason::Replaced,
        Errno::NOSYS | Errno::OPNOTSUPP => Reason::Unsupported,
        Errno::MFILE | Errno::NFILE | Errno::NAMETOOLONG | Errno::FBIG => Reason::Limit,
        _ => Reason::ReadError,
    }
}

/// An open folder of the host, its host path, and what it was when opened.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    stat: Stat,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A regular file, open for reading.
#[derive(Debug)]
pub struct Opened {
    /// The file itself.
    pub file: File,
    /// What it was right after opening.
    pub before: Stat,
    /// Whether reading it leaves its access time alone.
    pub keeps_atime: bool,
}

impl Folder {
    /// Opens the host's root: `/`, or a fixture's folder.
    ///
    /// # Errors
    /// It is not there, or no folder.
    pub fn root(at: &Path) -> Result<Self, OpenError> {
        let fd = tree::open_root(at).map_err(|e| OpenError::system(at, e))?;
        let stat = Stat::of_open(&fd).map_err(|e| OpenError::system(at, e))?;
        let path = PathBuf::from("/");
        Ok(Self { fd, path, stat })
    }

    /// Its path on the host.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it was when opened.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// The host path of `name` in here.
    pub fn path_of(&self, name: &CStr) -> PathBuf {
        self.path.join(OsStr::from_bytes(name.to_bytes()))
    }

    /// Looks at `name` without opening it.
    ///
    /// # Errors
    /// As the system says.
    pub fn look(&self, name: &CStr) -> Result<Stat, OpenError> {
        Stat::of_entry(&self.fd, name).map_err(|e| OpenError::system(&self.path_of(name), e))
    }

    /// Enters the folder `name`, which was `listed` so.
    ///
    /// # Errors
    /// It can't be opened, or is not what was listed.
    pub fn enter(&self, name: &CStr, listed: &Stat) -> Result<Self, OpenError> {
        let path = self.path_of(name);
        let (fd, _) = tree::open_at(&self.fd, name, Open::Folder).map_err(|e| match e {
            // It was a folder when listed.
            Errno::NOTDIR | Errno::LOOP => OpenError::Replaced(path.display().to_string()),
            e => OpenError::system(&path, e),
        })?;
        let stat = Stat::of_open(&fd).map_err(|e| OpenError::system(&path, e))?;
        if !stat.is_same(listed) {
            return Err(OpenError::Replaced(path.display().to_string()));
        }
        Ok(Self { fd, path, stat })
    }

    /// Opens the regular file `name`, which was `listed` so.
    ///
    /// # Errors
    /// It is no regular file, can't be opened, or is not what was listed.
    pub fn open(&self, name: &CStr, listed: &Stat) -> Result<Opened, OpenError> {
        let shown = || self.path_of(name).display().to_string();
        if listed.kind != Kind::File {
            let kind = listed.kind.word();
            return Err(OpenError::NotAFile {
                path: shown(),
                kind,
            });
        }
        let opened = tree::open_at(&self.fd, name, Open::File);
        let (fd, keeps_atime) = opened.map_err(|e| match e {
            Errno::LOOP | Errno::NXIO => OpenError::Replaced(shown()),
            e => OpenError::system(&self.path_of(name), e),
        })?;
        let before = Stat::of_open(&fd).map_err(|e| OpenError::system(&self.path_of(name), e))?;
        if !before.is_same(listed) {
            return Err(OpenError::Replaced(shown()));
        }
        Ok(Opened {
            file: File::from(fd),
            before,
            keeps_atime,
        })
    }

    /// Opens `listed` where its folder's own list calls it a regular file and what was opened is that one; none where
    /// it takes a closer look.
    pub fn open_listed(&self, listed: &Listed) -> Option<Opened> {
        let inode = listed.file_inode?;
        let (fd, keeps_atime) = tree::open_at(&self.fd, &listed.name, Open::File).ok()?;
        let before = Stat::of_open(&fd).ok()?;
        let is_it =
            before.kind == Kind::File && before.inode == inode && before.device == self.stat.device;
        is_it.then(|| Opened {
            file: File::from(fd),
            before,
            keeps_atime,
        })
    }

    /// Where the link `name` points, in its exact bytes.
    ///
    /// # Errors
    /// As the system says.
    pub fn target(&self, name: &CStr) -> Result<OsString, OpenError> {
        tree::link_target(&self.fd, name).map_err(|e| OpenError::system(&self.path_of(name), e))
    }
}

/// A name as the system wants it; a NUL inside can name nothing.
pub(super) fn c_name(name: &OsStr) -> Result<CString, OpenError> {
    CString::new(name.as_bytes()).map_err(|_| OpenError::system(Path::new(name), Errno::NOENT))
}

/// Opens the folder at the host path `path`, no component of which may be a link.
///
/// # Errors
/// A component is missing, unreadable, a link, or was replaced.
pub fn open_folder(root: &Path, path: &Path) -> Result<Folder, OpenError> {
    let mut folder = Folder::root(root)?;
    for part in normal_parts(path) {
        let name = c_name(&part)?;
        let listed = folder.look(&name)?;
        if listed.kind != Kind::Folder {
            return Err(OpenError::system(&folder.path_of(&name), Errno::NOTDIR));
        }
        folder = folder.enter(&name, &listed)?;
    }
    Ok(folder)
}

/// Opens the regular file at the host path `path`, no component of which may be a link.
///
/// # Errors
/// A component is missing, unreadable, a link, no regular file, or was replaced.
pub fn open_file(root: &Path, path: &Path) -> Result<Opened, OpenError> {
    let (folder, name) = open_parent(root, path)?;
    let listed = folder.look(&name)?;
    folder.open(&name, &listed)
}

/// Opens the folder of `path` and gives its last name.
///
/// # Errors
/// As [`open_folder`]; or the path names the root itself.
pub fn open_parent(root: &Path, path: &Path) -> Result<(Folder, CString), OpenError> {
    let mut parts = normal_parts(path);
    let last = parts
        .pop()
        .ok_or_else(|| OpenError::system(path, Errno::ISDIR))?;
    let parent: PathBuf = std::iter::once(OsString::from("/")).chain(parts).collect();
    Ok((open_folder(root, &parent)?, c_name(&last)?))
}

/// Reads at most `limit_bytes` of a small text of the system, links resolved within `root` first.
///
/// # Errors
/// As [`open_file`], or the read fails.
pub fn read_small(root: &Path, path: &Path, limit_bytes: u64) -> Result<Vec<u8>, OpenError> {
    let opened = open_file(root, &resolve(root, path)?)?;
    let mut bytes = Vec::new();
    opened
        .file
        .take(limit_bytes)
        .read_to_end(&mut bytes)
        .map_err(|e| OpenError::system(path, Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
    Ok(bytes)
}

/// The host path that `path` leads to when its links are followed by hand, never out of `root`. What isn't there
/// stays as written.
///
/// # Errors
/// A loop of links, or a folder that can't be looked into.
pub fn resolve(root: &Path, path: &Path) -> Result<PathBuf, OpenError> {
    let distant = Distant::now(root);
    let mut waiting: Vec<OsString> = normal_parts(path);
    waiting.reverse();
    let mut done = PathBuf::from("/");
    // The folder at `done`, entered step by step; none below what isn't there.
    let mut folder = Some(Folder::root(root)?);
    let mut links = 0;
    while let Some(part) = waiting.pop() {
        if part == ".." {
            done.pop();
            folder = opened(open_folder(root, &done))?;
            continue;
        }
        let next = done.join(&part);
        if distant.is_mounted_at(&done, &part) {
            return Err(OpenError::Distant(next.display().to_string()));
        }
        match step(folder.as_ref(), &part)? {
            Step::Link(target) => {
                links += 1;
                if links > LINKS_AT_MOST {
                    return Err(OpenError::LinkLoop(path.display().to_string()));
                }
                if target.is_absolute() {
                    done = PathBuf::from("/");
                    folder = Some(Folder::root(root)?);
                }
                waiting.extend(parts_with_parents(&target).into_iter().rev());
            }
            Step::Folder(inner) => (done, folder) = (next, Some(inner)),
            Step::Other => (done, folder) = (next, None),
        }
    }
    Ok(done)
}

/// What a component of a path is.
enum Step {
    Link(PathBuf),
    Folder(Folder),
    /// A file, or nothing.
    Other,
}

fn step(folder: Option<&Folder>, name: &OsStr) -> Result<Step, OpenError> {
    let Some(folder) = folder else {
        return Ok(Step::Other);
    };
    let name = c_name(name)?;
    let Some(seen) = opened(folder.look(&name))? else {
        return Ok(Step::Other);
    };
    match seen.kind {
        Kind::Link => Ok(Step::Link(folder.target(&name)?.into())),
        Kind::Folder => Ok(opened(folder.enter(&name, &seen))?.map_or(Step::Other, Step::Folder)),
        _ => Ok(Step::Other),
    }
}

/// Nothing where nothing is.
fn opened<T>(outcome: Result<T, OpenError>) -> Result<Option<T>, OpenError> {
    match outcome {
        Err(error) if error.is_not_found() => Ok(None),
        other => other.map(Some),
    }
}

/// The components of a host path, `.` and `..` taken out by their text alone.
pub(super) fn normal_parts(path: &Path) -> Vec<OsString> {
    let mut parts = Vec::new();
    for part in parts_with_parents(path) {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts
}

fn parts_with_parents(path: &Path) -> Vec<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_file_swapped_for_a_link_is_not_opened() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("f"), "x").unwrap();
        let folder = Folder::root(tree.path()).unwrap();
        let listed = folder.look(c"f").unwrap();
        fs::remove_file(tree.path().join("f")).unwrap();
        symlink("/etc/passwd", tree.path().join("f")).unwrap();
        let error = folder.open(c"f", &listed).unwrap_err();
        assert_eq!(error.reason(), Reason::Replaced);
    }

    #[test]
    fn a_file_swapped_for_another_or_a_pipe_is_not_taken() {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        fs::write(at("f"), "x").unwrap();
        fs::write(at("g"), "y").unwrap();
        let folder = Folder::root(tree.path()).unwrap();
        let listed = folder.look(c"f").unwrap();
        fs::rename(at("g"), at("f")).unwrap();
        assert_eq!(
            folder.open(c"f", &listed).unwrap_err().reason(),
            Reason::Replaced
        );
        fs::remove_file(at("f")).unwrap();
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
        rustix::fs::mknodat(rustix::fs::CWD, at("f"), kind, mode, 0).unwrap();
        assert_eq!(
            folder.open(c"f", &listed).unwrap_err().reason(),
            Reason::Replaced
        );
    }

    #[test]
    fn a_list_is_believed_only_where_what_is_opened_is_what_it_names() {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        for name in ["f", "g"] {
            fs::write(at(name), name).unwrap();
        }
        symlink("f", at("link")).unwrap();
        let folder = Folder::root(tree.path()).unwrap();
        let list = crate::files::list::next_names(&folder).unwrap();
        let named = |name: &CStr| list.iter().find(|l| *l.name == *name).unwrap();
        let f = named(c"f");
        let opened = folder.open_listed(f).unwrap();
        assert_eq!(Some(opened.before.inode), f.file_inode);
        assert_eq!(named(c"link").file_inode, None);
        assert!(folder.open_listed(named(c"link")).is_none());
        fs::rename(at("g"), at("f")).unwrap();
        assert!(folder.open_listed(f).is_none());
        fs::remove_file(at("f")).unwrap();
        assert!(folder.open_listed(f).is_none());
        symlink("/etc/passwd", at("f")).unwrap();
        assert!(folder.open_listed(f).is_none());
    }

    #[test]
    fn no_component_may_be_a_link() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("real")).unwrap();
        fs::write(tree.path().join("real/f"), "x").unwrap();
        symlink("real", tree.path().join("link")).unwrap();
        assert!(open_file(tree.path(), Path::new("/real/f")).is_ok());
        assert!(open_file(tree.path(), Path::new("/link/f")).is_err());
        assert_eq!(
            read_small(tree.path(), Path::new("/link/f"), 9).unwrap(),
            b"x"
        );
    }

    #[test]
    fn links_resolve_inside_the_root_and_loops_end() {
        let tree = tempfile::tempdir().unwrap();
        symlink("/etc", tree.path().join("a")).unwrap();
        symlink("../../../b", tree.path().join("up")).unwrap();
        symlink("loop", tree.path().join("loop")).unwrap();
        let led = |path: &str| resolve(tree.path(), Path::new(path));
        assert_eq!(led("/a/passwd").unwrap(), Path::new("/etc/passwd"));
        assert_eq!(led("/up").unwrap(), Path::new("/b"));
        assert!(matches!(led("/loop"), Err(OpenError::LinkLoop(_))));
    }
}
