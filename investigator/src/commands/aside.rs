//! What lies among the parts and is not taken into account, each with the reason: nothing is passed over in silence.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use protocol::kit::layout;
use serde::Serialize;

use super::files;

/// So many are named; the rest is counted.
const NAMED: usize = 100;

/// One thing that was not taken into account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Aside {
    /// Its path; hostile text.
    pub file: String,
    /// Why.
    pub why: String,
}

impl Aside {
    fn new(path: &Path, why: &str) -> Self {
        Self {
            file: path.display().to_string(),
            why: why.to_owned(),
        }
    }
}

/// What a search has met besides parts.
#[derive(Debug, Default)]
pub(super) struct Met {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
    links: Vec<PathBuf>,
}

impl Met {
    pub(super) fn folder(&mut self, path: PathBuf) {
        self.folders.push(path);
    }

    pub(super) fn file(&mut self, path: PathBuf) {
        self.files.push(path);
    }

    /// A symbolic link, a pipe, a device: nothing that is opened.
    pub(super) fn no_file(&mut self, path: PathBuf) {
        self.links.push(path);
    }

    /// What of it must be told, below the folder that was searched.
    pub(super) fn told(self, root: &Path, parts: &BTreeSet<PathBuf>) -> Vec<Aside> {
        let stems: BTreeSet<_> = parts.iter().map(|part| files::stem(part)).collect();
        let beside = |path: &PathBuf| files::stem_of_beside(path).is_some();
        let of_interest = || {
            let links = self.links.iter().filter(|path| files::is_part(path));
            let lonely = self.files.iter().filter(|path| beside(path));
            parts.iter().chain(links).chain(lonely)
        };
        let homes: BTreeSet<&Path> = of_interest().filter_map(|path| path.parent()).collect();
        let holders: BTreeSet<&Path> = of_interest()
            .flat_map(|path| path.ancestors().skip(1))
            .collect();
        let is_at_home = |path: &Path| path.parent().is_some_and(|folder| homes.contains(folder));
        let mut told = Vec::new();
        for path in self.links.iter().filter(|path| is_at_home(path)) {
            told.push(Aside::new(
                path,
                "It is no file but a symbolic link, a pipe or a device, and is not followed. Put the file itself here.",
            ));
        }
        for path in self.files.iter().filter(|path| is_at_home(path)) {
            told.extend(why_not(path, &stems).map(|why| Aside::new(path, why)));
        }
        let is_inner = |folder: &&PathBuf| {
            let parent = folder.parent().is_some_and(|up| holders.contains(up));
            folder.as_path() != root && parent && !holders.contains(folder.as_path())
        };
        for folder in self.folders.iter().filter(is_inner) {
            told.push(Aside::new(
                folder,
                "This folder holds no part; nothing in it was looked at.",
            ));
        }
        told.sort();
        told
    }
}

/// Why a file is not taken into account; `None` where it is.
fn why_not(path: &Path, stems: &BTreeSet<PathBuf>) -> Option<&'static str> {
    if let Some(stem) = files::stem_of_beside(path) {
        let is_lonely = !stems.contains(&stem);
        return is_lonely.then_some("The part that it belongs to does not lie here.");
    }
    let name = path.file_name()?.to_str().unwrap_or_default();
    let of_kit = [layout::USE, layout::USED, layout::IMPORTED].contains(&name);
    if files::is_paper(name) || of_kit || name == files::RUN_CERTIFICATE {
        return None;
    }
    Some(if name.ends_with(".unfinished") {
        "It is an unfinished download. Fetch again: it goes on from here."
    } else {
        "The format has no file of this name; it was not looked at."
    })
}

/// The first of them, and a last one that counts the rest.
pub(super) fn bounded(mut told: Vec<Aside>) -> Vec<Aside> {
    let more = told.len().saturating_sub(NAMED);
    if more > 0 {
        told.truncate(NAMED);
        told.push(Aside {
            file: "...".to_owned(),
            why: format!("and {more} more that are not named here"),
        });
    }
    told
}
