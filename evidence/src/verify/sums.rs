//! SHA256SUMS against the entries: its grammar, its order, each entry once, none outside.

use std::collections::{HashMap, HashSet};

use super::{
    contents::Entry,
    verdict::{Code, Findings},
};
use crate::digest::Digest;

/// Name of the list of digests.
pub(super) const SUMS: &str = "SHA256SUMS";
/// Name of the seal.
pub(super) const SEAL: &str = "SHA256SUMS.p7s";

/// One line: the digest that was sealed for an entry.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    sha256: Digest,
    name: &'a str,
}

/// Compares the sealed list with the entries that the part holds.
pub(super) fn check(sums: &[u8], entries: &[Entry], findings: &mut Findings) {
    let lines = parse(sums, findings);
    let stored: HashMap<&str, (usize, &Entry)> = entries
        .iter()
        .filter(|e| is_sealed(e))
        .enumerate()
        .map(|(at, e)| (e.name.as_str(), (at, e)))
        .collect();
    let mut listed = HashSet::new();
    let mut next = 0;
    for line in &lines {
        if !listed.insert(line.name) {
            findings.add(
                Code::SumsDuplicate,
                line.name,
                "It is listed more than once.",
            );
            continue;
        }
        let Some((at, entry)) = stored.get(line.name) else {
            findings.add(
                Code::SumsAbsent,
                line.name,
                "It was sealed and is not in the part.",
            );
            continue;
        };
        if *at < next {
            findings.add(
                Code::SumsOrder,
                line.name,
                "It is listed after entries that it precedes.",
            );
        }
        next = next.max(*at + 1);
        if entry.sha256 != line.sha256 {
            let text = format!("Sealed as {}, but is {}.", line.sha256, entry.sha256);
            findings.add(Code::SumsDigest, line.name, text);
        }
    }
    for entry in entries.iter().filter(|e| is_sealed(e)) {
        if !listed.contains(entry.name.as_str()) {
            findings.add(
                Code::SumsUnlisted,
                &*entry.name,
                "It is in the part, but not sealed.",
            );
        }
    }
}

/// Neither the list, nor its signature, nor a folder is listed.
fn is_sealed(entry: &Entry) -> bool {
    entry.name != SUMS && entry.name != SEAL && !entry.is_folder()
}

fn parse<'a>(sums: &'a [u8], findings: &mut Findings) -> Vec<Line<'a>> {
    let Ok(text) = std::str::from_utf8(sums) else {
        findings.add(Code::SumsGrammar, SUMS, "It is not UTF-8 text.");
        return Vec::new();
    };
    let mut lines = Vec::new();
    for (at, raw) in text.split_inclusive('\n').enumerate() {
        if let Some(line) = parse_line(raw) {
            lines.push(line);
        } else {
            let text = format!(
                "Line {} is not `digest, two spaces, name, line feed`.",
                at + 1
            );
            findings.add(Code::SumsGrammar, SUMS, text);
        }
    }
    lines
}

fn parse_line(raw: &str) -> Option<Line<'_>> {
    let (digest, name) = raw.strip_suffix('\n')?.split_once("  ")?;
    // A carriage return or a leading `*` would make coreutils read something else than we do.
    if name.is_empty() || name.starts_with('*') || name.contains(['\r', '\\']) {
        return None;
    }
    let sha256 = digest.parse().ok()?;
    Some(Line { sha256, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar_is_exact() {
        let digest = Digest::of(b"");
        assert!(parse_line(&format!("{digest}  a b\n")).is_some());
        for wrong in [
            format!("{digest} a\n"),
            format!("{digest} *a\n"),
            format!("{digest}  a"),
            format!("{digest}  \n"),
            format!("{digest}  a\r\n"),
            format!("{}  a\n", digest.to_string().to_uppercase()),
            format!("\\{digest}  a\n"),
            "\n".to_owned(),
        ] {
            assert_eq!(parse_line(&wrong), None, "{wrong:?}");
        }
    }
}
