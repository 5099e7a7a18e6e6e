//! From whose hands into whose: what is known, and room for what follows.

use evidence::{records::CollectionRecord, verify::CollectionReport};

use super::{PaperRow, acquisition};
use crate::report::facts::{self, time};

/// Rows left empty for the hands to come.
pub(super) const EMPTY_ROWS: usize = 6;

/// One handing over.
#[derive(Debug)]
pub(super) struct Hand {
    /// When, and by which clock.
    pub(super) when: String,
    /// From whom.
    pub(super) from: String,
    /// To whom.
    pub(super) to: String,
    /// What for.
    pub(super) purpose: String,
}

fn from(record: &CollectionRecord) -> String {
    let host = &record.host_identity.hostname;
    match record.dead_disk {
        None => format!("the host {host}"),
        Some(_) => format!("the disk of the host {host}"),
    }
}

/// What is known of the hands that the collection went through.
pub(super) fn of(report: &CollectionReport, papers: &[PaperRow]) -> Vec<Hand> {
    let mut hands = Vec::new();
    let who = acquisition::operator(report);
    if let Some(record) = facts::first(report) {
        hands.push(Hand {
            when: format!("{} ({})", time(record.started), facts::clock(record).name),
            from: from(record),
            to: who.clone(),
            purpose: "collected and sealed".to_owned(),
        });
    }
    if let Some(at) = papers.iter().filter_map(|p| p.received).max() {
        hands.push(Hand {
            when: format!("{} (server's clock)", time(at)),
            from: who,
            to: "the server".to_owned(),
            purpose: "taken in; the custody log has it".to_owned(),
        });
    }
    hands
}
