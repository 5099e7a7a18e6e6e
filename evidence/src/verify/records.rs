//! The records of a part against what it stores: files.jsonl, gaps.jsonl, and the counts.

use std::collections::HashMap;

use serde::de::DeserializeOwned;

use super::{
    contents::{Contents, Entry},
    verdict::{Code, Findings},
};
use crate::{
    digest::Digest,
    envelope::{self, Envelope},
    gap::{Gap, Severity},
    names,
    records::{CollectionRecord, Counts, FileRecord},
};

/// Most gaps kept for showing; all are counted.
const GAPS_KEPT: usize = 10_000;
/// Most links and pieces of one part that are followed into the others.
const ACROSS_KEPT: usize = 10_000;

/// What only the other parts of the collection can settle.
#[derive(Debug, Default)]
pub struct Across {
    /// Content entries, each by [`short`].
    pub(super) stored: Vec<u64>,
    /// Further names whose content this part does not hold.
    pub(super) links: Vec<Link>,
    /// Pieces of files that are larger than a part.
    pub(super) pieces: Vec<PieceSeen>,
    /// Links and pieces beyond those that are kept.
    pub(super) left_out: u64,
}

/// A record that is a further name of a stored file.
#[derive(Debug)]
pub(super) struct Link {
    /// The entry that it names.
    pub(super) name: String,
    /// The same by [`short`].
    pub(super) to: u64,
}

/// One piece of a file, as its record has it.
#[derive(Debug)]
pub(super) struct PieceSeen {
    /// The file, exact.
    pub(super) path: String,
    /// From 1.
    pub(super) number: u32,
    /// Where it starts.
    pub(super) offset_bytes: u64,
    /// How long it is.
    pub(super) size_bytes: u64,
    /// Whether it is the last.
    pub(super) last: bool,
}

/// Eight bytes stand for a name, so that the names of many parts fit into memory.
fn short(name: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = Digest::of(name.as_bytes()).0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// What the records of a part say, so far as they could be read.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Gaps, serious ones first, at most [`GAPS_KEPT`].
    pub(super) gaps: Vec<Gap>,
    /// What was counted.
    pub(super) counts: Counts,
    /// What is left to the check over all parts.
    pub(super) across: Across,
}

/// Reads files.jsonl and gaps.jsonl and compares them with the entries.
pub(super) fn check(contents: &Contents, findings: &mut Findings) -> Read {
    let mut read = Read::default();
    for entry in &contents.entries {
        if names::is_content(&entry.name) && !entry.is_folder() {
            read.counts.files += 1;
            read.counts.file_bytes = read.counts.file_bytes.saturating_add(entry.size_bytes);
            read.across.stored.push(short(&entry.name));
        }
        if entry.name.starts_with("results/") {
            read.counts.records += entry.lines;
        }
    }
    check_files(contents, &mut read, findings);
    check_gaps(contents, &mut read, findings);
    read
}

/// Compares the counts that collection.json claims with what was counted.
pub(super) fn check_counts(claimed: &Counts, seen: &Counts, findings: &mut Findings) {
    for (what, claimed, seen) in [
        ("files", claimed.files, seen.files),
        ("file records", claimed.file_records, seen.file_records),
        ("records", claimed.records, seen.records),
        ("gaps", claimed.gaps, seen.gaps),
        ("serious gaps", claimed.serious_gaps, seen.serious_gaps),
        ("bytes of files", claimed.file_bytes, seen.file_bytes),
    ] {
        if claimed != seen {
            let text = format!("It counts {claimed} {what}; the part holds {seen}.");
            findings.add(Code::CountMismatch, "collection.json", text);
        }
    }
}

/// Compares order.json and policy.json with the digests in collection.json.
pub(super) fn check_envelopes(
    contents: &Contents,
    record: &CollectionRecord,
    findings: &mut Findings,
) {
    for (name, wanted) in [
        ("order.json", record.order_sha256),
        ("policy.json", record.policy_sha256),
    ] {
        let bytes = contents.kept(name).unwrap_or_default();
        let found = Envelope::parse(bytes).ok().map(|e| e.digest());
        match wanted {
            None if bytes.is_empty() => {}
            Some(wanted) if found == Some(wanted) => {}
            None => findings.add(Code::OrderDigest, name, "collection.json names none."),
            Some(_) if bytes.is_empty() => {
                findings.add(
                    Code::OrderDigest,
                    name,
                    "collection.json names one; it is empty.",
                );
            }
            Some(wanted) => {
                let found =
                    found.map_or_else(|| "no signed envelope".to_owned(), |d| d.to_string());
                let text = format!("collection.json names {wanted}; the part holds {found}.");
                findings.add(Code::OrderDigest, name, text);
            }
        }
    }
}

fn check_files(contents: &Contents, read: &mut Read, findings: &mut Findings) {
    let stored: HashMap<&str, &Entry> = contents
        .entries
        .iter()
        .filter(|e| names::is_content(&e.name))
        .map(|e| (e.name.as_str(), e))
        .collect();
    let mut claims: HashMap<String, u32> = HashMap::new();
    let bytes = contents.kept("files.jsonl").unwrap_or_default();
    for_each_line(
        "files.jsonl",
        bytes,
        findings,
        |record: Option<FileRecord>, findings| {
            read.counts.file_records += 1;
            let Some(record) = record else { return };
            keep_across(&record, &stored, &mut read.across);
            if let Some(entry) = record.entry {
                compare(&stored, &entry, record.size_bytes, record.sha256, findings);
                *claims.entry(entry).or_default() += 1;
            }
            for piece in record.pieces {
                let (size, digest) = (Some(piece.size_bytes), Some(piece.sha256));
                compare(&stored, &piece.entry, size, digest, findings);
                *claims.entry(piece.entry).or_default() += 1;
            }
        },
    );
    for (name, count) in &claims {
        if *count > 1 {
            findings.add(
                Code::FileTwice,
                &**name,
                format!("{count} records claim it."),
            );
        }
    }
    for entry in contents
        .entries
        .iter()
        .filter(|e| names::is_content(&e.name))
    {
        if !claims.contains_key(&entry.name) {
            findings.add(
                Code::FileUnlisted,
                &*entry.name,
                "No record of files.jsonl names it.",
            );
        }
    }
}

/// Keeps what this part alone can't settle.
fn keep_across(record: &FileRecord, stored: &HashMap<&str, &Entry>, across: &mut Across) {
    if let Some(name) = &record.hard_link_of
        && !stored.contains_key(name.as_str())
    {
        if across.links.len() < ACROSS_KEPT {
            across.links.push(Link {
                to: short(name),
                name: name.clone(),
            });
        } else {
            across.left_out += 1;
        }
    }
    let path = record.path_b64.as_ref().unwrap_or(&record.path);
    for piece in &record.pieces {
        if across.pieces.len() < ACROSS_KEPT {
            across.pieces.push(PieceSeen {
                path: path.clone(),
                number: piece.number,
                offset_bytes: piece.offset_bytes,
                size_bytes: piece.size_bytes,
                last: piece.last,
            });
        } else {
            across.left_out += 1;
        }
    }
}

fn compare(
    stored: &HashMap<&str, &Entry>,
    name: &str,
    size_bytes: Option<u64>,
    sha256: Option<Digest>,
    findings: &mut Findings,
) {
    let Some(entry) = stored.get(name) else {
        findings.add(Code::FileAbsent, name, "It is recorded as stored.");
        return;
    };
    if entry.is_folder() {
        return;
    }
    if size_bytes != Some(entry.size_bytes) {
        let recorded = size_bytes.map_or_else(|| "no size".to_owned(), |s| format!("{s} bytes"));
        let text = format!(
            "Recorded with {recorded}; {} bytes are stored.",
            entry.size_bytes
        );
        findings.add(Code::FileSize, name, text);
    }
    if sha256 != Some(entry.sha256) {
        let recorded = sha256.map_or_else(|| "no digest".to_owned(), |d| d.to_string());
        findings.add(
            Code::FileDigest,
            name,
            format!("Recorded with {recorded}; {} is stored.", entry.sha256),
        );
    }
}

fn check_gaps(contents: &Contents, read: &mut Read, findings: &mut Findings) {
    let bytes = contents.kept("gaps.jsonl").unwrap_or_default();
    for_each_line("gaps.jsonl", bytes, findings, |gap: Option<Gap>, _| {
        read.counts.gaps += 1;
        let Some(gap) = gap else { return };
        if gap.severity == Severity::Serious {
            read.counts.serious_gaps += 1;
        }
        if read.gaps.len() < GAPS_KEPT {
            read.gaps.push(gap);
        } else if gap.severity == Severity::Serious {
            // A serious gap must not hide behind a flood of ordinary ones.
            if let Some(at) = read
                .gaps
                .iter()
                .position(|g| g.severity == Severity::Ordinary)
            {
                read.gaps[at] = gap;
            }
        }
    });
    read.gaps.sort_by_key(|g| std::cmp::Reverse(g.severity));
}

/// Gives each line of a record file to `take`; `None` for one that is not a record (a finding).
fn for_each_line<T: DeserializeOwned>(
    name: &'static str,
    bytes: &[u8],
    findings: &mut Findings,
    mut take: impl FnMut(Option<T>, &mut Findings),
) {
    for (at, raw) in bytes.split_inclusive(|&b| b == b'\n').enumerate() {
        let parsed = match raw.strip_suffix(b"\n") {
            None => Err("it does not end in a line feed".to_owned()),
            Some(line) => envelope::parse_strict(line).map_err(|e| e.to_string()),
        };
        if let Err(why) = &parsed {
            findings.add(
                Code::RecordMalformed,
                name,
                format!("Line {}: {why}.", at + 1),
            );
        }
        take(parsed.ok(), findings);
    }
}
