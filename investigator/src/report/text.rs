//! The result as text: the verdict, gaps first, every reason, the facts, the standard commands.

use std::fmt::{self, Write as _};

use evidence::{
    gap::{Gap, Severity},
    verify::{CollectionReport, Weight},
};

use super::{commands, facts};
use crate::inert::inert;

/// Most gaps that are printed; the rest is counted.
const GAPS_SHOWN: usize = 50;

/// All collections, one after the other.
pub fn whole(reports: &[CollectionReport]) -> String {
    let mut out = String::new();
    for report in reports {
        // Writing to a string does not fail.
        let _infallible = collection(&mut out, report);
    }
    out
}

fn collection(out: &mut String, report: &CollectionReport) -> fmt::Result {
    let name = report
        .collection
        .map_or_else(|| "no collection named".to_owned(), |c| c.to_string());
    writeln!(out, "{}: {name}", report.verdict.headline())?;
    writeln!(out, "{}\n", report.verdict.meaning())?;
    gaps(out, report)?;
    for (weight, head) in [
        (Weight::Fatal, "Why it is not genuine"),
        (Weight::Reservation, "Reservations"),
        (Weight::Note, "Notes"),
    ] {
        findings(out, report, weight, head)?;
    }
    let mut unchecked: Vec<_> = report.parts.iter().flat_map(|p| &p.not_checked).collect();
    unchecked.sort();
    unchecked.dedup();
    if !unchecked.is_empty() {
        writeln!(out, "Not checked")?;
        for what in unchecked {
            writeln!(out, "  - {}", inert(what))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "Facts")?;
    for (label, value) in facts::facts(report) {
        writeln!(out, "  {label:<24} {}", inert(&value))?;
    }
    parts(out, report)?;
    let commands = commands::without_us(report);
    if !commands.is_empty() {
        writeln!(
            out,
            "\nCheck it without this program (root.crt: your copy of the root)"
        )?;
        for command in commands {
            writeln!(out, "  {}", inert(&command))?;
        }
    }
    writeln!(out)
}

fn gaps(out: &mut String, report: &CollectionReport) -> fmt::Result {
    let (all, serious) = report.parts.iter().fold((0, 0), |(a, s), p| {
        (a + p.counts.gaps, s + p.counts.serious_gaps)
    });
    if all == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "Gaps: {all} ({serious} serious), asked for and not obtained"
    )?;
    let mut gaps: Vec<&Gap> = report.parts.iter().flat_map(|p| &p.gaps).collect();
    gaps.sort_by_key(|g| std::cmp::Reverse(g.severity));
    for gap in gaps.iter().take(GAPS_SHOWN) {
        let mark = if gap.severity == Severity::Serious {
            "!"
        } else {
            "-"
        };
        let (artifact, subject, text) =
            (inert(&gap.artifact), inert(&gap.subject), inert(&gap.text));
        writeln!(
            out,
            "  {mark} {artifact}: {subject}: {} ({text})",
            reason(gap)
        )?;
    }
    if all > GAPS_SHOWN as u64 {
        writeln!(out, "  ... all of them stand in gaps.jsonl of each part")?;
    }
    writeln!(out)
}

/// The reason in words.
pub(super) fn reason(gap: &Gap) -> String {
    let json = serde_json::to_string(&gap.reason).unwrap_or_default();
    json.trim_matches('"').replace('_', " ")
}

fn findings(
    out: &mut String,
    report: &CollectionReport,
    weight: Weight,
    head: &str,
) -> fmt::Result {
    let all = report.all_findings();
    let mut chosen = all.iter().filter(|(_, f)| f.weight == weight).peekable();
    if chosen.peek().is_none() {
        return Ok(());
    }
    writeln!(out, "{head}")?;
    for (file, finding) in chosen {
        writeln!(out, "  [{}] {}", finding.code, finding.code.meaning())?;
        let place = [*file, &*finding.subject].map(inert);
        let place: Vec<_> = place
            .iter()
            .filter(|p| !p.is_empty())
            .map(String::as_str)
            .collect();
        let fault = finding.fault.map_or_else(String::new, |f| format!("{f}: "));
        writeln!(
            out,
            "      {}: {fault}{}",
            place.join(", "),
            inert(&finding.text)
        )?;
    }
    let left_out = report.findings.left_out()
        + report
            .parts
            .iter()
            .map(|p| p.findings.left_out())
            .sum::<u64>();
    if left_out > 0 {
        writeln!(out, "  ... and {left_out} more of the same kinds")?;
    }
    writeln!(out)
}

fn parts(out: &mut String, report: &CollectionReport) -> fmt::Result {
    for part in &report.parts {
        let number = part
            .number
            .map_or_else(|| "?".to_owned(), |n| n.to_string());
        writeln!(
            out,
            "  Part {number}: {}, {} bytes",
            inert(&part.file),
            part.size_bytes
        )?;
        if let Some(digest) = part.plain_sha256 {
            writeln!(out, "    SHA-256 of the ZIP       {digest}")?;
        }
        if let Some(digest) = part.cipher_sha256 {
            writeln!(out, "    SHA-256 as encrypted     {digest}")?;
        }
    }
    Ok(())
}
