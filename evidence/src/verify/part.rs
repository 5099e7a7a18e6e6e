//! One part: the ZIP, its digests, its seal, its records, and the statement beside it.
//!
//! Every check runs, whatever the others found, so that the report has every reason.

use std::io::{self, Read, Seek, SeekFrom};

use serde::Serialize;

use super::{
    contents::{self, Contents},
    records,
    signer::{self, Signer, Trust},
    statement::{self, Stated},
    sums::{self, SEAL, SUMS},
    verdict::{Code, Findings},
};
use crate::{
    archive::Limits,
    digest::{Digest, DigestWriter},
    gap::Gap,
    ids::CollectionId,
    records::{CollectionRecord, Counts, RecordError},
    wrap::{self, Identity, UnwrapReader, WrapError},
};

/// On what a check rests.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whom to believe; empty means that the signer stays unknown.
    pub trust: Trust,
    /// Keys that open encrypted parts.
    pub identities: Vec<Identity>,
    /// What to spend on a hostile part.
    pub limits: Limits,
}

/// What lies beside a part, as bytes.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// `part-0001.statement.json`.
    pub statement: Option<Vec<u8>>,
}

/// What was found for one part.
#[derive(Debug, Default, Serialize)]
pub struct PartReport {
    /// The file's name, as it was given.
    pub file: String,
    /// Whether the file is encrypted.
    pub encrypted: bool,
    /// Whether the contents were read.
    pub opened: bool,
    /// The collection that it claims to belong to.
    pub collection: Option<CollectionId>,
    /// Its number, from 1.
    pub number: Option<u32>,
    /// Whether it says that it is the last; `None` where that isn't known.
    pub last: Option<bool>,
    /// Digest of the plain ZIP: computed, or as stated where it wasn't opened.
    pub plain_sha256: Option<Digest>,
    /// Digest of the encrypted file.
    pub cipher_sha256: Option<Digest>,
    /// Length of the file.
    pub size_bytes: u64,
    /// The plain digest of the part before: `Some(None)` says that it claims to be the first.
    pub previous_sha256: Option<Option<Digest>>,
    /// How many entries it holds.
    pub entry_count: u64,
    /// collection.json.
    pub record: Option<CollectionRecord>,
    /// Who sealed it.
    pub signer: Option<Signer>,
    /// What was counted, by the verifier.
    pub counts: Counts,
    /// What was asked for and not obtained, serious first.
    pub gaps: Vec<Gap>,
    /// Every reason.
    pub findings: Findings,
    /// What was not checked, in words.
    pub not_checked: Vec<String>,
}

impl PartReport {
    /// Takes over what was found for another copy of the same part.
    pub(super) fn adopt(&mut self, other: Self) {
        self.encrypted |= other.encrypted;
        self.cipher_sha256 = self.cipher_sha256.or(other.cipher_sha256);
        let kept = other
            .findings
            .without(&[Code::ContentUnread, Code::IdentityWrong]);
        self.findings.extend(kept);
    }
}

/// What this version looks at in no part; said in every verdict, so that it promises no more than was done.
const NEVER_CHECKED: &[&str] = &[
    "time stamps and custody receipts: check them by `openssl ts -verify` and against the custody log",
    "whether the seal's certificate was revoked",
    "the signatures on order.json and policy.json (their digests were compared)",
];

/// Checks one part. Never panics, and never fails: what can't be read is a finding.
pub fn verify_part<R: Read + Seek>(
    file: impl Into<String>,
    mut part: R,
    beside: &Beside,
    options: &Options,
) -> PartReport {
    let mut report = PartReport {
        file: file.into(),
        ..PartReport::default()
    };
    let checked = check(&mut part, beside, options, &mut report);
    if let Err(error) = checked {
        let file = report.file.clone();
        report.findings.add(Code::Unreadable, file, error);
    }
    report
}

fn check<R: Read + Seek>(
    part: &mut R,
    beside: &Beside,
    options: &Options,
    report: &mut PartReport,
) -> io::Result<()> {
    let (file_sha256, size_bytes) = digest_of(part)?;
    report.size_bytes = size_bytes;
    report.encrypted = is_wrapped(part)?;
    report
        .not_checked
        .extend(NEVER_CHECKED.iter().map(|&what| what.to_owned()));
    part.seek(SeekFrom::Start(0))?;
    let mut plain_bytes = None;
    let mut contents = None;
    if report.encrypted {
        report.cipher_sha256 = Some(file_sha256);
        if let Some((digest, size)) = open(part, options, report)? {
            report.plain_sha256 = Some(digest);
            plain_bytes = Some(size);
            part.seek(SeekFrom::Start(0))?;
            if let Ok(plain) = UnwrapReader::new(&options.identities, &mut *part) {
                contents = Some(contents::gather(
                    plain,
                    &options.limits,
                    &mut report.findings,
                )?);
            }
        }
    } else {
        report.plain_sha256 = Some(file_sha256);
        plain_bytes = Some(size_bytes);
        contents = Some(contents::gather(
            part,
            &options.limits,
            &mut report.findings,
        )?);
    }
    if let Some(contents) = &contents {
        report.opened = true;
        check_contents(contents, options, report);
    }
    check_statement(beside, options, plain_bytes, report);
    Ok(())
}

fn is_wrapped<R: Read + Seek>(part: &mut R) -> io::Result<bool> {
    part.seek(SeekFrom::Start(0))?;
    let mut head = Vec::new();
    part.by_ref().take(64).read_to_end(&mut head)?;
    Ok(wrap::is_wrapped(&head))
}

fn digest_of<R: Read + Seek>(part: &mut R) -> io::Result<(Digest, u64)> {
    part.seek(SeekFrom::Start(0))?;
    let mut digest = DigestWriter::new(io::sink());
    io::copy(part, &mut digest)?;
    let (_, sha256, size_bytes) = digest.finish();
    Ok((sha256, size_bytes))
}

/// Decrypts the whole part once, which proves every piece of it, for its digest and length.
fn open<R: Read + Seek>(
    part: &mut R,
    options: &Options,
    report: &mut PartReport,
) -> io::Result<Option<(Digest, u64)>> {
    let file = report.file.clone();
    if options.identities.is_empty() {
        let text = "No key was given. Give one with --identity to check the contents.";
        report.findings.add(Code::ContentUnread, file, text);
        report.not_checked.push(
            "what the encrypted part holds: its files, its seal, its records and gaps".into(),
        );
        return Ok(None);
    }
    let mut plain = match UnwrapReader::new(&options.identities, part) {
        Ok(plain) => plain.take(options.limits.plain_bytes.saturating_add(1)),
        Err(WrapError::Read(error)) => return Err(error),
        Err(WrapError::NoMatchingKey) => {
            report
                .findings
                .add(Code::IdentityWrong, file, WrapError::NoMatchingKey);
            report
                .not_checked
                .push("what the encrypted part holds".into());
            return Ok(None);
        }
        Err(error) => {
            report.findings.add(Code::DecryptFailed, file, error);
            return Ok(None);
        }
    };
    let mut digest = DigestWriter::new(io::sink());
    match io::copy(&mut plain, &mut digest) {
        Ok(size) if size > options.limits.plain_bytes => {
            let text = "The decrypted part is larger than a part may be.";
            report.findings.add(Code::Limit, file, text);
            Ok(None)
        }
        Ok(_) => {
            let (_, sha256, size_bytes) = digest.finish();
            Ok(Some((sha256, size_bytes)))
        }
        Err(error) => {
            report.findings.add(Code::DecryptFailed, file, error);
            Ok(None)
        }
    }
}

fn check_contents(contents: &Contents, options: &Options, report: &mut PartReport) {
    report.entry_count = contents.entries.len() as u64;
    let findings = &mut report.findings;
    if let Some(sums) = contents.kept(SUMS) {
        sums::check(sums, &contents.entries, findings);
    }
    let read = records::check(contents, findings);
    report.counts = read.counts;
    report.gaps = read.gaps;
    let record = contents
        .kept("collection.json")
        .map(CollectionRecord::parse);
    match record {
        Some(Ok(record)) => {
            records::check_counts(&record.counts, &read.counts, findings);
            records::check_envelopes(contents, &record, findings);
            report.collection = Some(record.collection);
            report.number = Some(record.part);
            report.last = Some(record.last);
            report.previous_sha256 = Some(record.previous_sha256);
            report.record = Some(record);
        }
        Some(Err(error)) => {
            let code = match error {
                RecordError::Version(_) => Code::VersionUnknown,
                RecordError::Malformed { .. } => Code::CollectionMalformed,
            };
            let why =
                std::error::Error::source(&error).map_or_else(String::new, |s| format!(" ({s})"));
            findings.add(code, "collection.json", format!("{error}{why}"));
        }
        None => {}
    }
    if let (Some(sums), Some(seal)) = (contents.kept(SUMS), contents.kept(SEAL)) {
        report.signer = signer::check(seal, sums, report.record.as_ref(), &options.trust, findings);
    }
}

fn check_statement(
    beside: &Beside,
    options: &Options,
    plain_bytes: Option<u64>,
    report: &mut PartReport,
) {
    let Some(bytes) = &beside.statement else {
        if report.encrypted {
            let text = "It should lie beside the part as part-NNNN.statement.json.";
            report
                .findings
                .add(Code::StatementAbsent, report.file.clone(), text);
        } else {
            report
                .not_checked
                .push("the statement: none lies beside the part".into());
        }
        return;
    };
    let stated = statement::check(bytes, plain_bytes, &options.trust, report);
    if let Some(stated) = stated
        && !report.opened
    {
        believe(stated, report);
    }
}

/// Without the contents, the statement says where the part belongs.
fn believe(stated: Stated, report: &mut PartReport) {
    report.collection = Some(stated.collection);
    report.number = Some(stated.part);
    report.plain_sha256 = Some(stated.plain_sha256);
    report.previous_sha256 = Some(stated.previous_sha256);
    report.last = stated.last;
    report.signer = stated.signer;
}
