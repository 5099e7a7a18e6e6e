//! The acquisition report as one HTML page: no script, nothing loaded, every string inert.

use std::fmt::{self, Write as _};

use evidence::{
    digest::Digest,
    gap::Severity,
    verify::{CollectionReport, PartReport, Verdict},
};

use super::{
    ASIDE, Check,
    facts::Group,
    reasons,
    sections::{self, Gaps, Section},
    text::reason,
};
use crate::{commands::aside::Aside, inert::inert_html};

const STYLE: &str = include_str!("style.css");
/// Most gaps that one page shows; all of them stand in the archive.
const GAPS_SHOWN: usize = 2_000;

/// The words that a reader who does not live among computers may ask for.
const WORDS: &[(&str, &str)] = &[
    (
        "Part",
        "One archive file. A collection from one host is one part or several, numbered, each naming the one before it.",
    ),
    (
        "SHA-256",
        "A number computed from every bit of a file. Nobody can make two different files with the same one, so that equal digests mean equal files.",
    ),
    (
        "Seal",
        "The agent's signature over the list of the digests of everything in a part. After it, nothing in the part can be changed, added or taken away unseen.",
    ),
    (
        "Statement",
        "A small signed file beside each part that says what the part is, so that it can be checked without being opened.",
    ),
    (
        "Receipt",
        "Proof that the server entered the part into a log to which lines can be added and from which none can be taken away unseen.",
    ),
    (
        "Time stamp",
        "An outside authority's signed word that the statement existed at a time.",
    ),
    (
        "Gap",
        "Something that was asked for and could not be obtained. Each is listed with its reason.",
    ),
];

/// The name by which a content security policy lets the page's own style pass and no other.
pub fn style_hash() -> String {
    let digest = Digest::of(format!("\n{STYLE}").as_bytes());
    format!("sha256-{}", data_encoding::BASE64.encode(&digest.0))
}

/// The whole page.
pub fn page(check: &Check, reports: &[CollectionReport], aside: &[Aside]) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _infallible = whole(&mut out, check, reports, aside);
    out
}

fn whole(
    out: &mut String,
    check: &Check,
    reports: &[CollectionReport],
    aside: &[Aside],
) -> fmt::Result {
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Acquisition report</title>\n<style>\n{STYLE}</style></head><body>\n\
         <h1>Acquisition report</h1>\n<p class=\"lead\">Checked by {}. Everything below was \
         computed from the evidence itself; nothing was asked of the server.</p>\n",
        check.program
    )?;
    for report in reports {
        collection(out, check, report)?;
    }
    set_aside(out, aside)?;
    writeln!(out, "<h2>Words used here</h2><dl class=\"words\">")?;
    for (word, meaning) in WORDS {
        writeln!(out, "<dt>{word}</dt><dd>{meaning}</dd>")?;
    }
    writeln!(out, "</dl></body></html>")
}

fn set_aside(out: &mut String, aside: &[Aside]) -> fmt::Result {
    if aside.is_empty() {
        return Ok(());
    }
    writeln!(out, "<h2>{ASIDE}</h2><ul>")?;
    for Aside { file, why } in aside {
        writeln!(out, "<li>{}: {why}</li>", inert_html(file))?;
    }
    writeln!(out, "</ul>")
}

fn collection(out: &mut String, check: &Check, report: &CollectionReport) -> fmt::Result {
    for section in sections::of(check, report) {
        match section {
            Section::Verdict(verdict, _) => answer(out, verdict)?,
            Section::Gaps(found) => gaps(out, &found)?,
            Section::Reasons(head, found) => findings(out, &found, head)?,
            Section::LeftOut(more) => {
                writeln!(out, "<p>… and {more} more of the same kinds.</p>")?;
            }
            Section::Facts(group) => facts(out, &group)?,
            Section::Parts(all) => parts(out, all)?,
            Section::NotChecked(what) => unchecked(out, &what)?,
            Section::Commands(steps) => check_it(out, &steps)?,
        }
    }
    Ok(())
}

fn answer(out: &mut String, verdict: Verdict) -> fmt::Result {
    let class = match verdict {
        Verdict::GenuineComplete => "good",
        Verdict::GenuineReserved => "fair",
        Verdict::NotGenuine => "bad",
    };
    let (headline, meaning) = (verdict.headline(), verdict.meaning());
    writeln!(
        out,
        "<div class=\"verdict {class}\"><h2>{headline}</h2><p>{meaning}</p></div>"
    )
}

fn facts(out: &mut String, group: &Group) -> fmt::Result {
    writeln!(out, "<h2>{}</h2><table class=\"facts\">", group.title)?;
    for (label, value) in &group.facts {
        let value = inert_html(value);
        writeln!(
            out,
            "<tr><th scope=\"row\">{label}</th><td>{value}</td></tr>"
        )?;
    }
    writeln!(out, "</table>")
}

fn unchecked(out: &mut String, unchecked: &[&str]) -> fmt::Result {
    writeln!(out, "<h2>Not checked</h2><ul>")?;
    for what in unchecked {
        writeln!(out, "<li>{}</li>", inert_html(what))?;
    }
    writeln!(out, "</ul>")
}

fn check_it(out: &mut String, steps: &[(String, Vec<String>)]) -> fmt::Result {
    writeln!(
        out,
        "<h2>How to check it without this program</h2><p>With programs that every Linux system has, in \
         the folder of the parts; for the other parts likewise.</p>"
    )?;
    for (words, lines) in steps {
        let lines: Vec<_> = lines.iter().map(|line| inert_html(line)).collect();
        let (words, lines) = (inert_html(words), lines.join("\n"));
        writeln!(out, "<h3>{words}</h3><pre>{lines}</pre>")?;
    }
    Ok(())
}

fn gaps(out: &mut String, gaps: &Gaps<'_>) -> fmt::Result {
    let all = gaps.all;
    if all == 0 {
        return writeln!(
            out,
            "<h2>Gaps</h2><p>None were recorded in the parts that were opened.</p>"
        );
    }
    writeln!(
        out,
        "<h2>Gaps: {all}</h2><p>Asked for and not obtained.</p><table class=\"gaps\"><thead><tr><th>Weight</th>\
         <th>Artifact</th><th>What</th><th>Why</th><th>More</th></tr></thead><tbody>"
    )?;
    for gap in gaps.kept.iter().take(GAPS_SHOWN) {
        let weight = if gap.severity == Severity::Serious {
            "<td class=\"serious\">serious</td>"
        } else {
            "<td>ordinary</td>"
        };
        let cells = [&gap.artifact, &gap.subject, &reason(gap), &gap.text].map(|c| inert_html(c));
        let cells = cells.join("</td><td>");
        writeln!(out, "<tr>{weight}<td>{cells}</td></tr>")?;
    }
    writeln!(out, "</tbody></table>")?;
    if all > GAPS_SHOWN as u64 {
        writeln!(out, "<p>All of them stand in gaps.jsonl of each part.</p>")?;
    }
    Ok(())
}

fn findings(out: &mut String, found: &[reasons::Reason], head: &str) -> fmt::Result {
    writeln!(out, "<h2>{head}</h2><dl class=\"reasons\">")?;
    for reason in found {
        let (meaning, code) = (reason.code.meaning(), reason.code);
        writeln!(out, "<dt>{meaning}<code>{code}</code></dt>")?;
        for place in &reason.places {
            writeln!(out, "<dd>{}</dd>", inert_html(place))?;
        }
        if reason.more > 0 {
            writeln!(out, "<dd>… and {} more</dd>", reason.more)?;
        }
    }
    writeln!(out, "</dl>")
}

fn parts(out: &mut String, parts: &[PartReport]) -> fmt::Result {
    writeln!(
        out,
        "<h2>Parts and digests</h2><table><thead><tr><th>Part</th><th>File and SHA-256</th>\
         <th>Bytes</th></tr></thead><tbody>"
    )?;
    for part in parts {
        let number = part
            .number
            .map_or_else(|| "?".to_owned(), |n| n.to_string());
        let mut lines = vec![inert_html(&part.file)];
        if let Some(digest) = part.plain_sha256 {
            lines.push(format!("<span class=\"mono\">{digest}</span> (the ZIP)"));
        }
        if let Some(digest) = part.cipher_sha256 {
            lines.push(format!(
                "<span class=\"mono\">{digest}</span> (as encrypted)"
            ));
        }
        let (lines, size) = (lines.join("<br>"), part.size_bytes);
        writeln!(
            out,
            "<tr><td>{number}</td><td>{lines}</td><td>{size}</td></tr>"
        )?;
    }
    writeln!(out, "</tbody></table>")
}
