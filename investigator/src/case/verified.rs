//! Parts in portions, each judged by the verifier before anything of it is loaded; who is not genuine stays outside,
//! and who is unknown too, unless a person lets them in.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use evidence::verify::{self, CollectionReport, Findings, Options, PartReport, Verdict, Weight};
use serde::Serialize;

use crate::commands::files;

/// At least so many parts are judged before the next portion begins, where there are so many.
const PORTION: usize = 16;
/// So many reasons are named of one part.
const REASONS: usize = 5;
/// Why a sound part of an unknown signer stays outside.
const UNKNOWN: &str = "Nothing shows who sealed it. Name the root with --trust; or load it all the same with \
     --allow-unknown, and it stands under a host of its own.";

/// A part that was not loaded.
#[derive(Debug, Clone, Serialize)]
pub struct Refused {
    /// Where it lies; hostile text.
    pub path: String,
    /// Its collection, where it says so.
    pub collection: Option<String>,
    /// Its number, where it says so.
    pub part: Option<u32>,
    /// Digest of the file, as far as one was made.
    pub sha256: String,
    /// Why; may quote the part.
    pub why: String,
    /// Whether it is not genuine, or only could not be opened or does not belong here.
    pub not_genuine: bool,
}

impl Refused {
    pub(super) fn of(report: &PartReport, why: String, not_genuine: bool) -> Self {
        let digest = report.cipher_sha256.or(report.plain_sha256);
        Self {
            path: super::part::absolute(Path::new(&report.file)),
            collection: report.collection.map(|c| c.to_string()),
            part: report.number,
            sha256: digest.map_or_else(String::new, |d| d.to_string()),
            why,
            not_genuine,
        }
    }
}

/// A portion that was judged.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// Genuine and opened, by collection and number, each with where it lies.
    pub(super) genuine: Vec<(PartReport, PathBuf)>,
    /// All others.
    pub(super) refused: Vec<Refused>,
}

/// Cuts paths into portions; parts in one folder stay together, since they are judged together.
pub(super) fn portions(paths: &[PathBuf]) -> Vec<&[PathBuf]> {
    let (mut portions, mut start) = (Vec::new(), 0);
    for at in 1..paths.len() {
        let is_other_folder = paths[at].parent() != paths[at - 1].parent();
        if at - start >= PORTION && is_other_folder {
            portions.push(&paths[start..at]);
            start = at;
        }
    }
    if start < paths.len() {
        portions.push(&paths[start..]);
    }
    portions
}

/// Judges a portion, each part on a processor of its own; unknown signers stay outside unless they are let in.
pub(super) fn judge(paths: &[PathBuf], options: &Options, allow_unknown: bool) -> Judged {
    let (next, reports) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers.min(paths.len()) {
            scope.spawn(|| {
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = one(path, options);
                    let mut all = reports.lock().unwrap_or_else(PoisonError::into_inner);
                    all.push(report);
                }
            });
        }
    });
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Workers end in any order.
    reports.sort_by(|a, b| a.file.cmp(&b.file));
    let by_name = paths.iter().map(|path| (path.display().to_string(), path));
    sort_out(reports, &by_name.collect(), allow_unknown)
}

fn one(path: &Path, options: &Options) -> PartReport {
    let name = path.display().to_string();
    let nothing = || io::Cursor::new([0; 0]);
    let is_file = std::fs::metadata(path).is_ok_and(|seen| seen.is_file());
    let beside = files::beside(path);
    match (is_file.then(|| File::open(path)), beside) {
        (Some(Ok(file)), Ok(beside)) => {
            let file = BufReader::with_capacity(1 << 17, file);
            verify::verify_part(name, file, &beside, options)
        }
        // What can't be read is found unreadable.
        (_, beside) => verify::verify_part(name, nothing(), &beside.unwrap_or_default(), options),
    }
}

/// Whether a trusted root stands behind who sealed it.
pub(super) fn is_known(report: &PartReport) -> bool {
    report.signer.as_ref().is_some_and(|signer| signer.trusted)
}

fn sort_out(
    reports: Vec<PartReport>,
    by_name: &HashMap<String, &PathBuf>,
    allow_unknown: bool,
) -> Judged {
    let mut judged = Judged::default();
    // A false part says nothing about its neighbours: those are judged among themselves.
    let (good, bad): (Vec<_>, Vec<_>) = reports
        .into_iter()
        .partition(|r| r.findings.verdict() != Verdict::NotGenuine);
    for report in bad {
        let why = reasons(&report.findings, Weight::Fatal);
        judged.refused.push(Refused::of(&report, why, true));
    }
    for collection in verify::collections(good) {
        let contradictory = collection.findings.verdict() == Verdict::NotGenuine;
        if !contradictory || !collection.parts.iter().any(is_known) {
            judged.settle(collection, by_name, allow_unknown);
            continue;
        }
        // Anybody can seal parts that name a collection. What they contradict is judged without them.
        let why = reasons(&collection.findings, Weight::Fatal);
        let (known, unknown): (Vec<_>, Vec<_>) = collection.parts.into_iter().partition(is_known);
        for report in unknown {
            judged.refused.push(Refused::of(&report, why.clone(), true));
        }
        for collection in verify::collections(known) {
            judged.settle(collection, by_name, allow_unknown);
        }
    }
    judged
}

impl Judged {
    fn settle(
        &mut self,
        collection: CollectionReport,
        by_name: &HashMap<String, &PathBuf>,
        allow_unknown: bool,
    ) {
        let between = collection.findings.verdict() == Verdict::NotGenuine;
        for report in collection.parts {
            if between || report.findings.verdict() == Verdict::NotGenuine {
                let mut why = reasons(&report.findings, Weight::Fatal);
                if between {
                    why = reasons(&collection.findings, Weight::Fatal);
                }
                self.refused.push(Refused::of(&report, why, true));
            } else if !report.opened || report.record.is_none() {
                let why = reasons(&report.findings, Weight::Reservation);
                self.refused.push(Refused::of(&report, why, false));
            } else if !is_known(&report) && !allow_unknown {
                let why = UNKNOWN.to_owned();
                self.refused.push(Refused::of(&report, why, false));
            } else if let Some(path) = by_name.get(&report.file) {
                self.genuine.push((report, (*path).clone()));
            }
        }
    }
}

/// The first findings of this weight, in words.
fn reasons(findings: &Findings, weight: Weight) -> String {
    let of = findings.list().iter().filter(|f| f.weight == weight);
    let mut told: Vec<_> = of
        .map(|f| format!("{}: {} {}", f.code, f.subject, f.text))
        .collect();
    let more = told.len().saturating_sub(REASONS);
    told.truncate(REASONS);
    if more > 0 {
        told.push(format!("and {more} more reasons; see `fieldseal verify`"));
    }
    told.join("; ")
}
