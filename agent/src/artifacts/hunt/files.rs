//! Looks for files by content, name, path, size and times. A file is read only where all else fits already.

use std::{
    ffi::{CStr, OsStr},
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use evidence::{gap::Reason, instant::Instant};

use super::{
    HITS, Hits, IGNORE_CASE, MATCHED, MD5, SHA1, SHA256,
    asked::{Fault, Options},
    digests::Digests,
    option,
    patterns::{Names, Patterns},
    refuse,
};
use crate::{
    artifacts::{
        Artifact, Asked, Extent, Field, OptionField, OptionKind, Request, Sink, Stopped,
        file_hashes::{CONTENT_FIELDS, Entry, Found, LeftOut, roots, scope},
        source::number,
    },
    files::{
        Bounds, Pace,
        digest::{self, Digesting, Done, Wanted},
        open::Folder,
        record::STAT_FIELDS,
        stat::{Kind, Stat},
        walk::{Missed, Seen, Visit, walk},
    },
    platform::names::OsStrExt as _,
};

/// The artifact.
#[derive(Debug)]
pub struct HuntFiles;

static FIELDS: LazyLock<Vec<Field>> =
    LazyLock::new(|| [STAT_FIELDS, CONTENT_FIELDS, &[MATCHED]].concat());

const OPTIONS: &[OptionField] = &[
    SHA256,
    MD5,
    SHA1,
    option(
        "names",
        OptionKind::Texts,
        "the last name of the path; one of these",
    ),
    option(
        "globs",
        OptionKind::Texts,
        "patterns of the whole path (`*`, `?`, `[...]`, `{a,b}`, `**` for any depth), or of the last name where there is no `/` in it; one of these",
    ),
    IGNORE_CASE,
    option(
        "at_least_bytes",
        OptionKind::Number,
        "files of this length or longer",
    ),
    option(
        "at_most_bytes",
        OptionKind::Number,
        "files of this length or shorter",
    ),
    option(
        "modified_from",
        OptionKind::Time,
        "mtime at or after this time",
    ),
    option("modified_until", OptionKind::Time, "mtime before this time"),
    option(
        "changed_from",
        OptionKind::Time,
        "ctime at or after this time",
    ),
    option("changed_until", OptionKind::Time, "ctime before this time"),
    option("born_from", OptionKind::Time, "btime at or after this time"),
    option("born_until", OptionKind::Time, "btime before this time"),
    HITS,
    option(
        "other_file_systems",
        OptionKind::Flag,
        "enter distant file systems and overlays below the paths",
    ),
    option(
        "sparse_limit_bytes",
        OptionKind::Number,
        "a longer sparse file is not read, and is a gap where all else fits; 1 GiB",
    ),
    option("threads", OptionKind::Number, "walking threads, 1 to 16; 2"),
];

impl Artifact for HuntFiles {
    fn name(&self) -> &'static str {
        "hunt_files"
    }

    fn about(&self) -> &'static str {
        "Files below the given paths that fit all criteria: content, name, path, size, times."
    }

    fn walks(&self) -> bool {
        true
    }

    fn asked(&self) -> Asked {
        Asked::Criteria
    }

    fn extent(&self) -> Extent {
        Extent::Files
    }

    fn options(&self) -> &'static [OptionField] {
        OPTIONS
    }

    fn fields(&self) -> &'static [Field] {
        &FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        let read = Options::of(self, request.options).and_then(Criteria::read);
        let criteria = match read {
            Ok(criteria) => criteria,
            Err(fault) => return refuse(&fault, sink),
        };
        if request.paths.is_empty() {
            let text = "no path was given; nothing was looked for";
            return sink.gap("paths", Reason::NotFound, text);
        }
        let sparse_limit_bytes = Wanted::default().sparse_limit_bytes;
        let roots = roots(request, sink)?;
        let find = Find {
            criteria,
            sparse_limit_bytes: number(request, "sparse_limit_bytes", sparse_limit_bytes),
            pace: request.pace,
            bounds: request.bounds,
            asked: &roots,
            left_out: LeftOut::default(),
            hits: Hits::of(request),
            unborn: AtomicU64::new(0),
        };
        let walked = walk(
            request.root,
            &roots,
            &scope(request),
            &find,
            |Found { lines, missed }| {
                // Where nothing fits, nothing is said, and the walk costs all the same.
                request.pace.passed(0);
                if request.pace.is_stopped() {
                    return Err(Stopped.into());
                }
                for Missed {
                    path, reason, text, ..
                } in missed
                {
                    sink.gap(path, reason, &text)?;
                }
                if !lines.is_empty() {
                    sink.records(lines)?;
                }
                match find.hits.are_over() {
                    true => Err(End::Enough),
                    false => Ok(()),
                }
            },
        );
        if let Err(End::Stopped(stopped)) = walked {
            return Err(stopped);
        }
        find.hits.tell(sink)?;
        let unborn = find.unborn.into_inner();
        if unborn > 0 {
            let text =
                format!("nobody knows when {unborn} files were born, of which all else fits");
            sink.gap("born", Reason::Unsupported, &text)?;
        }
        find.left_out.tell(sink);
        Ok(())
    }
}

/// Why a walk ended before its end.
enum End {
    Stopped(Stopped),
    Enough,
}

impl From<Stopped> for End {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

/// From one time on, and before another.
#[derive(Debug, Default, PartialEq, Eq)]
struct Span {
    from: Option<Instant>,
    until: Option<Instant>,
}

impl Span {
    fn read(options: Options<'_>, from: &str, until: &str) -> Self {
        Self {
            from: options.time(from),
            until: options.time(until),
        }
    }

    fn is_given(&self) -> bool {
        *self != Self::default()
    }

    fn has(&self, time: Instant) -> bool {
        self.from.is_none_or(|from| time >= from) && self.until.is_none_or(|until| time < until)
    }
}

/// What is looked for: all that is given must hold.
#[derive(Debug)]
struct Criteria {
    names: Option<Names>,
    globs: Option<Patterns>,
    size: (Option<u64>, Option<u64>),
    modified: Span,
    changed: Span,
    born: Span,
    digests: Option<Digests>,
}

/// What the cheap criteria say of an entry.
enum Cheap {
    Fits(Vec<String>),
    /// All that can be told holds, but nobody knows when it was born.
    Unborn,
    No,
}

impl Criteria {
    fn read(options: Options<'_>) -> Result<Self, Fault> {
        let criteria = Self {
            names: Names::read(options, "names")?,
            globs: Patterns::of_paths(options, "globs")?,
            size: (
                options.number("at_least_bytes"),
                options.number("at_most_bytes"),
            ),
            modified: Span::read(options, "modified_from", "modified_until"),
            changed: Span::read(options, "changed_from", "changed_until"),
            born: Span::read(options, "born_from", "born_until"),
            digests: Digests::read(options)?,
        };
        let is_given = criteria.names.is_some()
            || criteria.globs.is_some()
            || criteria.digests.is_some()
            || criteria.asks_stat();
        match is_given {
            true => Ok(criteria),
            false => Err(Fault::new("criteria", "there is no criterion")),
        }
    }

    /// Whether some criterion is about what the system says of an entry.
    fn asks_stat(&self) -> bool {
        let spans = [&self.modified, &self.changed, &self.born];
        self.size != (None, None) || spans.iter().any(|s| s.is_given())
    }

    /// The names and patterns that it fits; `None` where one is asked for and it fits none.
    fn called(&self, folder: &Path, name: &[u8]) -> Option<Vec<String>> {
        let mut fits = Vec::new();
        if let Some(names) = &self.names {
            if !names.has(name) {
                return None;
            }
            fits.push(format!("name {}", String::from_utf8_lossy(name)));
        }
        if let Some(globs) = &self.globs {
            let path = folder.join(OsStr::from_bytes(name));
            let pattern = globs.find(path.as_os_str().as_bytes())?;
            fits.push(format!("glob {pattern}"));
        }
        Some(fits)
    }

    /// Whether all holds that needs no read.
    fn cheap(&self, folder: &Path, name: &[u8], stat: &Stat) -> Cheap {
        let Some(mut fits) = self.called(folder, name) else {
            return Cheap::No;
        };
        if self.size != (None, None) {
            let (least, most) = self.size;
            let size = stat.size_bytes;
            let is_within = least.is_none_or(|l| size >= l) && most.is_none_or(|m| size <= m);
            if stat.kind != Kind::File || !is_within {
                return Cheap::No;
            }
            fits.push("size".to_owned());
        }
        let times = [
            (&self.modified, stat.modified, "modified"),
            (&self.changed, stat.changed, "changed"),
        ];
        for (span, time, word) in times.into_iter().filter(|(s, ..)| s.is_given()) {
            if !span.has(time) {
                return Cheap::No;
            }
            fits.push(word.to_owned());
        }
        if self.born.is_given() {
            match stat.born {
                None => return Cheap::Unborn,
                Some(born) if !self.born.has(born) => return Cheap::No,
                Some(_) => fits.push("born".to_owned()),
            }
        }
        Cheap::Fits(fits)
    }
}

struct Find<'a> {
    criteria: Criteria,
    sparse_limit_bytes: u64,
    pace: &'a Pace,
    bounds: Option<&'a Bounds>,
    asked: &'a [PathBuf],
    left_out: LeftOut,
    hits: Hits,
    /// How many entries nobody knows the time of birth of.
    unborn: AtomicU64,
}

impl Find<'_> {
    fn hit(&self, entry: Entry, found: &mut Found) {
        match self.hits.take() {
            true => entry.put(found),
            false => entry.put_missed(found),
        }
    }

    /// A file that was read: a hit where its digest is one of those that are looked for.
    fn end(&self, digests: &Digests, done: Done<Entry>, found: &mut Found) {
        let mut entry = Entry::end(done);
        match entry.digests().and_then(|seen| digests.find(seen)) {
            Some(fits) => {
                entry.fits(vec![fits]);
                self.hit(entry, found);
            }
            None => entry.put_missed(found),
        }
    }

    /// Reads the file `name`, of which all but its content fits.
    fn read(
        &self,
        hand: &mut Digesting<Entry>,
        (folder, name, seen): (&Folder, &CStr, Seen),
        (digests, fits): (&Digests, Vec<String>),
        stop: &AtomicBool,
        found: &mut Found,
    ) {
        let path = folder.path_of(name);
        let opened = match seen {
            Seen::Opened(opened) => Ok(opened),
            Seen::Looked(stat) => folder.open(name, &stat).map_err(|error| (stat, error)),
        };
        match opened {
            Ok(opened) => {
                let before = opened.before;
                let (mut entry, file) = Entry::opened(path, opened);
                entry.fits(fits);
                if digest::is_sparse(&before) && before.size_bytes > self.sparse_limit_bytes {
                    let text = "A sparse file longer than sparse_limit_bytes was not read.";
                    entry.miss(Reason::Limit, text.to_owned());
                    return entry.put_missed(found);
                }
                if let Some(done) = hand.add(entry, file, &before, (self.pace, stop)) {
                    self.end(digests, done, found);
                }
            }
            Err((stat, error)) => {
                let mut entry = Entry::new(path, &stat);
                entry.not_opened(&error);
                entry.put_missed(found);
            }
        }
    }
}

impl Visit for Find<'_> {
    type Found = Found;
    type Hand = Digesting<Entry>;

    fn hand(&self) -> Self::Hand {
        let digests = self.criteria.digests.as_ref();
        Digesting::new(digests.map_or_else(Wanted::default, |d| d.wanted(u64::MAX)))
    }

    fn opens(&self) -> bool {
        // Where nothing but the content is left to be asked.
        self.criteria.digests.is_some() && !self.criteria.asks_stat() && self.bounds.is_none()
    }

    fn passes_over(&self, folder: &Folder, name: &CStr) -> bool {
        // What an order's scope keeps from the question is counted whatever its name.
        self.bounds.is_none()
            && self
                .criteria
                .called(folder.path(), name.to_bytes())
                .is_none()
    }

    fn visit(
        &self,
        hand: &mut Self::Hand,
        (folder, name, seen): (&Folder, &CStr, Seen),
        stop: &AtomicBool,
        found: &mut Found,
    ) {
        let stat = match &seen {
            Seen::Opened(opened) => opened.before,
            Seen::Looked(stat) => *stat,
        };
        if let Some(Err(why)) = self.bounds.map(|bounds| bounds.file(&stat)) {
            return self.left_out.count(why);
        }
        let fits = match self.criteria.cheap(folder.path(), name.to_bytes(), &stat) {
            Cheap::Fits(fits) => fits,
            Cheap::No => return,
            Cheap::Unborn => {
                self.unborn.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        match &self.criteria.digests {
            Some(digests) if stat.kind == Kind::File => {
                self.read(hand, (folder, name, seen), (digests, fits), stop, found);
            }
            // Only files have a content.
            Some(_) => {}
            None => {
                let mut entry = Entry::new(folder.path_of(name), &stat);
                if stat.kind == Kind::Link {
                    entry.leads_to(folder.target(name));
                }
                entry.fits(fits);
                self.hit(entry, found);
            }
        }
    }

    fn finish(&self, hand: &mut Self::Hand, stop: &AtomicBool, found: &mut Found) {
        let Some(digests) = &self.criteria.digests else {
            return;
        };
        while let Some(done) = hand.next((self.pace, stop)) {
            self.end(digests, done, found);
        }
    }

    fn missed(&self, missed: Missed, found: &mut Found) {
        let missed = self.left_out.judge(missed, self.bounds, self.asked);
        found.missed.extend(missed);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
