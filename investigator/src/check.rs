//! Checks evidence that lies on this machine: every part of some paths, and what comes out of all of them together.

use std::{
    fs,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use evidence::verify::{self, CollectionReport, Options, PartReport, Verdict};

use crate::{
    commands::{aside::Aside, files},
    report::Check,
};

/// What was found.
#[derive(Debug)]
pub struct Checked {
    /// By what, when and under whose roots.
    pub check: Check,
    /// One report a collection.
    pub reports: Vec<CollectionReport>,
    /// What lay there and was not taken into account.
    pub aside: Vec<Aside>,
    /// The worst of all.
    pub verdict: Verdict,
}

/// Checks every part that the paths name.
///
/// # Errors
/// A path can't be read, or there is no part.
pub fn paths(paths: &[PathBuf], options: &Options) -> anyhow::Result<Checked> {
    let files::Found { parts, aside } = files::parts(paths)?;
    let mut checked = Vec::with_capacity(parts.len());
    for path in &parts {
        checked.push(part(path, options)?);
    }
    let reports = verify::collections(checked);
    Ok(Checked {
        verdict: verify::overall(&reports),
        check: Check::now(options),
        reports,
        aside,
    })
}

fn part(path: &Path, options: &Options) -> anyhow::Result<PartReport> {
    let beside = files::beside(path)?;
    let name = path.display().to_string();
    // Opening a pipe would wait for a writer that never comes.
    if !fs::metadata(path).is_ok_and(|seen| seen.is_file()) {
        let nothing = io::Cursor::new([0; 0]);
        return Ok(verify::verify_part(name, nothing, &beside, options));
    }
    let file =
        fs::File::open(path).with_context(|| format!("{} can't be opened.", path.display()))?;
    Ok(verify::verify_part(
        name,
        BufReader::with_capacity(1 << 17, file),
        &beside,
        options,
    ))
}
