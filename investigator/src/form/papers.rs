//! The receipts that lie beside the parts, and what each proves.

use std::path::Path;

use evidence::{instant::Instant, verify::CollectionReport};
use protocol::kit::layout;

use crate::{
    commands::files,
    report::facts::{leaf, time},
};

/// One receipt, or that there is none.
#[derive(Debug)]
pub(super) struct PaperRow {
    /// Of what.
    pub(super) of: String,
    /// What it says, and where the log has it.
    pub(super) says: String,
    /// Whether it proves what it says.
    pub(super) is_proof: bool,
    /// When evidence came to the server by it.
    pub(super) received: Option<Instant>,
}

impl PaperRow {
    fn lacking(of: String, says: impl Into<String>) -> Self {
        let says = says.into();
        Self {
            of,
            says,
            is_proof: false,
            received: None,
        }
    }
}

/// Of each part, of the key, and of the bringing in.
///
/// # Errors
/// A receipt is there and can't be read.
pub(super) fn of(report: &CollectionReport) -> anyhow::Result<Vec<PaperRow>> {
    let mut rows: Vec<_> = report.parts.iter().map(of_part).collect();
    if report.parts.iter().any(|p| p.enrolled) {
        rows.push(PaperRow {
            of: "The seal's key".to_owned(),
            says: "The custody log certifies it for whoever sealed.".to_owned(),
            is_proof: true,
            received: None,
        });
    } else {
        let says = "No receipt shows that the custody log knows it.";
        rows.push(PaperRow::lacking("The seal's key".to_owned(), says));
    }
    rows.extend(brought_in(report)?);
    Ok(rows)
}

fn of_part(part: &evidence::verify::PartReport) -> PaperRow {
    let of = format!("Part {}", super::named(part.number));
    match (part.received, &part.logged) {
        (Some(at), Some(logged)) => PaperRow {
            of,
            says: format!("Received by the server {}: {}", time(at), leaf(logged)),
            is_proof: true,
            received: Some(at),
        },
        _ => PaperRow::lacking(of, "No receipt proves that the server has it."),
    }
}

/// Of a kit's collection: that it was brought in by hand.
fn brought_in(report: &CollectionReport) -> anyhow::Result<Option<PaperRow>> {
    let of = || "Brought in by hand".to_owned();
    let mut opened = report.parts.iter().filter(|p| p.opened);
    let Some(part) = opened.next() else {
        return Ok(None);
    };
    let path = Path::new(&part.file).with_file_name(layout::IMPORTED);
    let is_of_kit = part.record.as_ref().is_some_and(|r| r.field.is_some());
    let Some(receipt) = files::read_if_there(&path)? else {
        let says = "No receipt shows that it was.";
        return Ok(is_of_kit.then(|| PaperRow::lacking(of(), says)));
    };
    Ok(Some(match part.imported(&receipt) {
        Ok(imported) => PaperRow {
            of: of(),
            says: format!("Taken in {}: {}", time(imported.at), leaf(&imported.logged)),
            is_proof: true,
            received: Some(imported.at),
        },
        Err(why) => PaperRow::lacking(of(), format!("The receipt proves nothing: {why}")),
    }))
}
