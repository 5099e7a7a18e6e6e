//! What a check found, for people (text, HTML) and for programs (JSON).

pub mod commands;
pub mod facts;
pub mod html;
pub mod reasons;
pub mod sections;
pub mod text;

use evidence::verify::{CollectionReport, Verdict};
use serde::Serialize;

use crate::commands::aside::Aside;

/// The heading over what was not taken into account.
pub(crate) const ASIDE: &str = "Lying there and not taken into account";

/// The result for programs: `v` grows when a field changes its meaning.
#[derive(Debug, Serialize)]
pub struct Json<'a> {
    v: u32,
    verdict: Verdict,
    exit_code: u8,
    headline: &'static str,
    collections: &'a [CollectionReport],
    aside: &'a [Aside],
}

impl<'a> Json<'a> {
    /// The result of a run, and what lay there and was not taken into account.
    pub fn new(verdict: Verdict, collections: &'a [CollectionReport], aside: &'a [Aside]) -> Self {
        Self {
            v: 1,
            verdict,
            exit_code: verdict.exit_code(),
            headline: verdict.headline(),
            collections,
            aside,
        }
    }
}
