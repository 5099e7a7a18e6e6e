//! File hashes: a walk of the roots asked for; every entry with all its times, owner, mode and extended attributes,
//! and SHA-256 (on request MD5 and SHA-1) of each regular file, read once on the walking threads.
//!
//! The agent's own folders are left out.

mod entry;

use std::{
    ffi::CStr,
    path::PathBuf,
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use evidence::gap::Reason;
use serde_json::Value;

pub(super) use self::entry::{Entry, Found};
use super::source::on;
use super::{Artifact, Extent, Field, OptionField, OptionKind, Request, Sink, Stopped};
use crate::files::{
    Bounds, Outside, Pace,
    digest::{Digesting, Wanted},
    open::{Folder, open_parent},
    record::{STAT_FIELDS, field},
    stat::Kind,
    walk::{Missed, Scope, Seen, Visit, walk},
};

/// Two threads reach all that two cores can hash; more are for the profile to ask.
const THREADS: usize = 2;

/// The fields of what was opened and read.
pub(super) const CONTENT_FIELDS: &[Field] = &[
    field(
        "xattrs",
        "object",
        "extended attributes: name to value in base64",
    ),
    field(
        "xattrs_b64",
        "object",
        "those whose name is not UTF-8: the name's exact bytes in base64 to the value in base64",
    ),
    field("target", "string", "where a link points"),
    field(
        "target_b64",
        "string, base64",
        "its exact bytes, where the text isn't they",
    ),
    field(
        "sha256",
        "string, hex",
        "SHA-256 of the contents, as they were read",
    ),
    field("md5", "string, hex", "MD5 of the same, on request"),
    field("sha1", "string, hex", "SHA-1 of the same, on request"),
    field(
        "read_bytes",
        "integer, bytes",
        "bytes that went into the digest",
    ),
    field(
        "growth_cut",
        "boolean",
        "the file grew faster than it was followed",
    ),
    field(
        "shrank_while_read",
        "boolean",
        "the file was cut while it was read: the digest is of what was there, and a gap says so",
    ),
    field(
        "changed_while_read",
        "boolean",
        "size, mtime or ctime differ after the read",
    ),
    field(
        "size_after_bytes",
        "integer, bytes",
        "length after the read, where it changed",
    ),
    field(
        "modified_after",
        "string, RFC 3339",
        "mtime after the read, where it changed",
    ),
    field(
        "changed_after",
        "string, RFC 3339",
        "ctime after the read, where it changed",
    ),
    field(
        "atime_kept",
        "boolean",
        "false where the read may have moved the access time",
    ),
];

/// Those of a large sparse file.
const SPARSE_FIELDS: &[Field] = &[
    field(
        "data_sha256",
        "string, hex",
        "in place of sha256 for a large sparse file: SHA-256 over its data extents, without the holes",
    ),
    field("data_md5", "string, hex", "MD5 of the same, on request"),
    field("data_sha1", "string, hex", "SHA-1 of the same, on request"),
    field(
        "extents",
        "array of [offset, length], bytes",
        "the data extents of a large sparse file; none where it is one hole, which has no digest",
    ),
    field(
        "extents_cut",
        "boolean",
        "more extents than the record lists; the digest covers all",
    ),
];

static FIELDS: LazyLock<Vec<Field>> =
    LazyLock::new(|| [STAT_FIELDS, CONTENT_FIELDS, SPARSE_FIELDS].concat());

/// The artifact.
#[derive(Debug)]
pub struct FileHashes;

const OPTIONS: &[OptionField] = &[
    OptionField {
        name: "md5",
        kind: OptionKind::Flag,
        about: "MD5 of every file, too",
    },
    OptionField {
        name: "sha1",
        kind: OptionKind::Flag,
        about: "SHA-1 of every file, too",
    },
    OptionField {
        name: "other_file_systems",
        kind: OptionKind::Flag,
        about: "enter distant file systems and overlays below the paths",
    },
    OptionField {
        name: "sparse_limit_bytes",
        kind: OptionKind::Number,
        about: "a longer sparse file is digested by its data extents, under names of their own; 1 GiB",
    },
    OptionField {
        name: "threads",
        kind: OptionKind::Number,
        about: "walking threads, 1 to 16; 2",
    },
];

impl Artifact for FileHashes {
    fn name(&self) -> &'static str {
        "file_hashes"
    }

    fn about(&self) -> &'static str {
        "Hashes, times and owners of every file below the given paths."
    }

    fn walks(&self) -> bool {
        true
    }

    fn options(&self) -> &'static [OptionField] {
        OPTIONS
    }

    fn extent(&self) -> Extent {
        Extent::Files
    }

    fn fields(&self) -> &'static [Field] {
        &FIELDS
    }

    fn collect(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<(), Stopped> {
        let flag = |name| request.options.get(name).and_then(Value::as_bool) == Some(true);
        let number = |name| request.options.get(name).and_then(Value::as_u64);
        let wanted = Wanted {
            md5: flag("md5"),
            sha1: flag("sha1"),
            sparse_limit_bytes: number("sparse_limit_bytes")
                .unwrap_or(Wanted::default().sparse_limit_bytes),
        };
        let scope = scope(request);
        let roots = roots(request, sink)?;
        let hash = Hash {
            wanted,
            pace: request.pace,
            bounds: request.bounds,
            asked: &roots,
            left_out: LeftOut::default(),
        };
        walk(
            request.root,
            &roots,
            &scope,
            &hash,
            |Found { lines, missed }| {
                for Missed {
                    path, reason, text, ..
                } in missed
                {
                    sink.gap(path, reason, &text)?;
                }
                if lines.is_empty() {
                    return Ok(());
                }
                sink.records(lines)
            },
        )?;
        hash.left_out.tell(sink);
        Ok(())
    }
}

/// Where the walk goes and where it doesn't, by the options of `request`.
pub(super) fn scope(request: &Request<'_>) -> Scope {
    let threads = request.options.get("threads").and_then(Value::as_u64);
    Scope {
        other_file_systems: on(request, "other_file_systems"),
        excluded: excluded(request),
        threads: threads.map_or(THREADS, |n| n.clamp(1, 16) as usize),
    }
}

/// Where the walk goes: the order's scope may take less of what was asked for, or nothing.
pub(super) fn roots(request: &Request<'_>, sink: &mut dyn Sink) -> Result<Vec<PathBuf>, Stopped> {
    let Some(bounds) = request.bounds else {
        return Ok(request.paths.to_vec());
    };
    let (roots, outside) = bounds.roots(request.paths);
    for path in outside {
        let some = roots.iter().any(|root| root.starts_with(&path));
        let text = match some {
            true => "only what lies in the paths of the order's scope is looked at",
            false => Outside::Path.words(),
        };
        sink.gap(path, Reason::OutOfScope, text)?;
    }
    Ok(roots)
}

/// How many entries the order's scope left out, by why. Their names are not told: the scope may be there to keep them.
#[derive(Default)]
pub(super) struct LeftOut {
    by_user: AtomicU64,
    by_time: AtomicU64,
}

impl LeftOut {
    pub(super) fn count(&self, why: Outside) {
        let of = match why {
            Outside::Time => &self.by_time,
            Outside::User | Outside::Path => &self.by_user,
        };
        of.fetch_add(1, Ordering::Relaxed);
    }

    /// What was missed, where it may be named: it is of the scope, or a root that was asked for.
    pub(super) fn judge(
        &self,
        missed: Missed,
        bounds: Option<&Bounds>,
        asked: &[PathBuf],
    ) -> Option<Missed> {
        let is_told = bounds
            .is_none_or(|bounds| bounds.user(missed.uid).is_ok() || asked.contains(&missed.path));
        if !is_told {
            self.count(Outside::User);
        }
        is_told.then_some(missed)
    }

    pub(super) fn tell(&self, sink: &mut dyn Sink) {
        sink.out_of_scope(Outside::User, self.by_user.load(Ordering::Relaxed));
        sink.out_of_scope(Outside::Time, self.by_time.load(Ordering::Relaxed));
    }
}

/// Identities of the folders to leave out; what isn't there excludes nothing.
fn excluded(request: &Request<'_>) -> Vec<(u64, u64)> {
    request
        .own
        .iter()
        .filter_map(|path| {
            let (folder, name) = open_parent(request.root, path).ok()?;
            Some(folder.look(&name).ok()?.identity())
        })
        .collect()
}

struct Hash<'a> {
    wanted: Wanted,
    pace: &'a Pace,
    bounds: Option<&'a Bounds>,
    /// What the order or the profile names by its path may be named.
    asked: &'a [PathBuf],
    left_out: LeftOut,
}

impl Visit for Hash<'_> {
    type Found = Found;
    type Hand = Digesting<Entry>;

    fn looks_first(&self) -> bool {
        self.bounds.is_some()
    }

    fn hand(&self) -> Self::Hand {
        Digesting::new(self.wanted)
    }

    fn visit(
        &self,
        hand: &mut Self::Hand,
        (folder, name, seen): (&Folder, &CStr, Seen),
        stop: &AtomicBool,
        found: &mut Found,
    ) {
        let stat = match &seen {
            Seen::Opened(opened) => &opened.before,
            Seen::Looked(stat) => stat,
        };
        if let Some(Err(why)) = self.bounds.map(|bounds| bounds.file(stat)) {
            return self.left_out.count(why);
        }
        let opened = match seen {
            Seen::Opened(opened) => Ok(opened),
            Seen::Looked(stat) if stat.kind == Kind::File => {
                folder.open(name, &stat).map_err(|e| (stat, Some(e)))
            }
            Seen::Looked(stat) => Err((stat, None)),
        };
        let path = folder.path_of(name);
        match opened {
            Ok(opened) => {
                let before = opened.before;
                let (entry, file) = Entry::opened(path, opened);
                if let Some(done) = hand.add(entry, file, &before, (self.pace, stop)) {
                    Entry::end(done).put(found);
                }
            }
            Err((stat, error)) => {
                let mut entry = Entry::new(path, &stat);
                if let Some(error) = error {
                    entry.not_opened(&error);
                }
                if stat.kind == Kind::Link {
                    entry.leads_to(folder.target(name));
                }
                entry.put(found);
            }
        }
    }

    fn finish(&self, hand: &mut Self::Hand, stop: &AtomicBool, found: &mut Found) {
        while let Some(done) = hand.next((self.pace, stop)) {
            Entry::end(done).put(found);
        }
    }

    fn missed(&self, missed: Missed, found: &mut Found) {
        let missed = self.left_out.judge(missed, self.bounds, self.asked);
        found.missed.extend(missed);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod places_tests;

#[cfg(test)]
mod tests;
