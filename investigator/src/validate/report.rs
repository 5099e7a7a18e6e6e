//! The report that a lab files with its tool validation: for programs (JSON), and as a page to print.

use std::path::PathBuf;

use askama::Template;
use evidence::{digest::Digest, instant::Instant, records::HostIdentity};
use serde::Serialize;

use super::compare::Row;

/// What was validated, with what, where, when, and how it came out. `v` grows when a field changes its meaning.
#[derive(Debug, Serialize)]
pub struct Report {
    /// 1.
    pub v: u32,
    /// Whether everything was as expected.
    pub holds: bool,
    /// When it began.
    pub begun: Instant,
    /// When it ended.
    pub ended: Instant,
    /// Who did it, as told.
    pub by: Option<String>,
    /// The programs.
    pub tools: Vec<Tool>,
    /// The known answers.
    pub answers_sha256: Digest,
    /// The machine, as the agent tells.
    pub machine: Option<HostIdentity>,
    /// The profile that was collected with.
    pub profile: String,
    /// The result, matter by matter.
    pub rows: Vec<Row>,
    /// The evidence that stays for whoever wants to look.
    pub parts: Vec<PartFile>,
}

/// One part of the evidence as it lies there.
#[derive(Debug, Serialize)]
pub struct PartFile {
    /// Its path.
    pub path: PathBuf,
    /// Its size.
    pub size_bytes: u64,
    /// Its digest, encrypted as it is.
    pub sha256: Digest,
}

/// A program that took part.
#[derive(Debug, Serialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of its file.
    pub sha256: Digest,
}

#[derive(Template)]
#[template(path = "validation.html")]
struct Page<'r> {
    report: &'r Report,
}

impl Report {
    /// The page to print.
    ///
    /// # Errors
    /// It can't be made.
    pub fn page(&self) -> anyhow::Result<String> {
        Ok(Page { report: self }.render()?)
    }

    /// A line for each matter, and the outcome.
    pub fn text(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let word = if row.holds() { "ok    " } else { "DIFFERS" };
            let told: String = row
                .differences
                .iter()
                .map(|d| format!("\n          {d}"))
                .collect();
            format!(
                "{word:<8}{:<40}{} of {}{told}",
                row.what, row.found, row.expected
            )
        });
        let rows: Vec<_> = rows.collect();
        format!("{}\n{}", rows.join("\n"), self.headline())
    }

    /// The outcome in a sentence.
    pub fn headline(&self) -> &'static str {
        match self.holds {
            true => "Everything is as expected.",
            false => {
                "The tools do NOT do what is expected of them. Do not use them before it is known why."
            }
        }
    }
}
