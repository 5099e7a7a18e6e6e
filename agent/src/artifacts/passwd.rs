//! Names of users and groups from the host's own files. NSS is never asked: it opens sockets and
//! answers for the wrong system when the tree is an image.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::files::open::read_small;

/// A passwd file past this size is read only up to it; names are a comfort, ids are the evidence.
const CAP: u64 = 8 << 20;

/// Which number carries which name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: BTreeMap<u32, String>,
    /// Several names may carry one number.
    ids: BTreeMap<String, u32>,
}

impl Names {
    /// The users of the tree at `root`; no names where the file can't be read.
    pub(crate) fn users(root: &Path) -> Self {
        let read = read_small(root, Path::new("/etc/passwd"), CAP);
        read.map_or_else(
            |_| Self::default(),
            |bytes| Self::parse(&String::from_utf8_lossy(&bytes)),
        )
    }

    fn parse(text: &str) -> Self {
        let mut all = Self::default();
        for line in text.lines() {
            let mut parts = line.split(':');
            let (Some(name), Some(id)) = (parts.next(), parts.nth(1)) else {
                continue;
            };
            if let Ok(id) = id.parse() {
                // The first line of an id wins, as in the C library.
                all.names.entry(id).or_insert_with(|| name.to_owned());
                all.ids.entry(name.to_owned()).or_insert(id);
            }
        }
        all
    }

    /// The name of `id`, or null.
    pub(crate) fn of(&self, id: u32) -> Value {
        self.names.get(&id).cloned().into()
    }

    /// All users, by name, with their ids.
    pub(crate) fn into_ids(self) -> BTreeMap<String, u32> {
        self.ids
    }

    /// Every id that has a name, ascending.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.names.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_name_of_an_id_wins_and_garbage_is_passed_over() {
        let names = Names::parse("root:x:0:0::/:/bin/sh\ntoor:x:0:0\n\n::\nx:y:z\nme:x:7\n");
        assert_eq!(names.of(0), "root");
        assert_eq!(names.of(7), "me");
        assert_eq!(names.of(8), Value::Null);
        assert_eq!(names.into_ids().get("toor"), Some(&0));
    }
}
