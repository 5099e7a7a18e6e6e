//! Parts as one collection: numbers, the chain of digests, the last part, and whose it is.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    across,
    part::PartReport,
    verdict::{Code, Findings, Verdict},
};
use crate::{count, ids::CollectionId, records::Counts};

/// What was found for one collection.
#[derive(Debug, Serialize)]
pub struct CollectionReport {
    /// Which; `None` for parts that don't say.
    pub collection: Option<CollectionId>,
    /// The answer, over all parts.
    pub verdict: Verdict,
    /// The parts, by number.
    pub parts: Vec<PartReport>,
    /// Findings between parts; those inside a part stand with it.
    pub findings: Findings,
}

impl CollectionReport {
    /// Every finding with the part's file name (empty between parts), the weightiest first.
    pub fn all_findings(&self) -> Vec<(&str, &super::Finding)> {
        let between = self.findings.list().iter().map(|f| ("", f));
        let inside = self
            .parts
            .iter()
            .flat_map(|p| p.findings.list().iter().map(|f| (p.file.as_str(), f)));
        let mut all: Vec<_> = between.chain(inside).collect();
        all.sort_by_key(|(_, f)| std::cmp::Reverse(f.weight));
        all
    }
}

/// The verdict over several collections: the worst.
pub fn overall(reports: &[CollectionReport]) -> Verdict {
    let worst = reports.iter().map(|r| r.verdict).max();
    worst.unwrap_or(Verdict::NotGenuine)
}

/// Groups checked parts by collection and checks what holds between them.
pub fn collections(parts: Vec<PartReport>) -> Vec<CollectionReport> {
    let mut groups: BTreeMap<Option<CollectionId>, Vec<PartReport>> = BTreeMap::new();
    for part in parts {
        groups.entry(part.collection).or_default().push(part);
    }
    groups
        .into_iter()
        .map(|(collection, parts)| join(collection, parts))
        .collect()
}

fn join(collection: Option<CollectionId>, mut parts: Vec<PartReport>) -> CollectionReport {
    parts.sort_by_key(|p| p.number.unwrap_or(u32::MAX));
    let mut findings = Findings::default();
    drop_copies(&mut parts, &mut findings);
    if collection.is_some() {
        check_numbers(&parts, &mut findings);
        check_chain(&parts, &mut findings);
        check_owner(&parts, &mut findings);
        check_running_counts(&parts, &mut findings);
        across::check(&parts, &mut findings);
    }
    say_gaps(&parts, &mut findings);
    let verdict = parts
        .iter()
        .map(|p| p.findings.verdict())
        .chain([findings.verdict()])
        .max()
        .unwrap_or(Verdict::NotGenuine);
    CollectionReport {
        collection,
        verdict,
        parts,
        findings,
    }
}

/// A part and its opened copy are one part; two contents under one number are a fraud.
fn drop_copies(parts: &mut Vec<PartReport>, findings: &mut Findings) {
    let mut kept: Vec<PartReport> = Vec::new();
    for part in parts.drain(..) {
        let twin = kept
            .iter_mut()
            .find(|k| k.number.is_some() && k.number == part.number);
        match twin {
            Some(twin) if twin.plain_sha256.is_some() && twin.plain_sha256 == part.plain_sha256 => {
                if !twin.opened && part.opened {
                    let sealed = std::mem::replace(twin, part);
                    twin.adopt(sealed);
                } else {
                    twin.adopt(part);
                }
            }
            Some(twin) => {
                let text = format!("{} and {} differ.", twin.file, part.file);
                findings.add(Code::ChainDuplicate, &*part.file, text);
                kept.push(part);
            }
            None => kept.push(part),
        }
    }
    *parts = kept;
}

fn check_numbers(parts: &[PartReport], findings: &mut Findings) {
    let mut expected = 1;
    for number in parts.iter().filter_map(|p| p.number) {
        if number > expected {
            let which = match number - expected {
                1 => format!("Part {expected} is missing."),
                _ => format!("Parts {expected} to {} are missing.", number - 1),
            };
            findings.add(Code::PartMissing, "", which);
        }
        expected = number.saturating_add(1);
    }
    let lasts: Vec<_> = parts.iter().filter(|p| p.last == Some(true)).collect();
    let highest = parts.iter().filter_map(|p| p.number).max();
    for last in &lasts {
        if last.number < highest {
            findings.add(
                Code::ChainAfterLast,
                &*last.file,
                "It says that it is the last.",
            );
        }
    }
    if lasts.is_empty() {
        findings.add(Code::LastMissing, "", "No part says that it is the last.");
    }
}

fn check_chain(parts: &[PartReport], findings: &mut Findings) {
    for part in parts {
        let (Some(number), Some(previous)) = (part.number, part.previous_sha256) else {
            continue;
        };
        match (number, previous) {
            (0, _) => findings.add(Code::ChainPrevious, &*part.file, "Parts start at number 1."),
            (1, Some(_)) => {
                let text = "It is part 1 and names a part before it.";
                findings.add(Code::ChainPrevious, &*part.file, text);
            }
            (2.., None) => {
                let text = "It names no part before it.";
                findings.add(Code::ChainPrevious, &*part.file, text);
            }
            _ => {}
        }
    }
    for pair in parts.windows(2) {
        let [before, after] = pair else { continue };
        if let (Some(a), Some(b)) = (&before.record, &after.record)
            && b.attempt < a.attempt
        {
            let text = format!(
                "It is of attempt {}, after attempt {}.",
                b.attempt, a.attempt
            );
            findings.add(Code::ChainPrevious, &*after.file, text);
        }
        let follows = before.number.and_then(|n| n.checked_add(1)) == after.number;
        let (Some(digest), Some(Some(named))) = (before.plain_sha256, after.previous_sha256) else {
            continue;
        };
        if follows && digest != named {
            let text = format!("It follows on {named}; the part before is {digest}.");
            findings.add(Code::ChainPrevious, &*after.file, text);
        }
    }
}

/// Parts of one collection are by one agent, on one order.
fn check_owner(parts: &[PartReport], findings: &mut Findings) {
    let mut records = parts.iter().filter_map(|p| Some((p, p.record.as_ref()?)));
    let Some((_, first)) = records.next() else {
        return;
    };
    for (part, record) in records {
        for (what, same) in [
            ("agent", record.agent == first.agent),
            ("host", record.host == first.host),
            (
                "order",
                record.order == first.order && record.order_sha256 == first.order_sha256,
            ),
            ("case", record.case == first.case),
        ] {
            if !same {
                let text = format!("It names another {what} than the first part does.");
                findings.add(Code::ChainForeign, &*part.file, text);
            }
        }
    }
    let mut signers = parts.iter().filter_map(|p| Some((p, p.signer.as_ref()?)));
    let Some((_, first)) = signers.next() else {
        return;
    };
    for (part, signer) in signers {
        // A renewed seal key is possible within one agent; a key without a name is made for one run.
        let same = match (signer.agent, first.agent) {
            (Some(a), Some(b)) => a == b,
            _ => signer.certificate_sha256 == first.certificate_sha256,
        };
        if !same {
            findings.add(
                Code::ChainForeign,
                &*part.file,
                "It is sealed by another signer.",
            );
        }
    }
}

fn check_running_counts(parts: &[PartReport], findings: &mut Findings) {
    let mut sum = Counts::default();
    for (at, part) in parts.iter().enumerate() {
        let Some(record) = &part.record else { return };
        if usize::try_from(record.part).ok() != Some(at + 1) {
            return;
        }
        sum = sum.plus(record.counts);
        if record.counts_so_far != sum {
            let text = "Its totals so far are not the sum of the parts.";
            findings.add(Code::CountMismatch, &*part.file, text);
            return;
        }
    }
}

fn say_gaps(parts: &[PartReport], findings: &mut Findings) {
    let (all, serious) = parts.iter().fold((0, 0), |(all, serious), part| {
        (all + part.counts.gaps, serious + part.counts.serious_gaps)
    });
    if all > 0 {
        findings.add(
            Code::Gaps,
            "",
            format!(
                "{}, {serious} of them serious.",
                count::of(all, "gap", "gaps")
            ),
        );
    }
    for part in parts {
        let ended = part.record.as_ref().and_then(|r| r.ended_early.as_deref());
        if let Some(why) = ended {
            findings.add(Code::EndedEarly, &*part.file, why);
        }
    }
}
