//! The reasons for a verdict, each kind said once with every place where it was found.

use evidence::verify::{Code, CollectionReport, Weight};

/// Most places that are shown of one kind; the rest is counted.
const PLACES_SHOWN: usize = 40;

/// One kind of finding.
#[derive(Debug)]
pub struct Reason {
    /// Which.
    pub code: Code,
    /// Where, and what was found there; hostile text.
    pub places: Vec<String>,
    /// How many more places there are.
    pub more: u64,
}

/// The kinds of one weight, in the order of the specification.
pub fn of_weight(report: &CollectionReport, weight: Weight) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = Vec::new();
    for (file, finding) in report.all_findings() {
        if finding.weight != weight {
            continue;
        }
        let fault = finding.fault.map_or_else(String::new, |f| format!("{f}: "));
        let name = std::path::Path::new(file).file_name();
        let name = name.map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let subject = if finding.subject == file {
            String::new()
        } else {
            finding.subject.clone()
        };
        let place: Vec<_> = [name, subject]
            .into_iter()
            .filter(|p| !p.is_empty())
            .collect();
        let place = place.join(", ");
        let text = if place.is_empty() {
            format!("{fault}{}", finding.text)
        } else {
            format!("{place}: {fault}{}", finding.text)
        };
        match reasons.iter_mut().find(|r| r.code == finding.code) {
            Some(reason) if reason.places.len() < PLACES_SHOWN => reason.places.push(text),
            Some(reason) => reason.more += 1,
            None => reasons.push(Reason {
                code: finding.code,
                places: vec![text],
                more: 0,
            }),
        }
    }
    reasons.sort_by_key(|r| r.code);
    reasons
}

/// How many findings were counted without being kept.
pub fn left_out(report: &CollectionReport) -> u64 {
    let inside: u64 = report.parts.iter().map(|p| p.findings.left_out()).sum();
    report.findings.left_out() + inside
}

/// What was not checked, each once.
pub fn not_checked(report: &CollectionReport) -> Vec<&str> {
    let mut all: Vec<&str> = report
        .parts
        .iter()
        .flat_map(|p| &p.not_checked)
        .map(String::as_str)
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// What speaks against the evidence, the weightiest first.
pub const AGAINST: [(Weight, &str); 2] = [
    (Weight::Fatal, "Why it is not genuine"),
    (Weight::Reservation, "Reservations"),
];
