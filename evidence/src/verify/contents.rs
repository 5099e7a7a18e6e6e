//! Streams a part once and keeps what its checks need: digests of all, bytes of the records.
//!
//! Memory is bounded by the reader's limits and by what is kept of each record here.

use std::io::{self, Read, Seek, Write};

use sha2::{Digest as _, Sha256};

use super::{
    lines::Lines,
    sums::{SEAL, SUMS},
    verdict::{Code, Findings},
};
use crate::{
    archive::{self, FaultCode, Limits, RECORDS},
    digest::Digest,
    names,
};

/// So many malformed lines of one part are named; each file has its own, smaller limit.
const FAULTS_KEPT: usize = 1_000;

/// One small document (order, policy, seal, collection.json) is never longer.
const DOCUMENT_BYTES: u64 = 4 << 20;

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) size_bytes: u64,
    pub(super) sha256: Digest,
    /// Lines in it, counted for results/ only.
    pub(super) lines: u64,
}

impl Entry {
    pub(super) fn is_folder(&self) -> bool {
        names::is_folder(&self.name)
    }
}

/// All that a part stores, read once.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// In the order of the file.
    pub(super) entries: Vec<Entry>,
    kept: Vec<(String, Vec<u8>)>,
}

impl Contents {
    /// The bytes of one of the part's records; `None` where it isn't there.
    pub(super) fn kept(&self, name: &str) -> Option<&[u8]> {
        let found = self.kept.iter().find(|(kept, _)| kept == name);
        found.map(|(_, bytes)| bytes.as_slice())
    }
}

/// Reads the ZIP through the strict reader; its faults become findings.
///
/// # Errors
/// The medium failed.
pub(super) fn gather<R: Read + Seek>(
    zip: R,
    limits: &Limits,
    findings: &mut Findings,
) -> io::Result<Contents> {
    let mut contents = Contents::default();
    let (mut too_long, mut malformed) = (Vec::new(), Vec::new());
    let report = archive::read(zip, limits, |entry, plain| {
        let mut kept = keep_bytes(&entry.name).map(|limit| (Vec::new(), limit));
        let mut lines = is_lines(&entry.name).then(Lines::default);
        let mut entry = digest(&entry.name, plain, kept.as_mut(), lines.as_mut())?;
        if let Some(lines) = lines {
            let (count, faults) = lines.finish();
            entry.lines = count;
            let room = FAULTS_KEPT.saturating_sub(malformed.len());
            let named = faults.into_iter().map(|fault| (entry.name.clone(), fault));
            malformed.extend(named.take(room));
        }
        if let Some((bytes, limit)) = kept {
            if entry.size_bytes > limit {
                too_long.push(entry.name.clone());
            }
            contents.kept.push((entry.name.clone(), bytes));
        }
        contents.entries.push(entry);
        Ok(())
    })?;
    for fault in report.faults {
        let code = match fault.code {
            FaultCode::Limit => Code::Limit,
            FaultCode::Size | FaultCode::Crc | FaultCode::Deflate => Code::ZipEntry,
            _ => Code::ZipStructure,
        };
        let subject = fault.entry.unwrap_or_default();
        findings.add_fault(code, subject, fault.detail, Some(fault.code.code()));
    }
    for name in too_long {
        findings.add(
            Code::Limit,
            name,
            "It is longer than such a document may be.",
        );
    }
    for (name, fault) in malformed {
        findings.add(Code::RecordMalformed, name, fault);
    }
    check_names(&contents.entries, findings);
    Ok(contents)
}

/// Record files whose lines are read as they stream past; the other two are kept and read after.
fn is_lines(name: &str) -> bool {
    name == "log.jsonl" || name.starts_with("results/")
}

/// How many bytes of the entry are kept; `None` for none at all.
fn keep_bytes(name: &str) -> Option<u64> {
    match name {
        SUMS | "files.jsonl" | "gaps.jsonl" => Some(u64::MAX),
        SEAL | "order.json" | "policy.json" | "collection.json" => Some(DOCUMENT_BYTES),
        _ => None,
    }
}

fn digest(
    name: &str,
    plain: &mut dyn Read,
    mut kept: Option<&mut (Vec<u8>, u64)>,
    mut lines: Option<&mut Lines>,
) -> io::Result<Entry> {
    let (mut hash, mut size_bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let got = match plain.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // A fault of the entry; the reader reports it, and what came so far is still compared.
            Err(_) => break,
        };
        let bytes = &buffer[..got];
        hash.update(bytes);
        size_bytes += got as u64;
        if let Some(lines) = lines.as_deref_mut() {
            lines.write_all(bytes)?;
        }
        if let Some((into, limit)) = kept.as_deref_mut()
            && size_bytes <= *limit
        {
            into.write_all(bytes)?;
        }
    }
    Ok(Entry {
        name: name.to_owned(),
        size_bytes,
        sha256: Digest(hash.finalize().into()),
        lines: 0,
    })
}

fn is_result(name: &str) -> bool {
    let artifact = name
        .strip_prefix("results/")
        .and_then(|rest| rest.strip_suffix(".jsonl"));
    artifact.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

/// Content first, then the closing records, all of them, once, in their order.
fn check_names(entries: &[Entry], findings: &mut Findings) {
    let is_content = |e: &&Entry| names::is_content(&e.name) || e.name.starts_with("results/");
    let first_record = entries
        .iter()
        .position(|e| !is_content(&e))
        .unwrap_or(entries.len());
    for entry in entries[first_record..].iter().filter(is_content) {
        findings.add(
            Code::EntryOrder,
            &*entry.name,
            "It follows the closing records.",
        );
    }
    let closing: Vec<&str> = entries
        .iter()
        .filter(|e| !is_content(e))
        .map(|e| e.name.as_str())
        .collect();
    for entry in entries.iter().filter(|e| e.name.starts_with("results/")) {
        if !is_result(&entry.name) {
            let text = "Records lie in results/NAME.jsonl, not below.";
            findings.add(Code::EntryUnknown, &*entry.name, text);
        }
    }
    for name in &closing {
        if !RECORDS.contains(name) {
            findings.add(Code::EntryUnknown, *name, "The format has no such entry.");
        }
    }
    for name in RECORDS {
        if !closing.contains(&name) {
            let code = match name {
                SUMS => Code::SumsMissing,
                SEAL => Code::SealMissing,
                _ => Code::EntryOrder,
            };
            findings.add(code, name, "It is missing.");
        }
    }
    let known = closing.iter().filter(|n| RECORDS.contains(n));
    let places = known.map(|name| RECORDS.iter().position(|r| r == name));
    if !places.is_sorted() {
        findings.add(
            Code::EntryOrder,
            "",
            "The closing records are not in their order.",
        );
    }
}
