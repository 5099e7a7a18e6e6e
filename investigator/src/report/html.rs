//! The acquisition report as one HTML page: no script, nothing loaded, every string inert.

use std::fmt::{self, Write as _};

use evidence::{
    gap::Severity,
    verify::{CollectionReport, Verdict, Weight},
};

use super::{commands, facts, text::reason};
use crate::inert::inert_html;

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
<title>Acquisition report</title><style>\
body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%}td,th{border:1px solid #999;padding:.3rem .5rem;\
text-align:left;vertical-align:top;overflow-wrap:anywhere}pre{white-space:pre-wrap;background:#eee;\
padding:.5rem}.verdict{border:3px solid;padding:1rem}.good{border-color:#060}.fair{border-color:#a60}\
.bad{border-color:#a00}</style></head><body>\n<h1>Acquisition report</h1>\n";

/// The whole page.
pub fn page(reports: &[CollectionReport]) -> String {
    let mut out = HEAD.to_owned();
    for report in reports {
        // Writing to a string does not fail.
        let _infallible = collection(&mut out, report);
    }
    out.push_str("</body></html>\n");
    out
}

fn collection(out: &mut String, report: &CollectionReport) -> fmt::Result {
    let class = match report.verdict {
        Verdict::GenuineComplete => "good",
        Verdict::GenuineReserved => "fair",
        Verdict::NotGenuine => "bad",
    };
    let (headline, meaning) = (report.verdict.headline(), report.verdict.meaning());
    writeln!(
        out,
        "<div class=\"verdict {class}\"><h2>{headline}</h2><p>{meaning}</p></div>"
    )?;
    gaps(out, report)?;
    findings(out, report)?;
    writeln!(out, "<h2>Facts</h2><table>")?;
    for (label, value) in facts::facts(report) {
        writeln!(
            out,
            "<tr><th>{label}</th><td>{}</td></tr>",
            inert_html(&value)
        )?;
    }
    writeln!(out, "</table>")?;
    parts(out, report)?;
    let unchecked: std::collections::BTreeSet<_> =
        report.parts.iter().flat_map(|p| &p.not_checked).collect();
    if !unchecked.is_empty() {
        writeln!(out, "<h2>Not checked</h2><ul>")?;
        for what in unchecked {
            writeln!(out, "<li>{}</li>", inert_html(what))?;
        }
        writeln!(out, "</ul>")?;
    }
    let commands = commands::without_us(report);
    if !commands.is_empty() {
        let shown: Vec<_> = commands.iter().map(|c| inert_html(c)).collect();
        let shown = shown.join("\n");
        writeln!(
            out,
            "<h2>Check it without this program</h2><pre>{shown}</pre>"
        )?;
    }
    Ok(())
}

fn gaps(out: &mut String, report: &CollectionReport) -> fmt::Result {
    let mut gaps: Vec<_> = report.parts.iter().flat_map(|p| &p.gaps).collect();
    let all: u64 = report.parts.iter().map(|p| p.counts.gaps).sum();
    if all == 0 {
        return writeln!(
            out,
            "<h2>Gaps</h2><p>None were recorded in the parts that were opened.</p>"
        );
    }
    gaps.sort_by_key(|g| std::cmp::Reverse(g.severity));
    writeln!(
        out,
        "<h2>Gaps: {all}</h2><table><tr><th>Weight</th><th>Artifact</th>\
        <th>What</th><th>Why</th><th>More</th></tr>"
    )?;
    for gap in gaps {
        let weight = if gap.severity == Severity::Serious {
            "serious"
        } else {
            "ordinary"
        };
        let cells = [&gap.artifact, &gap.subject, &reason(gap), &gap.text].map(|c| inert_html(c));
        writeln!(
            out,
            "<tr><td>{weight}</td><td>{}</td></tr>",
            cells.join("</td><td>")
        )?;
    }
    writeln!(out, "</table>")
}

fn findings(out: &mut String, report: &CollectionReport) -> fmt::Result {
    let all = report.all_findings();
    if all.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<h2>Findings</h2><table><tr><th>Weight</th><th>Code</th><th>Where</th><th>What</th></tr>"
    )?;
    for (file, finding) in all {
        let weight = match finding.weight {
            Weight::Fatal => "not genuine",
            Weight::Reservation => "reservation",
            Weight::Note => "note",
        };
        let place = format!("{file} {}", finding.subject);
        let said = format!("{} {}", finding.code.meaning(), finding.text);
        writeln!(
            out,
            "<tr><td>{weight}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            finding.code,
            inert_html(place.trim()),
            inert_html(&said)
        )?;
    }
    writeln!(out, "</table>")
}

fn parts(out: &mut String, report: &CollectionReport) -> fmt::Result {
    writeln!(
        out,
        "<h2>Parts</h2><table><tr><th>Part</th><th>File</th><th>Bytes</th><th>SHA-256</th></tr>"
    )?;
    for part in &report.parts {
        let number = part
            .number
            .map_or_else(|| "?".to_owned(), |n| n.to_string());
        let plain = part
            .plain_sha256
            .map(|d| format!("ZIP {d}"))
            .unwrap_or_default();
        let cipher = part
            .cipher_sha256
            .map(|d| format!(" encrypted {d}"))
            .unwrap_or_default();
        let file = inert_html(&part.file);
        writeln!(
            out,
            "<tr><td>{number}</td><td>{file}</td><td>{}</td><td>{plain}{cipher}</td></tr>",
            part.size_bytes
        )?;
    }
    writeln!(out, "</table>")
}
