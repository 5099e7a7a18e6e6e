//! One part: the ZIP, its digests, its seal, its records, on whose authority, and what lies beside it.
//!
//! Every check runs, whatever the others found, so that the report has every reason.

use std::io::{self, Read, Seek, SeekFrom};

use serde::{Serialize, de::IgnoredAny};

use super::{
    authority::{self, Anchors, Policy, Root},
    beside::{self, Beside},
    contents::{self, Contents},
    custody::{self, Imported, Logged},
    order::{self, Authority, Ordered},
    records,
    signer::{self, Signer, Trust},
    sums::{self, SEAL, SUMS},
    time::{self, SealTime, Stamp},
    unwrap,
    verdict::{Code, Findings},
};
use crate::{
    archive::Limits,
    digest::Digest,
    envelope,
    gap::Gap,
    ids::CollectionId,
    instant::Instant,
    records::{CollectionRecord, Counts, RecordError},
    seal,
    wrap::{Identity, Stanzas, UnwrapReader},
};

/// On what a check rests.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Root certificates to believe; empty means that the signer stays unknown. The keys inside
    /// are the ones that must have signed the policy, where `roots` names no others.
    pub trust: Trust,
    /// Root documents to believe: with them, a policy needs their threshold of signatures.
    pub roots: Vec<Root>,
    /// Envelopes of policies to believe, where a trusted root has signed them, beside the part's own:
    /// later ones know newer keys, and a part that stays closed tells none.
    pub policies: Vec<Vec<u8>>,
    /// Roots of time-stamping authorities to believe; without them no time rests on a stamp.
    pub stamp_trust: Trust,
    /// Keys that open encrypted parts.
    pub identities: Vec<Identity>,
    /// What to spend on a hostile part.
    pub limits: Limits,
}

impl Options {
    fn anchors(&self) -> Anchors<'_> {
        Anchors {
            trust: &self.trust,
            roots: &self.roots,
        }
    }
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
    /// Digest of SHA256SUMS, in which every other entry has its own: who reads the part again can hold it to this.
    #[serde(skip)]
    pub sums_sha256: Option<Digest>,
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
    /// When it was sealed, and on whose word that rests.
    pub time: Option<SealTime>,
    /// The time stamp, where one holds.
    pub stamp: Option<Stamp>,
    /// When the server received it, where a receipt proves it.
    pub received: Option<Instant>,
    /// Where the custody log says so.
    pub logged: Option<Logged>,
    /// Whether a receipt proves that the custody log certifies the key that sealed.
    pub enrolled: bool,
    /// On whose order, where one holds.
    pub ordered: Option<Ordered>,
    /// What was counted, by the verifier.
    pub counts: Counts,
    /// What was asked for and not obtained, serious first.
    pub gaps: Vec<Gap>,
    /// Every reason.
    pub findings: Findings,
    /// What was not checked, in words.
    pub not_checked: Vec<String>,
    /// For whom the head of an encrypted part is; `None` too where the head can't be read.
    #[serde(skip)]
    pub stanzas: Option<Stanzas>,
    /// What only the other parts can settle; nothing to read by others.
    #[serde(skip)]
    pub across: records::Across,
    #[serde(skip)]
    policies: Vec<Policy>,
}

impl PartReport {
    /// What a receipt proves of the bringing in of a collection that was made without network: `imported.receipt` beside
    /// the parts. It proves nothing of the evidence, and no verdict rests on it.
    ///
    /// # Errors
    /// Why it proves nothing, for people.
    pub fn imported(&self, receipt: &[u8]) -> Result<Imported, String> {
        custody::imported(receipt, self.collection, &self.policies)
    }

    /// Takes over what was found for another copy of the same part; which file it is of stays.
    pub(super) fn adopt(&mut self, other: Self) {
        self.cipher_sha256 = self.cipher_sha256.or(other.cipher_sha256);
        self.received = self.received.or(other.received);
        self.logged = self.logged.take().or(other.logged);
        self.enrolled |= other.enrolled;
        if self.stamp.is_none() {
            self.stamp = other.stamp;
        }
        let kept = other
            .findings
            .without(&[Code::ContentUnread, Code::IdentityWrong]);
        self.findings.extend(kept);
        // What is proven of one copy is proven of both.
        let mut settled = Vec::new();
        if self.received.is_some() {
            settled.push(Code::ReceiptAbsent);
        }
        if self.enrolled {
            settled.push(Code::EnrolmentAbsent);
        }
        self.findings = std::mem::take(&mut self.findings).without(&settled);
    }
}

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
    let (file_sha256, size_bytes) = unwrap::digest_of(part)?;
    report.size_bytes = size_bytes;
    report.encrypted = unwrap::is_wrapped(part)?;
    part.seek(SeekFrom::Start(0))?;
    let mut plain_bytes = None;
    let mut contents = None;
    if report.encrypted {
        report.cipher_sha256 = Some(file_sha256);
        report.stanzas = unwrap::stanzas_of(part)?;
        part.seek(SeekFrom::Start(0))?;
        if let Some((digest, size)) = unwrap::prove(part, options, report)? {
            report.plain_sha256 = Some(digest);
            plain_bytes = Some(size);
            part.seek(SeekFrom::Start(0))?;
            if let Ok(plain) = UnwrapReader::new(&options.identities, &mut *part) {
                let findings = &mut report.findings;
                contents = Some(contents::gather(plain, &options.limits, findings)?);
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
    let (mut authority, mut sealed) = (Authority::default(), None);
    if let Some(contents) = &contents {
        report.opened = true;
        (authority, sealed) = check_contents(contents, options, report);
    }
    let given = authority::given(&options.policies, options.anchors(), &mut report.findings);
    authority.policies.extend(given);
    beside::check(beside, options, &authority, sealed, plain_bytes, report);
    report.ordered = authority.ordered;
    report.policies = authority.policies;
    Ok(())
}

fn check_contents(
    contents: &Contents,
    options: &Options,
    report: &mut PartReport,
) -> (Authority, Option<seal::Signer>) {
    report.entry_count = contents.entries.len() as u64;
    let findings = &mut report.findings;
    if let Some(sums) = contents.kept(SUMS) {
        sums::check(sums, &contents.entries, findings);
        report.sums_sha256 = Some(Digest::of(sums));
    }
    let read = records::check(contents, findings);
    (report.counts, report.gaps, report.across) = (read.counts, read.gaps, read.across);
    let record = read_record(contents, findings);
    let mut sealed = None;
    if let (Some(sums), Some(seal)) = (contents.kept(SUMS), contents.kept(SEAL)) {
        sealed = signer::check(seal, sums, record.as_ref(), &options.trust, findings);
        report.signer = sealed.as_ref().map(signer::shown);
    }
    let sealed_by = sealed.as_ref().and_then(|s| s.key).map(|key| key.key_id());
    let mut authority = Authority::default();
    if let Some(record) = record {
        records::check_counts(&record.counts, &report.counts, findings);
        records::check_envelopes(contents, &record, findings);
        time::check_clock(record.clock, findings);
        authority = order::check(
            contents.kept("policy.json").unwrap_or_default(),
            contents.kept("order.json").unwrap_or_default(),
            (&record, sealed_by),
            options.anchors(),
            findings,
        );
        report.collection = Some(record.collection);
        report.number = Some(record.part);
        report.last = Some(record.last);
        report.previous_sha256 = Some(record.previous_sha256);
        report.record = Some(record);
    }
    (authority, sealed)
}

fn read_record(contents: &Contents, findings: &mut Findings) -> Option<CollectionRecord> {
    const NAME: &str = "collection.json";
    let bytes = contents.kept(NAME)?;
    let error = match CollectionRecord::parse(bytes) {
        Ok(record) => match envelope::parse_strict::<IgnoredAny>(bytes) {
            Ok(_) => return Some(record),
            Err(source) => RecordError::Malformed { what: NAME, source },
        },
        Err(error) => error,
    };
    let code = match error {
        RecordError::Version(_) => Code::VersionUnknown,
        RecordError::Malformed { .. } => Code::CollectionMalformed,
    };
    let why = std::error::Error::source(&error).map_or_else(String::new, |s| format!(" ({s})"));
    findings.add(code, NAME, format!("{error}{why}"));
    None
}
