//! Names for extracted files: none escapes, none collides, and every system can hold them.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use evidence::digest::Digest;

/// Longer components are cut: systems take 255 bytes, and a number may have to follow.
const COMPONENT_BYTES: usize = 240;

/// Gives each entry a path below a folder.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Folders of the archive, exactly as named, and what they became.
    folders: HashMap<String, PathBuf>,
    /// All that is taken, folded, since some systems fold.
    taken: HashSet<String>,
}

impl Names {
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
        let name = safe(component);
        let mut path = parent.join(&name);
        let mut count = 1;
        while !self.taken.insert(path.to_string_lossy().to_lowercase()) {
            count += 1;
            path = parent.join(format!("{name}~{count}"));
        }
        path
    }
}

/// One component that every system can hold: escaped as the archive's own names are.
fn safe(component: &str) -> String {
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
    if safe.len() > COMPONENT_BYTES {
        let tail = Digest::of(component.as_bytes()).to_string();
        let end = safe.floor_char_boundary(COMPONENT_BYTES - 17);
        safe.truncate(end);
        safe.push('~');
        safe.push_str(&tail[..16]);
    }
    safe
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
        let mut names = Names::default();
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
        assert_eq!(safe("a:b"), "a%3Ab");
        assert_eq!(safe("x. "), "x.%20");
        assert_eq!(safe("nul.txt"), "_nul.txt");
        assert_eq!(safe("COM1"), "_COM1");
        assert_eq!(safe("..\\x"), "..%5Cx");
        let long = safe(&"ü?".repeat(200));
        assert!(long.len() <= COMPONENT_BYTES, "{}", long.len());
    }
}
