//! What a check found, for people (text, HTML) and for programs (JSON).

pub mod commands;
pub mod facts;
pub mod html;
pub mod reasons;
pub mod text;

use evidence::verify::{CollectionReport, Verdict};
use serde::Serialize;

/// The result for programs: `v` grows when a field changes its meaning.
#[derive(Debug, Serialize)]
pub struct Json<'a> {
    v: u32,
    verdict: Verdict,
    exit_code: u8,
    headline: &'static str,
    collections: &'a [CollectionReport],
}

impl<'a> Json<'a> {
    /// The result of a run.
    pub fn new(verdict: Verdict, collections: &'a [CollectionReport]) -> Self {
        Self {
            v: 1,
            verdict,
            exit_code: verdict.exit_code(),
            headline: verdict.headline(),
            collections,
        }
    }
}
