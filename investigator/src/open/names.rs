//! Names for extracted files: none escapes, none collides, and every system can hold them.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use evidence::digest::Digest;

use crate::private;

/// Longer components are cut: systems take 255 bytes, and a number may have to follow.
const COMPONENT_BYTES: usize = 240;

/// What the file system of a folder can't hold apart or at all, found by trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// Names that differ only in case are one.
    pub(super) folds: bool,
    /// Only names that Windows holds.
    pub(super) windows: bool,
}

impl Rules {
    /// Tries the file system below `folder`.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let upper = folder.join(".Fieldseal-probe");
        private::create(&upper, b"")?;
        let folds = fs::symlink_metadata(folder.join(".fieldseal-probe")).is_ok();
        fs::remove_file(&upper)?;
        // Windows takes what follows a colon for a stream, and says nothing.
        let odd = folder.join(".fieldseal?*:probe");
        let windows = cfg!(windows) || private::create(&odd, b"").is_err();
        if !windows {
            fs::remove_file(&odd)?;
        }
        Ok(Self { folds, windows })
    }
}

/// Gives each entry a path below a folder.
#[derive(Debug)]
pub(super) struct Names {
    rules: Rules,
    /// Folders of the archive, exactly as named, and what they became.
    folders: HashMap<String, PathBuf>,
    /// All that is taken, folded where the system folds.
    taken: HashSet<String>,
}

impl Names {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            folders: HashMap::new(),
            taken: HashSet::new(),
        }
    }

    /// The path for the file `entry`, whose name has passed the archive's own rules.
    pub(super) fn file(&mut self, entry: &str) -> PathBuf {
        let (parent, name) = entry.rsplit_once('/').unwrap_or(("", entry));
        let parent = self.folder(parent);
        self.free(&parent, name)
    }

    /// The path for the folder `name`, the same each time.
    fn folder(&mut self, name: &str) -> PathBuf {
        let mut path = PathBuf::new();
        let mut exact = String::new();
        for component in name.split('/').filter(|c| !c.is_empty()) {
            exact.push('/');
            exact.push_str(component);
            path = match self.folders.get(&exact) {
                Some(known) => known.clone(),
                None => {
                    let free = self.free(&path, component);
                    self.folders.insert(exact.clone(), free.clone());
                    free
                }
            };
        }
        path
    }

    fn free(&mut self, parent: &Path, component: &str) -> PathBuf {
        let name = match self.rules.windows {
            true => shortened(windows_name(component), component),
            false => shortened(component.to_owned(), component),
        };
        let mut path = parent.join(&name);
        let mut count = 1;
        while !self.taken.insert(self.folded(&path)) {
            count += 1;
            path = parent.join(format!("{name}~{count}"));
        }
        path
    }

    fn folded(&self, path: &Path) -> String {
        let text = path.to_string_lossy();
        if self.rules.folds {
            return text.to_lowercase();
        }
        text.into_owned()
    }
}

/// One component that Windows can hold: escaped as the archive's own names are.
fn windows_name(component: &str) -> String {
    let mut safe = String::with_capacity(component.len());
    for c in component.chars() {
        if "<>:\"|?*\\/".contains(c) || c.is_ascii_control() {
            safe.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            safe.push(c);
        }
    }
    if safe.ends_with(['.', ' ']) {
        let last = safe.pop().map_or(0, u32::from);
        safe.push_str(&format!("%{last:02X}"));
    }
    let base = safe.split('.').next().unwrap_or_default();
    if is_device(&base.trim_end().to_ascii_uppercase()) {
        safe.insert(0, '_');
    }
    safe
}

/// Cut where it is too long for a number to follow; the digest of the exact name keeps it apart.
fn shortened(mut name: String, component: &str) -> String {
    if name.len() > COMPONENT_BYTES {
        let tail = Digest::of(component.as_bytes()).to_string();
        let end = name.floor_char_boundary(COMPONENT_BYTES - 17);
        name.truncate(end);
        name.push('~');
        name.push_str(&tail[..16]);
    }
    name
}

/// Names that Windows takes for devices.
fn is_device(base: &str) -> bool {
    let numbered = base.len() == 4
        && (base.starts_with("COM") || base.starts_with("LPT"))
        && base.ends_with(|c: char| c.is_ascii_digit());
    numbered || matches!(base, "CON" | "PRN" | "AUX" | "NUL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_collide_stay_apart() {
        let mut names = Names::new(Rules {
            folds: true,
            windows: true,
        });
        let given = [
            "fs/a/README",
            "fs/a/readme",
            "fs/A/readme",
            "fs/a",
            "fs/a/README/x",
            "fs/a/README",
        ];
        let paths: Vec<_> = given.iter().map(|n| names.file(n)).collect();
        let folded: HashSet<_> = paths
            .iter()
            .map(|p| p.to_string_lossy().to_lowercase())
            .collect();
        assert_eq!(folded.len(), given.len(), "{paths:?}");
        // No file is a folder of another.
        for (at, path) in paths.iter().enumerate() {
            let others = paths.iter().enumerate().filter(|(other, _)| *other != at);
            for (_, other) in others {
                assert!(!other.starts_with(path), "{path:?} {other:?}");
            }
        }
    }

    #[test]
    fn every_system_holds_the_names() {
        assert_eq!(windows_name("a:b"), "a%3Ab");
        assert_eq!(windows_name("x. "), "x.%20");
        assert_eq!(windows_name("nul.txt"), "_nul.txt");
        assert_eq!(windows_name("COM1"), "_COM1");
        assert_eq!(windows_name("..\\x"), "..%5Cx");
        let long = "ü?".repeat(200);
        let long = shortened(windows_name(&long), &long);
        assert!(long.len() <= COMPONENT_BYTES, "{}", long.len());
    }

    #[test]
    fn names_stay_as_they_are_where_the_system_holds_them() {
        let dir = tempfile::tempdir().unwrap();
        let rules = Rules::of(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        if rules.windows || rules.folds {
            return;
        }
        let mut names = Names::new(rules);
        for name in ["fs/a:b", "fs/README", "fs/readme", "fs/nul"] {
            assert_eq!(names.file(name), Path::new(name));
        }
        assert_eq!(names.file("fs/nul/x"), Path::new("fs/nul~2/x"));
    }
}
