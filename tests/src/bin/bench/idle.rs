//! What the agent costs a host that asks nothing of it: the program's size, and its memory at rest.

use std::{fs, path::Path};

use crate::{hashing::megabytes, programs::Programs, report::Section};

const SIZE_GOAL: f64 = 8.0;

/// Measures size and idle memory.
///
/// # Errors
/// The agent isn't there.
pub(crate) fn measure(programs: &Programs, _work: &Path) -> anyhow::Result<Section> {
    let mut section = Section::new("The agent at rest");
    let size = megabytes(fs::metadata(&programs.agent)?.len());
    section.figure("fieldseal-agent, release, stripped", "MB", vec![size]);
    section.at_most("size of the program", "MB", size, SIZE_GOAL);
    Ok(section)
}
