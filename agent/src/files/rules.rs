//! Rules as data: which files to take, as patterns over host paths, all expanded in one walk that enters only the
//! folders which a pattern can still match in.
//!
//! `*`, `?`, `[...]` and `{a,b}` match within one name (a leading dot too); `**` stands for any depth; a leading `~`
//! for every home folder. Links are followed by hand, and only in the part of a pattern before its first wildcard.

use std::{
    collections::BTreeSet,
    ffi::{CStr, OsStr, OsString},
    path::{Path, PathBuf},
    sync::Arc,
};

use evidence::gap::Reason;
use globset::{GlobBuilder, GlobMatcher};

use super::{
    bounds::{Bounds, Outside},
    distant::Distant,
    list::next_names,
    open::{Folder, OpenError, c_name, normal_parts, reason_of, resolve},
    place::{Place, place_of_entry},
    private::{PRIVATE_KEY, is_private_key},
    stat::{Kind, Stat},
};
use crate::{
    artifacts::{Sink, Stopped},
    platform::{names::OsStrExt as _, tree::Errno},
};

/// How deep below the root a rule may lead.
const DEPTH_AT_MOST: usize = 200;

/// One pattern of files to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The pattern over host paths.
    pub pattern: &'static str,
}

/// A rule, in one line. A brace can't hold a `/`: such a list doesn't compile.
pub const fn rule(pattern: &'static str) -> Rule {
    let bytes = pattern.as_bytes();
    let (mut at, mut in_braces) = (0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'{' => in_braces = true,
            b'}' => in_braces = false,
            b'/' => assert!(!in_braces, "a name can't hold a slash"),
            _ => {}
        }
        at += 1;
    }
    Rule { pattern }
}

#[derive(Debug, Clone)]
enum Step {
    Name(OsString),
    Glob(GlobMatcher),
    Deep,
}

/// Where in which pattern the walk stands.
type State = (usize, usize);

/// Patterns made ready for one host.
#[derive(Debug, Default)]
pub struct Compiled {
    patterns: Vec<Vec<Step>>,
}

impl Compiled {
    /// Reads `patterns`, with `~` standing for each of `homes` and links before the first wildcard resolved.
    pub fn new<'a>(
        root: &Path,
        patterns: impl Iterator<Item = &'a str>,
        homes: &[PathBuf],
    ) -> Self {
        let (mut texts, mut left_behind) = (BTreeSet::new(), Vec::new());
        for pattern in patterns {
            match pattern.strip_prefix("~/") {
                Some(rest) => {
                    texts.extend(homes.iter().map(|home| (home.clone(), rest)));
                    left_behind.push(rest);
                }
                None => drop(texts.insert((PathBuf::from("/"), pattern))),
            }
        }
        let mut seen = BTreeSet::new();
        let mut compiled = Self::default();
        for (base, pattern) in texts {
            for (prefix, rest) in split(root, &base, pattern) {
                if seen.insert((prefix.clone(), rest.clone())) {
                    compiled.push(&prefix, &rest);
                }
            }
        }
        // Homes of accounts that are no longer in passwd.
        let base = resolve(root, Path::new("/home")).unwrap_or_else(|_| PathBuf::from("/home"));
        for rest in left_behind {
            let parts: Vec<&str> = std::iter::once("*").chain(rest.split('/')).collect();
            compiled.push(&base, &parts);
        }
        compiled
    }

    fn push(&mut self, prefix: &Path, rest: &[&str]) {
        let mut steps: Vec<Step> = normal_parts(prefix).into_iter().map(Step::Name).collect();
        for part in rest {
            match *part {
                "**" => steps.push(Step::Deep),
                text => match GlobBuilder::new(text)
                    .literal_separator(true)
                    .empty_alternates(true)
                    .build()
                {
                    Ok(glob) => steps.push(Step::Glob(glob.compile_matcher())),
                    // No pattern after all: then it is a name.
                    Err(_) => steps.push(Step::Name(text.into())),
                },
            }
        }
        if !steps.is_empty() {
            self.patterns.push(steps);
        }
    }

    fn start(&self) -> Vec<State> {
        (0..self.patterns.len())
            .map(|pattern| (pattern, 0))
            .collect()
    }

    /// The states that hold without a further name: `**` may stand for nothing.
    fn spread(&self, states: &[State]) -> Vec<State> {
        let mut all = states.to_vec();
        let mut at = 0;
        while let Some(&(pattern, place)) = all.get(at) {
            let steps = &self.patterns[pattern];
            let next = (pattern, place + 1);
            if matches!(steps[place], Step::Deep) && place + 1 < steps.len() && !all.contains(&next)
            {
                all.push(next);
            }
            at += 1;
        }
        all
    }

    /// Whether `name` is taken, and what may be taken below it.
    fn step(&self, states: &[State], name: &CStr) -> (bool, Vec<State>) {
        let name = OsStr::from_bytes(name.to_bytes());
        let (mut taken, mut next) = (false, Vec::new());
        for &(pattern, place) in states {
            let steps = &self.patterns[pattern];
            let is_last = place + 1 == steps.len();
            let (fits, goes_to) = match &steps[place] {
                Step::Name(wanted) => (wanted == name, place + 1),
                Step::Glob(glob) => (glob.is_match(Path::new(name)), place + 1),
                Step::Deep => (true, place),
            };
            taken |= fits && is_last;
            if fits && goes_to < steps.len() && !next.contains(&(pattern, goes_to)) {
                next.push((pattern, goes_to));
            }
        }
        (taken, next)
    }

    /// The only names that matter, where every state waits for a plain name: then nothing needs listing.
    fn names(&self, states: &[State]) -> Option<BTreeSet<&OsStr>> {
        states
            .iter()
            .map(|&(pattern, place)| match &self.patterns[pattern][place] {
                Step::Name(name) => Some(name.as_os_str()),
                _ => None,
            })
            .collect()
    }
}

/// The plain folders before the first wildcard (as written and, through links, as they are), and what follows.
fn split<'a>(root: &Path, base: &Path, pattern: &'a str) -> Vec<(PathBuf, Vec<&'a str>)> {
    let parts: Vec<&str> = pattern.split('/').filter(|p| !p.is_empty()).collect();
    let is_wild = |part: &&str| part.contains(['*', '?', '[', '{']);
    let plain = parts.iter().position(is_wild).unwrap_or(parts.len());
    let (plain, rest) = parts.split_at(plain);
    let written: PathBuf = std::iter::once(base.to_owned())
        .chain(plain.iter().map(PathBuf::from))
        .collect();
    let led = resolve(root, &written).unwrap_or_else(|_| written.clone());
    if led == written {
        return vec![(written, rest.to_vec())];
    }
    // The link on the way is evidence too; the last one of a plain path is taken as a link under its own name.
    let as_written = match (rest.is_empty(), written.parent(), written.file_name()) {
        (true, Some(parent), Some(name)) => resolve(root, parent)
            .unwrap_or_else(|_| parent.to_owned())
            .join(name),
        _ => return vec![(led, rest.to_vec())],
    };
    vec![(led, Vec::new()), (as_written, Vec::new())]
}

/// What a sweep calls for each entry that a rule takes.
pub type Found<'a> = dyn FnMut(&mut dyn Sink, &Path, &Stat) -> Result<(), Stopped> + 'a;

/// Hands every entry but folders that one of `rules` takes to `sink.file`; never a private key, and nothing outside the
/// bounds.
///
/// # Errors
/// The run must stop.
pub fn sweep(
    (root, bounds): (&Path, Option<&Bounds>),
    rules: &[Rule],
    homes: &[PathBuf],
    sink: &mut dyn Sink,
) -> Result<(), Stopped> {
    let compiled = Compiled::new(root, rules.iter().map(|r| r.pattern), homes);
    sweep_with(
        (root, bounds),
        &compiled,
        sink,
        &mut |sink, path, stat| match is_private_key(root, path, stat) {
            true => sink.left_out(path, PRIVATE_KEY),
            false => sink.file(path),
        },
    )
}

/// Calls `found` for every entry but folders that `compiled` takes and that lies within the bounds; what can't be looked
/// into is a gap.
///
/// # Errors
/// The run must stop.
pub fn sweep_with(
    (root, bounds): (&Path, Option<&Bounds>),
    compiled: &Compiled,
    sink: &mut dyn Sink,
    found: &mut Found<'_>,
) -> Result<(), Stopped> {
    let folder = match Folder::root(root) {
        Ok(folder) => folder,
        Err(error) => return sink.gap("/", error.reason(), &error.to_string()),
    };
    let mut sweep = Sweep {
        compiled,
        bounds,
        distant: Distant::now(root),
        sink,
        found,
    };
    sweep.folder(&folder, &compiled.spread(&compiled.start()), 0)
}

struct Sweep<'a, 'f> {
    compiled: &'a Compiled,
    bounds: Option<&'a Bounds>,
    distant: Arc<Distant>,
    sink: &'a mut dyn Sink,
    found: &'a mut Found<'f>,
}

impl Sweep<'_, '_> {
    /// Recursion is bounded by [`DEPTH_AT_MOST`], and so are the open folders.
    fn folder(&mut self, folder: &Folder, states: &[State], depth: usize) -> Result<(), Stopped> {
        if let Some(names) = self.compiled.names(states) {
            for name in names {
                if let Ok(name) = c_name(name) {
                    self.entry(folder, &name, states, depth, true)?;
                }
            }
            return Ok(());
        }
        loop {
            let names = match next_names(folder) {
                Ok(names) => names,
                Err(e) => return self.refused(folder, e),
            };
            if names.is_empty() {
                return Ok(());
            }
            for listed in names {
                self.entry(folder, &listed.name, states, depth, false)?;
            }
        }
    }

    fn entry(
        &mut self,
        folder: &Folder,
        name: &CStr,
        states: &[State],
        depth: usize,
        is_guess: bool,
    ) -> Result<(), Stopped> {
        let (taken, next) = self.compiled.step(states, name);
        if !taken && next.is_empty() {
            return Ok(());
        }
        let path = folder.path_of(name);
        if self
            .distant
            .is_mounted_at(folder.path(), OsStr::from_bytes(name.to_bytes()))
        {
            return self.elsewhere(&path, None);
        }
        let stat = match folder.look(name) {
            Ok(stat) => stat,
            // A rule is a sweep: what isn't there is no gap. What was listed and has gone is.
            Err(e) if e.is_not_found() && is_guess => return Ok(()),
            Err(e) if e.is_not_found() => {
                let text = "It was listed and has gone.";
                return self.gap(&path, None, Reason::Vanished, text);
            }
            Err(e) => return self.error(&path, None, &e),
        };
        if let Err(why) = self.within(&path, &stat) {
            self.sink.out_of_scope(why, 1);
            return Ok(());
        }
        if stat.kind != Kind::Folder {
            return if taken {
                (self.found)(self.sink, &path, &stat)
            } else {
                Ok(())
            };
        }
        if next.is_empty() {
            return Ok(());
        }
        self.enter(folder, name, &stat, &next, depth)
    }

    fn enter(
        &mut self,
        folder: &Folder,
        name: &CStr,
        stat: &Stat,
        next: &[State],
        depth: usize,
    ) -> Result<(), Stopped> {
        let path = folder.path_of(name);
        if depth >= DEPTH_AT_MOST {
            let text = "Deeper than 200 folders; all below is missing.";
            return self.gap(&path, Some(stat), Reason::Limit, text);
        }
        let is_elsewhere = stat.automount || stat.device != folder.stat().device;
        if is_elsewhere && !matches!(place_of_entry(folder, name), Ok(Place::Local)) {
            return self.elsewhere(&path, Some(stat));
        }
        match folder.enter(name, stat) {
            Ok(inner) => self.folder(&inner, &self.compiled.spread(next), depth + 1),
            Err(error) => self.error(&path, Some(stat), &error),
        }
    }

    /// Whether the order's scope takes it in. A folder may be anybody's: what lies in it may be somebody else's; and what
    /// a link leads to is judged by whoever follows it.
    fn within(&self, path: &Path, stat: &Stat) -> Result<(), Outside> {
        match (self.bounds, stat.kind) {
            (None, _) => Ok(()),
            (Some(bounds), Kind::Folder) => bounds.path_or_below(path),
            (Some(bounds), Kind::Link) => bounds.path(path),
            (Some(bounds), _) => bounds.path(path).and_then(|()| bounds.file(stat)),
        }
    }

    /// Tells what is missing, by its name only where the scope takes that in.
    fn gap(
        &mut self,
        path: &Path,
        stat: Option<&Stat>,
        reason: Reason,
        text: &str,
    ) -> Result<(), Stopped> {
        let judge = |bounds: &Bounds| {
            bounds.path_or_below(path)?;
            bounds.user(stat.map(|stat| stat.uid))
        };
        match self.bounds.map_or(Ok(()), judge) {
            Ok(()) => self.sink.gap(path, reason, text),
            Err(why) => {
                self.sink.out_of_scope(why, 1);
                Ok(())
            }
        }
    }

    fn elsewhere(&mut self, path: &Path, stat: Option<&Stat>) -> Result<(), Stopped> {
        let text = "Not a local file system; all below is missing.";
        self.gap(path, stat, Reason::OtherFileSystem, text)
    }

    fn error(
        &mut self,
        path: &Path,
        stat: Option<&Stat>,
        error: &OpenError,
    ) -> Result<(), Stopped> {
        let reason = match error.reason() {
            Reason::NotFound => Reason::Vanished,
            reason => reason,
        };
        self.gap(path, stat, reason, &error.to_string())
    }

    fn refused(&mut self, folder: &Folder, error: Errno) -> Result<(), Stopped> {
        let text = format!("The folder can't be listed: {error}. All below is missing.");
        self.gap(folder.path(), Some(folder.stat()), reason_of(error), &text)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::{super::record::text_of, *};
    use crate::artifacts::testing::MemorySink;

    fn swept(patterns: &[&'static str]) -> Vec<String> {
        let tree = tempfile::tempdir().unwrap();
        for path in [
            "etc/a.conf",
            "etc/.h",
            "etc/d/e/f.conf",
            "data/bob/.bashrc",
            "usr/x",
            "root/.bashrc",
        ] {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        fs::create_dir(tree.path().join("home")).unwrap();
        symlink("/data/bob", tree.path().join("home/bob")).unwrap();
        symlink("../usr/x", tree.path().join("etc/x")).unwrap();
        let homes = [PathBuf::from("/home/bob"), PathBuf::from("/root")];
        let rules: Vec<Rule> = patterns.iter().map(|p| rule(p)).collect();
        let mut sink = MemorySink::default();
        sweep((tree.path(), None), &rules, &homes, &mut sink).unwrap();
        assert!(sink.gaps.is_empty());
        let mut files: Vec<String> = sink.files.iter().map(|f| text_of(f)).collect();
        files.sort();
        files
    }

    #[test]
    fn every_depth_and_each_file_once() {
        let all = ["/etc/.h", "/etc/a.conf", "/etc/d/e/f.conf", "/etc/x"];
        assert_eq!(swept(&["/etc/**", "/etc/*", "/etc/a.conf"]), all);
        assert_eq!(
            swept(&["/etc/**/*.conf"]),
            ["/etc/a.conf", "/etc/d/e/f.conf"]
        );
        assert_eq!(swept(&["/etc/{a,b}.conf", "/nowhere/*"]), ["/etc/a.conf"]);
    }

    #[test]
    fn homes_behind_links_are_found_where_they_are() {
        assert_eq!(swept(&["~/.*rc"]), ["/data/bob/.bashrc", "/root/.bashrc"]);
    }

    #[test]
    fn a_link_named_plainly_is_taken_with_what_it_leads_to() {
        assert_eq!(swept(&["/etc/x"]), ["/etc/x", "/usr/x"]);
    }
}
