//! What a report says of a collection and in which order: one list, which each form renders.

use evidence::{
    gap::Gap,
    ids::CollectionId,
    verify::{CollectionReport, PartReport, Verdict, Weight},
};

use super::{
    Check, commands,
    facts::{self, Group},
    reasons::{self, Reason},
};

/// The gaps of all parts.
#[derive(Debug)]
pub struct Gaps<'r> {
    /// How many there are.
    pub all: u64,
    /// How many of them are serious.
    pub serious: u64,
    /// Those that were kept, serious ones first.
    pub kept: Vec<&'r Gap>,
}

/// One thing that a report says; strings may be hostile text.
#[derive(Debug)]
pub enum Section<'r> {
    /// The answer, and of which collection.
    Verdict(Verdict, Option<CollectionId>),
    /// What was asked for and not obtained.
    Gaps(Gaps<'r>),
    /// Reasons of one weight below a heading.
    Reasons(&'static str, Vec<Reason>),
    /// How many findings were counted without being kept.
    LeftOut(u64),
    /// Facts that answer one question.
    Facts(Group),
    /// The parts and their digests.
    Parts(&'r [PartReport]),
    /// What was not checked.
    NotChecked(Vec<&'r str>),
    /// Steps in words with the standard commands for each.
    Commands(Vec<(String, Vec<String>)>),
}

/// All that is to be said, in its order: gaps first, then what speaks against it; what is empty is left out.
pub fn of<'r>(check: &Check, report: &'r CollectionReport) -> Vec<Section<'r>> {
    let against = reasons::AGAINST
        .map(|(weight, head)| Section::Reasons(head, reasons::of_weight(report, weight)));
    let mut sections = vec![
        Section::Verdict(report.verdict, report.collection),
        Section::Gaps(gaps(report)),
    ];
    sections.extend(against);
    sections.push(Section::LeftOut(reasons::left_out(report)));
    sections.extend(facts::groups(check, report).into_iter().map(Section::Facts));
    sections.extend([
        Section::Parts(&report.parts),
        Section::Reasons("Notes", reasons::of_weight(report, Weight::Note)),
        Section::NotChecked(reasons::not_checked(report)),
        Section::Commands(commands::without_us(report)),
    ]);
    sections.retain(|section| !section.is_empty());
    sections
}

impl Section<'_> {
    /// Whether it has nothing to say. That there are no gaps is said too.
    fn is_empty(&self) -> bool {
        match self {
            Self::Verdict(..) | Self::Gaps(_) => false,
            Self::Reasons(_, reasons) => reasons.is_empty(),
            Self::LeftOut(count) => *count == 0,
            Self::Facts(group) => group.facts.is_empty(),
            Self::Parts(parts) => parts.is_empty(),
            Self::NotChecked(what) => what.is_empty(),
            Self::Commands(steps) => steps.is_empty(),
        }
    }
}

fn gaps(report: &CollectionReport) -> Gaps<'_> {
    let mut kept: Vec<_> = report.parts.iter().flat_map(|p| &p.gaps).collect();
    kept.sort_by_key(|g| std::cmp::Reverse(g.severity));
    Gaps {
        all: report.parts.iter().map(|p| p.counts.gaps).sum(),
        serious: report.parts.iter().map(|p| p.counts.serious_gaps).sum(),
        kept,
    }
}
