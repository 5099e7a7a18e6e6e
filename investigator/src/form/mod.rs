//! The chain-of-custody form, filled in: what ISO/IEC 27037 asks of the record of an acquisition, out of what was verified.
//!
//! It is made where the vault's key is and never on the stick, which tells nothing when it is lost.

mod acquisition;
mod hands;
mod html;
mod papers;
mod text;

use std::path::Path;

use evidence::{
    count,
    verify::{CollectionReport, PartReport, Verdict, Weight},
};

use self::{hands::Hand, papers::PaperRow};
use crate::report::{
    Check,
    facts::{self, Group},
    reasons,
};

pub use self::{html::page, text::whole};

/// One collection's form; every string may be hostile text.
#[derive(Debug)]
pub struct Form {
    /// The collection.
    collection: String,
    /// What the check came to.
    verdict: Verdict,
    /// The facts by question.
    groups: Vec<Group>,
    /// The files.
    parts: Vec<PartRow>,
    /// What the custody log says of them.
    papers: Vec<PaperRow>,
    /// What speaks against the evidence, or is missing.
    against: Vec<String>,
    /// From whose hands into whose, as far as it is known.
    hands: Vec<Hand>,
    /// Who collected, to sign.
    operator: String,
}

/// One file.
#[derive(Debug)]
struct PartRow {
    number: String,
    file: String,
    size_bytes: u64,
    stored_sha256: String,
    plain_sha256: String,
    sealed: String,
}

impl Form {
    /// The form of a collection that was checked.
    ///
    /// # Errors
    /// What lies beside the parts can't be read.
    pub fn of(check: &Check, report: &CollectionReport) -> anyhow::Result<Self> {
        let papers = papers::of(report)?;
        let sealer = acquisition::sealer(report);
        let groups = vec![
            acquisition::order(report),
            acquisition::host(report),
            acquisition::acquisition(report),
            sealer,
            facts::checked(check),
        ];
        Ok(Self {
            collection: named(report.collection),
            verdict: report.verdict,
            groups: groups.into_iter().filter(|g| !g.facts.is_empty()).collect(),
            parts: report.parts.iter().map(PartRow::of).collect(),
            against: against(report),
            hands: hands::of(report, &papers),
            papers,
            operator: acquisition::operator(report),
        })
    }

    /// Whether the evidence is what was sealed.
    fn is_genuine(&self) -> bool {
        self.verdict != Verdict::NotGenuine
    }
}

impl PartRow {
    fn of(part: &PartReport) -> Self {
        let sealed = part
            .time
            .map(|t| format!("{}, {}", facts::time(t.at), t.basis.in_words()));
        Self {
            number: named(part.number),
            file: name(&part.file),
            size_bytes: part.size_bytes,
            stored_sha256: named(part.cipher_sha256.or(part.plain_sha256)),
            plain_sha256: named(part.plain_sha256),
            sealed: sealed.unwrap_or_else(|| "not known".to_owned()),
        }
    }
}

/// A file's own name: where it lies on this machine is nobody's business.
fn name(path: &str) -> String {
    let name = Path::new(path).file_name();
    name.map_or_else(
        || path.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// What is known, or that it is not.
fn named(what: Option<impl ToString>) -> String {
    what.map_or_else(|| "not known".to_owned(), |what| what.to_string())
}

/// Every reason against the evidence, the weightiest first, in a sentence each with the places where it was found.
fn against(report: &CollectionReport) -> Vec<String> {
    let weights = [Weight::Fatal, Weight::Reservation];
    let found = weights.map(|weight| reasons::of_weight(report, weight));
    let mut said = Vec::new();
    for reason in found.into_iter().flatten() {
        let places = reason.places.len() as u64 + reason.more;
        let times = count::of(places, "place", "places");
        said.push(format!(
            "{} ({}, {times})",
            reason.code.meaning(),
            reason.code
        ));
    }
    said
}

#[cfg(test)]
mod tests {
    use evidence::verify::Options;

    use super::*;
    use crate::{
        case::testing::{Draft, trust},
        check,
    };

    #[test]
    fn what_a_host_says_of_itself_steers_no_page_and_no_terminal() {
        let dir = tempfile::tempdir().unwrap();
        let hostile = Draft {
            hostname: "<script>alert('1')</script>\u{1b}[2J\u{202e}\n".to_owned(),
            case: Some("\"><img src=x>".to_owned()),
            ..Draft::default()
        };
        hostile.make(dir.path());
        let options = Options {
            trust: trust(),
            ..Options::default()
        };
        let checked = check::paths(&[dir.path().to_owned()], &options).unwrap();
        let forms = [Form::of(&checked.check, &checked.reports[0]).unwrap()];
        let (page, text) = (page(&forms).unwrap(), whole(&forms));
        assert!(
            page.contains("&lt;script&gt;") && page.contains("&lt;img"),
            "{page}"
        );
        for said in [&page, &text] {
            assert!(said.contains("\\u{1b}[2J\\u{202e}\\u{a}"), "{said}");
        }
        assert!(
            !page.contains("<script") && !page.contains("<img"),
            "{page}"
        );
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
    }
}
