//! Kits as people build and use them: what is collected, the folder, and the start on a host.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::Value;

use crate::{programs::Outcome, stage::Stage};

/// Who collects.
pub const OPERATOR: &str = "Olga Operator";

/// `fieldseal kit build` by the person of the stage's home.
///
/// # Errors
/// It can't be started.
pub fn build(stage: &Stage, more: &[OsString]) -> anyhow::Result<Outcome> {
    let common = args![
        "kit",
        "build",
        "--case",
        "K-1",
        "--reason",
        "no network there"
    ];
    let all: Vec<_> = common.iter().chain(more).cloned().collect();
    stage.fieldseal(&all)
}

/// What a program said for other programs, in its last line.
///
/// # Errors
/// It is no JSON.
pub fn json(text: &str) -> anyhow::Result<Value> {
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| text.to_owned())
}

/// Every file below, whatever it is.
///
/// # Errors
/// The folder can't be read.
pub fn files(below: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    Ok(found)
}
