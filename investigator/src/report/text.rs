//! The result as text: the verdict, gaps first, every reason, the facts, the standard commands.

use std::fmt::{self, Write as _};

use evidence::{
    count,
    gap::{Gap, Severity},
    ids::CollectionId,
    verify::{CollectionReport, PartReport, Verdict},
};

use super::{
    ASIDE, Check,
    facts::Group,
    reasons,
    sections::{self, Gaps, Section},
};
use crate::{commands::aside::Aside, inert::inert};

/// Most gaps that are printed; the rest is counted.
const GAPS_SHOWN: usize = 50;

/// All collections, one after the other, and what was not taken into account.
pub fn whole(check: &Check, reports: &[CollectionReport], aside: &[Aside]) -> String {
    let mut out = String::new();
    for report in reports {
        // Writing to a string does not fail.
        let _infallible = collection(&mut out, check, report);
    }
    let _infallible = set_aside(&mut out, aside);
    out
}

fn set_aside(out: &mut String, aside: &[Aside]) -> fmt::Result {
    if aside.is_empty() {
        return Ok(());
    }
    writeln!(out, "{ASIDE}")?;
    for Aside { file, why } in aside {
        writeln!(out, "  - {}: {why}", inert(file))?;
    }
    writeln!(out)
}

fn collection(out: &mut String, check: &Check, report: &CollectionReport) -> fmt::Result {
    for section in sections::of(check, report) {
        match section {
            Section::Verdict(verdict, of) => answer(out, verdict, of)?,
            Section::Gaps(gaps) if gaps.all == 0 => {}
            Section::Gaps(found) => gaps(out, &found)?,
            Section::Reasons(head, found) => findings(out, &found, head)?,
            Section::LeftOut(more) => writeln!(out, "... and {more} more of the same kinds\n")?,
            Section::Facts(group) => facts(out, &group)?,
            Section::Parts(all) => parts(out, all)?,
            Section::NotChecked(what) => unchecked(out, &what)?,
            Section::Commands(steps) => check_it(out, &steps)?,
        }
    }
    writeln!(out)
}

fn answer(out: &mut String, verdict: Verdict, of: Option<CollectionId>) -> fmt::Result {
    let name = of.map_or_else(|| "no collection named".to_owned(), |c| c.to_string());
    writeln!(out, "{}: {name}", verdict.headline())?;
    writeln!(out, "{}\n", verdict.meaning())
}

fn facts(out: &mut String, group: &Group) -> fmt::Result {
    writeln!(out, "{}", group.title)?;
    for (label, value) in &group.facts {
        writeln!(out, "  {label:<26} {}", inert(value))?;
    }
    writeln!(out)
}

fn unchecked(out: &mut String, unchecked: &[&str]) -> fmt::Result {
    writeln!(out, "Not checked")?;
    for what in unchecked {
        writeln!(out, "  - {}", inert(what))?;
    }
    writeln!(out)
}

fn check_it(out: &mut String, steps: &[(String, Vec<String>)]) -> fmt::Result {
    writeln!(
        out,
        "Check it without this program, in the folder of the parts (for the others likewise)"
    )?;
    for (words, lines) in steps {
        writeln!(out, "  {words}")?;
        for line in lines {
            writeln!(out, "    {}", inert(line))?;
        }
    }
    Ok(())
}

fn gaps(out: &mut String, gaps: &Gaps<'_>) -> fmt::Result {
    let (all, serious) = (gaps.all, gaps.serious);
    writeln!(
        out,
        "Gaps: {all} ({serious} serious), asked for and not obtained"
    )?;
    for gap in gaps.kept.iter().take(GAPS_SHOWN) {
        let mark = if gap.severity == Severity::Serious {
            "!"
        } else {
            "-"
        };
        let (artifact, subject, text) =
            (inert(&gap.artifact), inert(&gap.subject), inert(&gap.text));
        let why = reason(gap);
        writeln!(out, "  {mark} {artifact}: {subject}: {why} ({text})")?;
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

fn findings(out: &mut String, reasons: &[reasons::Reason], head: &str) -> fmt::Result {
    writeln!(out, "{head}")?;
    for reason in reasons {
        writeln!(out, "  [{}] {}", reason.code, reason.code.meaning())?;
        for place in &reason.places {
            writeln!(out, "      {}", inert(place))?;
        }
        if reason.more > 0 {
            writeln!(out, "      ... and {} more", reason.more)?;
        }
    }
    writeln!(out)
}

fn parts(out: &mut String, parts: &[PartReport]) -> fmt::Result {
    writeln!(out, "Parts and digests")?;
    for part in parts {
        let number = part
            .number
            .map_or_else(|| "?".to_owned(), |n| n.to_string());
        let (file, size) = (inert(&part.file), part.size_bytes);
        writeln!(
            out,
            "  Part {number}: {file}, {}",
            count::of(size, "byte", "bytes")
        )?;
        if let Some(digest) = part.plain_sha256 {
            writeln!(out, "    SHA-256 of the ZIP       {digest}")?;
        }
        if let Some(digest) = part.cipher_sha256 {
            writeln!(out, "    SHA-256 as encrypted     {digest}")?;
        }
    }
    writeln!(out)
}
