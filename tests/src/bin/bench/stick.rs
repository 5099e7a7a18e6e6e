//! Collecting onto a stick against acquire, for the same files: time, memory, and the bytes that reach the stick for each
//! byte of evidence that lies there at the end.
//!
//! The stick is FAT32 in an image, by a driver that is a program: what it writes into the image is counted, its tables
//! included, and its speed is near that of a real stick's.

use std::{fs, path::Path};

use anyhow::Context as _;
use fieldseal_tests::stick::{Kind, Stick};

use crate::{
    hashing::megabytes,
    process::{Run, written_bytes},
    programs::Programs,
    report::Section,
    triage::{acquire, collect, without_hashes},
};

/// Sparse: it takes what is written.
const STICK_MIB: u64 = 8 << 10;
const SPEED_GOAL: (f64, f64) = (5.0, 2.0);
const MEMORY_GOAL: f64 = 64.0;
/// The driver's own tables and lists of names included.
const WRITTEN_GOAL: f64 = 1.1;

/// One run onto a fresh stick.
struct Onto {
    seconds: f64,
    peak_megabytes: f64,
    evidence_bytes: u64,
    written_for_each: f64,
}

/// Measures it.
///
/// # Errors
/// A command or the stick fails.
pub(crate) fn measure(programs: &Programs, work: &Path, runs: u32) -> anyhow::Result<Section> {
    let mut section = Section::new("Onto a FAT32 stick, the host warm");
    let profile = without_hashes(work)?;
    let ours = |folder: &Path| collect(programs, &profile, folder, true);
    let Some(program) = &programs.acquire else {
        section.skip("acquire is not on PATH. Install it in a venv, and give --acquire FILE.");
        return Ok(section);
    };
    let theirs = |folder: &Path| acquire(program, folder);
    // Once each unmeasured: what was cold is warm then.
    for gather in [&ours as &dyn Fn(&Path) -> _, &theirs] {
        onto(work, gather)?;
    }
    let (mut agent, mut other) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        agent.push(onto(work, &ours)?);
        other.push(onto(work, &theirs)?);
    }
    let (agent, other) = (
        told(&mut section, "the agent, encrypted", &agent),
        told(&mut section, "acquire -o STICK", &other),
    );
    let (goal, least) = SPEED_GOAL;
    let faster = other.0 / agent.0;
    section.at_least("times as fast as acquire", "x", faster, goal, least);
    section.at_most("the agent's peak memory", "MB", agent.1, MEMORY_GOAL);
    let name = "written to the stick for each byte of evidence";
    section.at_most(name, "x", agent.2, WRITTEN_GOAL);
    Ok(section)
}

/// Tells the figures of one program; gives the medians of time, memory and what was written for each byte.
fn told(section: &mut Section, who: &str, runs: &[Onto]) -> (f64, f64, f64) {
    let of = |value: fn(&Onto) -> f64| runs.iter().map(value).collect::<Vec<_>>();
    let evidence = of(|run| megabytes(run.evidence_bytes));
    section.figure(format!("{who}: evidence on the stick"), "MB", evidence);
    let written = of(|run| run.written_for_each);
    (
        section.figure(who.to_owned(), "s", of(|run| run.seconds)),
        section.figure(
            format!("{who}: peak memory"),
            "MB",
            of(|run| run.peak_megabytes),
        ),
        section.figure(format!("{who}: written for each byte of it"), "x", written),
    )
}

fn onto(work: &Path, gather: &dyn Fn(&Path) -> anyhow::Result<Run>) -> anyhow::Result<Onto> {
    let place = tempfile::tempdir_in(work)?;
    let mut stick = Stick::plug_in(place.path(), Kind::Fat32, STICK_MIB)?;
    let driver = stick.driver().context("the driver is a process")?;
    let written = || written_bytes(driver).context("the driver is gone");
    let before = written()?;
    let folder = stick.path().join("evidence");
    let ran = gather(&folder)?;
    let written = written()? - before;
    let evidence_bytes = size_of(&folder)?;
    stick.unmount()?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let written_for_each = written as f64 / evidence_bytes as f64;
    Ok(Onto {
        seconds: ran.seconds,
        peak_megabytes: megabytes(ran.peak_bytes),
        evidence_bytes,
        written_for_each,
    })
}

fn size_of(folder: &Path) -> anyhow::Result<u64> {
    let mut size_bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let seen = entry.metadata()?;
        size_bytes += match seen.is_dir() {
            true => size_of(&entry.path())?,
            false => seen.len(),
        };
    }
    Ok(size_bytes)
}
