//! What the agent costs a host that asks nothing of it: the program's size, and the memory of an enrolled agent at rest.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use fieldseal_tests::stage::Stage;

use crate::{hashing::megabytes, process, programs::Programs, report::Section};

const SIZE_GOAL: f64 = 8.0;
const MEMORY_GOAL: f64 = 10.0;
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

    let folder = work.join("deployment");
    let _ = fs::remove_dir_all(&folder);
    let mut stage = Stage::new(&folder, |_| {})?;
    if !stage.programs().ends_with("release") {
        section.note("the deployment's programs are not built in release: their memory is higher");
    }
    stage.make_person("ann", "Ann Example", &["investigator", "admin"])?;
    let vaults = [stage.make_vault("one")?, stage.make_vault("two")?];
    stage.init(&["ann"], &vaults, &[])?;
    stage.serve()?;
    stage.enrol("ann", &["bench"])?;
    stage.run_agent()?;
    let held = at_rest(&mut section)?;
    stage.stop()?;
    section.figure("idle agent, PSS of all its processes", "MB", vec![held]);
    section.at_most("idle memory", "MB", held, MEMORY_GOAL);
    Ok(section)
}

/// Waits until the agent's processes hold the same for a while; gives the sum of their shares.
fn at_rest(section: &mut Section) -> anyhow::Result<f64> {
    let start = Instant::now();
    let mut before = Vec::new();
    loop {
        thread::sleep(LOOK);
        let now = agents()?;
        // The supervisor and the two halves.
        let is_whole = now.len() >= 3;
        if (is_whole && now == before) || start.elapsed() > PATIENCE {
            ensure!(is_whole, "only {} of the agent's processes run", now.len());
            for (name, bytes) in &now {
                section.note(format!("{name}: {:.1} MB", megabytes(*bytes)));
            }
            return Ok(megabytes(now.iter().map(|(_, bytes)| bytes).sum()));
        }
        before = now;
    }
}

/// The agent's processes below this one, by their command lines, and what each holds.
fn agents() -> anyhow::Result<Vec<(String, u64)>> {
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
            found.push((format!("agent {}", name.join(" ")), bytes));
        }
    }
    Ok(found)
}
