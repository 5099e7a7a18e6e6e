//! The folder of the file before, kept open for a moment: files of one folder come in a row, and each is opened from it
//! without walking the whole way anew.
//!
//! What holds for [`open_file`](super::open_file) and [`resolve`] holds here: the folder was entered
//! component by component, and no link is followed by the kernel.

use std::{
    ffi::CString,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    distant::Distant,
    open::{Folder, OpenError, Opened, c_name, open_parent, resolve},
    stat::{Kind, Stat},
};

/// After so long the way is walked again: a folder that was moved meanwhile is not read under its old name for longer.
const FRESH: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug, Default)]
pub struct Parents {
    last: Option<(Folder, Instant)>,
}

impl Parents {
    /// As [`resolve`].
    ///
    /// # Errors
    /// As there.
    pub fn resolve(&mut self, root: &Path, path: &Path) -> Result<PathBuf, OpenError> {
        if let Some((folder, name)) = self.known(path)
            && let Some(plain) = path.file_name()
            && !Distant::now(root).is_mounted_at(folder.path(), plain)
            && folder.look(&name)?.kind != Kind::Link
        {
            return Ok(folder.path().join(plain));
        }
        resolve(root, path)
    }

    /// Looks at what lies at `path`, without opening it; its folder is kept.
    ///
    /// # Errors
    /// As [`open_file`](super::open_file).
    pub fn look(&mut self, root: &Path, path: &Path) -> Result<Stat, OpenError> {
        if let Some((folder, name)) = self.known(path) {
            return folder.look(&name);
        }
        let (folder, name) = open_parent(root, path)?;
        let (folder, _) = self.last.insert((folder, Instant::now()));
        folder.look(&name)
    }

    /// As [`open_file`](super::open_file), where it still is what was `looked` at.
    ///
    /// # Errors
    /// As there.
    pub fn open(&mut self, root: &Path, path: &Path, looked: &Stat) -> Result<Opened, OpenError> {
        if let Some((folder, name)) = self.known(path) {
            return folder.open(&name, looked);
        }
        let (folder, name) = open_parent(root, path)?;
        let (folder, _) = self.last.insert((folder, Instant::now()));
        folder.open(&name, looked)
    }

    /// The kept folder, where it is that of `path`, and the name in it.
    fn known(&self, path: &Path) -> Option<(&Folder, CString)> {
        let (folder, since) = self.last.as_ref()?;
        let is_its = path.parent() == Some(folder.path()) && since.elapsed() < FRESH;
        let name = path.file_name().filter(|_| is_its)?;
        Some((folder, c_name(name).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use evidence::gap::Reason;

    use super::*;

    #[test]
    fn files_of_one_folder_are_opened_from_it_and_links_are_still_not_followed() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("d")).unwrap();
        for name in ["a", "b"] {
            fs::write(tree.path().join("d").join(name), name).unwrap();
        }
        symlink("/d/b", tree.path().join("d/link")).unwrap();
        let mut parents = Parents::default();
        let open = |parents: &mut Parents, path: &str| {
            let own = parents.resolve(tree.path(), Path::new(path))?;
            let looked = parents.look(tree.path(), &own)?;
            parents.open(tree.path(), &own, &looked).map(|_| own)
        };
        assert_eq!(open(&mut parents, "/d/a").unwrap(), Path::new("/d/a"));
        assert!(parents.known(Path::new("/d/b")).is_some());
        assert_eq!(open(&mut parents, "/d/b").unwrap(), Path::new("/d/b"));
        assert_eq!(open(&mut parents, "/d/link").unwrap(), Path::new("/d/b"));
        let link = Path::new("/d/link");
        let looked = parents.look(tree.path(), link).unwrap();
        let error = parents.open(tree.path(), link, &looked).unwrap_err();
        assert_eq!(error.reason(), Reason::NotApplicable);
        let error = open(&mut parents, "/d/gone").unwrap_err();
        assert!(error.is_not_found());
        // Another folder takes its place.
        fs::write(tree.path().join("a"), "root").unwrap();
        assert_eq!(open(&mut parents, "/a").unwrap(), Path::new("/a"));
        assert!(parents.known(Path::new("/d/b")).is_none());
    }
}
