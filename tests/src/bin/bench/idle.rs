//! What the agent costs a host that asks nothing of it, and how soon it answers: the program's size, the memory of an
//! enrolled agent at rest, and the time from an order to part 1 at the server.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant as Moment},
};

use anyhow::{Context as _, ensure};
use evidence::instant::Instant;
use fieldseal_tests::{args, stage::Stage};
use serde::Deserialize;

use crate::{
    hashing::megabytes,
    process,
    programs::Programs,
    report::{Section, median},
};

const SIZE_GOAL: f64 = 8.0;
const MEMORY_GOAL: f64 = 10.0;
const PART_1_GOAL: f64 = 2.0;
const ORDERS: usize = 3;
/// Between two looks; the agent is at rest once two of them see the same.
const LOOK: Duration = Duration::from_secs(2);
/// When it is measured whether it came to rest or not.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures size and idle memory.
///
/// # Errors
/// A deployment can't be set up on this machine, or the agent doesn't run in it.
pub(crate) fn measure(programs: &Programs, work: &Path) -> anyhow::Result<Section> {
    let mut section = Section::new("The agent at rest");
    let size = megabytes(fs::metadata(&programs.agent)?.len());
    section.figure("fieldseal-agent, release, stripped", "MB", vec![size]);
    section.at_most("size of the program", "MB", size, SIZE_GOAL);

    let mut stage = enrolled(&work.join("deployment"), &mut section)?;
    let held = at_rest(&mut section)?;
    for _ in 0..ORDERS {
        triage(&stage)?;
    }
    let waits = waits(&stage)?;
    stage.stop()?;
    section.figure("idle agent, PSS of all its processes", "MB", vec![held]);
    section.at_most("idle memory", "MB", held, MEMORY_GOAL);
    let wait = median(&waits);
    section.figure("from a triage's order to part 1 at the server", "s", waits);
    section.at_most("part 1 after its order", "s", wait, PART_1_GOAL);
    Ok(section)
}

/// A deployment in the new folder `folder` with one agent, which runs.
///
/// # Errors
/// It can't be set up on this machine.
pub(crate) fn enrolled(folder: &Path, section: &mut Section) -> anyhow::Result<Stage> {
    let _ = fs::remove_dir_all(folder);
    let people: [(&str, &str, &[&str]); 1] = [("ann", "Ann Example", &["investigator", "admin"])];
    let mut stage = Stage::deployed(folder, |_| {}, &people, &[], "bench")?;
    if !stage.programs().ends_with("release") {
        section.note("the deployment's programs are not built in release: their memory is higher");
    }
    stage.run_agent()?;
    Ok(stage)
}

/// Orders a triage and waits until it is delivered.
fn triage(stage: &Stage) -> anyhow::Result<()> {
    let outcome = stage.fieldseal(&args![
        "collect",
        "--where",
        "label=bench",
        "--profile",
        "triage",
        "--case",
        "BENCH",
        "--reason",
        "to measure",
        "--watch"
    ])?;
    ensure!(
        matches!(outcome.code, 0 | 2),
        "a triage failed: {}",
        outcome.err
    );
    Ok(())
}

/// From each order to its part 1, seconds, by the times that stand in the custody log.
fn waits(stage: &Stage) -> anyhow::Result<Vec<f64>> {
    #[derive(Deserialize)]
    struct Told {
        audit: Audit,
    }
    #[derive(Deserialize)]
    struct Audit {
        rows: Vec<Row>,
    }
    #[derive(Deserialize)]
    struct Row {
        event: String,
        time: Instant,
        part: Option<u32>,
    }
    let outcome = stage.fieldseal(&args!["audit", "--json"])?;
    let told: Told = serde_json::from_str(&outcome.out).context("the audit does not read")?;
    let mut ordered = None;
    let mut waits = Vec::new();
    for row in told.audit.rows {
        match (row.event.as_str(), row.part) {
            ("ordered", _) => ordered = Some(row.time),
            ("received", Some(1)) => waits.extend(ordered.take().map(|t| seconds(t, row.time))),
            _ => {}
        }
    }
    ensure!(waits.len() == ORDERS, "{} parts 1 arrived", waits.len());
    Ok(waits)
}

fn seconds(from: Instant, to: Instant) -> f64 {
    let at = |t: Instant| t.seconds as f64 + f64::from(t.ns) / 1e9;
    at(to) - at(from)
}

/// Waits until the agent's processes hold the same for a while; gives the sum of their shares.
fn at_rest(section: &mut Section) -> anyhow::Result<f64> {
    let start = Moment::now();
    let mut before = Vec::new();
    loop {
        thread::sleep(LOOK);
        let now = agents()?;
        // The supervisor and the two halves.
        let is_whole = now.len() >= 3;
        if (is_whole && now == before) || start.elapsed() > PATIENCE {
            ensure!(is_whole, "only {} of the agent's processes run", now.len());
            for (name, _, bytes) in &now {
                section.note(format!("{name}: {:.1} MB", megabytes(*bytes)));
            }
            return Ok(megabytes(now.iter().map(|(_, _, bytes)| bytes).sum()));
        }
        before = now;
    }
}

/// The agent's processes below this one, by their command lines, their ids, and what each holds.
///
/// # Errors
/// One of them ends meanwhile.
pub(crate) fn agents() -> anyhow::Result<Vec<(String, u32, u64)>> {
    let mut found = Vec::new();
    for pid in process::with_descendants(std::process::id()) {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line
            .split(|b| *b == 0)
            .map(String::from_utf8_lossy)
            .collect();
        // Started by descriptor, two of them are called /proc/self/exe.
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        if exe
            .file_name()
            .is_some_and(|name| name == "fieldseal-agent")
        {
            let name: Vec<_> = words.iter().skip(1).take(2).map(|w| &**w).collect();
            let bytes = process::pss_bytes(pid).context("a process of the agent ended")?;
            found.push((format!("agent {}", name.join(" ")), pid, bytes));
        }
    }
    Ok(found)
}
