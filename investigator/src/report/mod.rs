//! What a check found, for people (text, HTML) and for programs (JSON).

pub mod commands;
pub mod facts;
pub mod html;
pub mod reasons;
pub mod sections;
pub mod text;

use std::path::Path;

use evidence::{
    digest::Digest,
    instant::Instant,
    verify::{CollectionReport, Options, Verdict},
};
use serde::Serialize;

use crate::commands::aside::Aside;

/// The heading over what was not taken into account.
pub(crate) const ASIDE: &str = "Lying there and not taken into account";

/// Whether a file of this name is to be a page, and no text.
pub fn is_page(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("html"))
}

/// By what, when and under whose roots a check was made.
#[derive(Debug, Serialize)]
pub struct Check {
    /// The program and its version.
    pub program: String,
    /// When, by the clock of the machine that checked.
    pub at: Instant,
    /// The SHA-256 of each root certificate that was believed.
    pub roots_sha256: Vec<Digest>,
    /// The same for time-stamping authorities.
    pub stamp_roots_sha256: Vec<Digest>,
}

impl Check {
    /// A check by this program, now, with `options`.
    pub fn now(options: &Options) -> Self {
        Self {
            program: format!("fieldseal {}", env!("CARGO_PKG_VERSION")),
            at: Instant::now(),
            roots_sha256: options.trust.fingerprints(),
            stamp_roots_sha256: options.stamp_trust.fingerprints(),
        }
    }
}

/// The result for programs: `v` grows when a field changes its meaning.
#[derive(Debug, Serialize)]
pub struct Json<'a> {
    v: u32,
    verdict: Verdict,
    exit_code: u8,
    headline: &'static str,
    check: &'a Check,
    collections: &'a [CollectionReport],
    aside: &'a [Aside],
}

impl<'a> Json<'a> {
    /// The result of a run, and what lay there and was not taken into account.
    pub fn new(
        verdict: Verdict,
        check: &'a Check,
        collections: &'a [CollectionReport],
        aside: &'a [Aside],
    ) -> Self {
        Self {
            v: 1,
            verdict,
            exit_code: verdict.exit_code(),
            headline: verdict.headline(),
            check,
            collections,
            aside,
        }
    }
}
