//! One entry of the tree: what is known of it so far, and the record that it becomes.

use std::{ffi::OsString, fs::File, path::PathBuf};

use data_encoding::BASE64;
use evidence::{
    archive::Lines, digest::Digest, gap::Reason, instant::Instant, records::text_and_bytes,
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    files::{
        digest::{Digests, Done, shrank},
        open::{OpenError, Opened, reason_of},
        record::StatRecord,
        stat::Stat,
        walk::Missed,
        xattrs::{self, Attribute},
    },
    platform::names::OsStrExt as _,
};

/// What some entries came to.
#[derive(Debug, Default)]
pub(in crate::artifacts) struct Found {
    pub(in crate::artifacts) lines: Lines,
    pub(in crate::artifacts) missed: Vec<Missed>,
}

/// An entry that was found; its digests may be under way.
#[derive(Debug)]
pub(in crate::artifacts) struct Entry {
    path: PathBuf,
    /// What it was when opened, or else when listed.
    stat: Stat,
    target: Option<OsString>,
    contents: Option<Contents>,
    missed: Vec<Missed>,
    /// Which criteria of a hunt it fits.
    matched: Vec<String>,
}

/// A record, in the order in which its fields stand.
#[derive(Debug, Serialize)]
struct EntryRecord<'a> {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_b64: Option<String>,
    #[serde(flatten)]
    stat: StatRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_b64: Option<String>,
    #[serde(flatten)]
    contents: Option<&'a Contents>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    matched: &'a [String],
}

/// What only a file that was opened has.
#[derive(Debug, Default, Serialize)]
struct Contents {
    atime_kept: bool,
    #[serde(skip_serializing_if = "Map::is_empty")]
    xattrs: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    xattrs_b64: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    md5: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha1: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_sha256: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_md5: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_sha1: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extents: Option<Vec<(u64, u64)>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extents_cut: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    growth_cut: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shrank_while_read: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_while_read: Option<bool>,
    #[serde(flatten)]
    after: Option<After>,
}

/// What it was after the read, where that is something else.
#[derive(Debug, Serialize)]
struct After {
    #[serde(rename = "size_after_bytes")]
    size_bytes: u64,
    #[serde(rename = "modified_after")]
    modified: Instant,
    #[serde(rename = "changed_after")]
    changed: Instant,
}

impl Entry {
    pub(in crate::artifacts) fn new(path: PathBuf, listed: &Stat) -> Self {
        Self {
            path,
            stat: *listed,
            target: None,
            contents: None,
            missed: Vec::new(),
            matched: Vec::new(),
        }
    }

    /// Adds its record, and what was missed of it.
    pub(in crate::artifacts) fn put(mut self, found: &mut Found) {
        let (path, path_b64) = text_and_bytes(self.path.as_os_str().as_bytes());
        let target = self.target.as_ref().map(|t| text_and_bytes(t.as_bytes()));
        let (target, target_b64) = target.map_or((None, None), |(text, exact)| (Some(text), exact));
        let record = EntryRecord {
            path,
            path_b64,
            stat: StatRecord::from(&self.stat),
            target,
            target_b64,
            contents: self.contents.as_ref(),
            matched: &self.matched,
        };
        if let Err(error) = found.lines.push(&record) {
            self.miss(
                Reason::Unsupported,
                format!("There is no record of it: {error}."),
            );
        }
        found.missed.append(&mut self.missed);
    }

    /// Adds only what was missed of it.
    pub(in crate::artifacts) fn put_missed(mut self, found: &mut Found) {
        found.missed.append(&mut self.missed);
    }

    /// It fits these criteria.
    pub(in crate::artifacts) fn fits(&mut self, criteria: Vec<String>) {
        self.matched.extend(criteria);
    }

    /// The digests of its contents, where all of them were read.
    pub(in crate::artifacts) fn digests(&self) -> Option<(Digest, Option<&str>, Option<&str>)> {
        let contents = self.contents.as_ref()?;
        Some((
            contents.sha256?,
            contents.md5.as_deref(),
            contents.sha1.as_deref(),
        ))
    }

    /// It is a link, and points there.
    pub(in crate::artifacts) fn leads_to(&mut self, target: Result<OsString, OpenError>) {
        match target {
            Ok(target) => self.target = Some(target),
            Err(error) => self.not_opened(&error),
        }
    }

    pub(in crate::artifacts) fn not_opened(&mut self, error: &OpenError) {
        self.missed.push(Missed::from_error(
            self.path.clone(),
            error,
            Some(self.stat.uid),
        ));
    }

    /// Notes all but what the read tells.
    pub(in crate::artifacts) fn opened(path: PathBuf, opened: Opened) -> (Self, File) {
        let Opened {
            file,
            before,
            keeps_atime,
        } = opened;
        let mut entry = Self::new(path, &before);
        let mut contents = Contents {
            atime_kept: keeps_atime,
            ..Contents::default()
        };
        match xattrs::read(&file) {
            Ok(found) => contents.put_xattrs(found),
            Err(e) => entry.miss(
                reason_of(e),
                format!("Its extended attributes can't be read: {e}."),
            ),
        }
        entry.contents = Some(contents);
        (entry, file)
    }

    /// Notes what the read told.
    pub(in crate::artifacts) fn end(done: Done<Self>) -> Self {
        let mut entry = done.what;
        let mut contents = entry.contents.take().unwrap_or_default();
        let mut cut_at = None;
        match done.outcome {
            Ok(digests) => {
                cut_at = digests.ended_early.then_some(digests.read_bytes);
                if digests.growth_cut {
                    contents.growth_cut = Some(true);
                    let text = "It grew while it was read; the end is missing.";
                    entry.miss(Reason::Limit, text.to_owned());
                }
                contents.put_digests(digests);
            }
            Err(error) => entry.miss(Reason::ReadError, error.to_string()),
        }
        match Stat::of_open(&done.file) {
            Ok(after) => entry.put_change(&mut contents, &after, cut_at),
            Err(e) => entry.miss(
                reason_of(e),
                format!("It can't be looked at after the read: {e}."),
            ),
        }
        entry.contents = Some(contents);
        entry
    }

    fn put_change(&mut self, contents: &mut Contents, after: &Stat, cut_at: Option<u64>) {
        let has_changed = self.stat.has_changed(after);
        // Where nothing changed, the system claimed more than there ever was (sysfs does).
        if let Some(read_bytes) = cut_at.filter(|_| has_changed) {
            contents.shrank_while_read = Some(true);
            let text = shrank(self.stat.size_bytes, read_bytes);
            self.miss(Reason::ReadError, text);
        }
        contents.changed_while_read = Some(has_changed);
        contents.after = has_changed.then_some(After {
            size_bytes: after.size_bytes,
            modified: after.modified,
            changed: after.changed,
        });
    }

    pub(in crate::artifacts) fn miss(&mut self, reason: Reason, text: String) {
        let path = self.path.clone();
        let uid = Some(self.stat.uid);
        self.missed.push(Missed {
            path,
            reason,
            text,
            uid,
        });
    }
}

impl Contents {
    /// By name; those whose name is no text stand beside the others under its exact bytes.
    fn put_xattrs(&mut self, found: Vec<Attribute>) {
        for Attribute { name, value } in found {
            let value = BASE64.encode(&value).into();
            match String::from_utf8(name) {
                Ok(name) => self.xattrs.insert(name, value),
                Err(name) => self
                    .xattrs_b64
                    .insert(BASE64.encode(name.as_bytes()), value),
            };
        }
    }

    fn put_digests(&mut self, digests: Digests) {
        self.read_bytes = Some(digests.read_bytes);
        // What is not the digest of the contents never has that name; that of no data would be an empty file's.
        match &digests.extents {
            None => {
                self.sha256 = Some(digests.sha256);
                (self.md5, self.sha1) = (digests.md5, digests.sha1);
            }
            Some(found) if found.is_empty() => {}
            Some(_) => {
                self.data_sha256 = Some(digests.sha256);
                (self.data_md5, self.data_sha1) = (digests.md5, digests.sha1);
            }
        }
        if digests.extents.is_some() {
            self.extents = digests.extents;
            self.extents_cut = Some(digests.extents_cut);
        }
    }
}
