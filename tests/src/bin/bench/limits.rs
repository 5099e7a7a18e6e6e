//! Whether the agent keeps to its limits, and what a host at work notices of it: the share of the processors and the rate
//! of reads over every ten seconds, and the throughput of a competing load beside an agent that gives way.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::{
    load::Load,
    process,
    programs::Programs,
    report::{Section, cores},
    tree,
};

const CPU_PERCENT: f64 = 10.0;
/// The share may be from 8 to 12 %.
const CPU_LEEWAY: f64 = 2.0;
const IO_MIB: f64 = 20.0;
/// The rate may be a tenth beside it.
const IO_LEEWAY: f64 = 2.0;
const LOST_GOAL: f64 = 5.0;
const MIB: f64 = (1 << 20) as f64;
/// Over so long a limit holds.
const WINDOW: Duration = Duration::from_secs(10);
/// How long a limited run is looked at.
const WATCHED: Duration = Duration::from_secs(25);
const LOOK: Duration = Duration::from_millis(100);
/// From start to the first window: the program is loaded, the other half started.
const SETTLED: Duration = Duration::from_secs(1);
/// How long a competing load is measured.
const TURN: Duration = Duration::from_secs(6);

/// Measures the limits, and what is left to others.
///
/// # Errors
/// The agent can't be started, or ends before it was looked at for long enough.
pub(crate) fn measure(programs: &Programs, work: &Path, runs: u32) -> anyhow::Result<Section> {
    let tree = tree::generated(work)?;
    tree::warm(&tree)?;
    let mut section = Section::new("Limits, and a host at work");
    let cpu = watch(programs, work, &tree, "cpu_percent: 10", |agent| {
        Some(agent.cpu_seconds()? / cores_f64() * 100.0)
    })?;
    judge(
        &mut section,
        "cpu_percent: 10",
        "%",
        &cpu,
        (CPU_PERCENT, CPU_LEEWAY),
    );
    let io = watch(
        programs,
        work,
        &tree,
        "io_bytes_per_second: 20971520",
        |agent| Some(agent.read_bytes()? / MIB),
    )?;
    judge(
        &mut section,
        "io_bytes_per_second: 20 MiB",
        "MiB/s",
        &io,
        (IO_MIB, IO_LEEWAY),
    );
    for load in [Load::Processors, Load::Reads, Load::Writes] {
        beside(&mut section, programs, work, &tree, load, runs)?;
    }
    Ok(section)
}

/// The least and the most of all windows.
fn judge(
    section: &mut Section,
    name: &str,
    unit: &'static str,
    windows: &[f64],
    (limit, leeway): (f64, f64),
) {
    let most = windows.iter().copied().fold(f64::MIN, f64::max);
    let least = windows.iter().copied().fold(f64::MAX, f64::min);
    section.figure(
        format!("{name}: each 10 s of {} s", WATCHED.as_secs()),
        unit,
        windows.to_vec(),
    );
    section.at_most(
        &format!("{name}: most in any 10 s"),
        unit,
        most,
        limit + leeway,
    );
    let floor = limit - leeway;
    section.at_least(
        &format!("{name}: least in any 10 s"),
        unit,
        least,
        floor,
        floor,
    );
}

/// An agent that hashes and has not come to its end.
struct Agent(Child);

impl Agent {
    /// Hashes by all three kinds of digests, under `limits`.
    fn start(
        programs: &Programs,
        work: &Path,
        tree: &Path,
        (limits, is_polite): (&str, bool),
    ) -> anyhow::Result<Self> {
        let output = work.join("limited");
        let _ = fs::remove_dir_all(&output);
        let mut command = Command::new(&programs.agent);
        command.args(["collect", "--unencrypted", "--profile"]);
        command.arg(profile(work, tree, limits)?);
        command.arg("--output").arg(&output);
        if !is_polite {
            command.arg("--foreground");
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Self(child.context("the agent can't be started")?))
    }

    /// Of both halves, since their start.
    fn cpu_seconds(&self) -> Option<f64> {
        let all = process::with_descendants(self.0.id());
        all.into_iter().map(process::cpu_seconds).sum()
    }

    /// What the half that reads has read by system calls: files, and some bytes of the link to the other half.
    fn read_bytes(&self) -> Option<f64> {
        process::read_bytes(self.0.id()).map(|bytes| bytes as f64)
    }

    fn is_at_work(&mut self) -> anyhow::Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // What it has gathered is of no use; the other half ends with the link.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Hashing that takes longer than anything is looked at: three digests of each file, and the system's own after the tree's.
fn profile(work: &Path, tree: &Path, limits: &str) -> anyhow::Result<PathBuf> {
    let path = work.join("limited.yaml");
    let root = serde_json::to_string(tree.to_str().context("the tree's path is not UTF-8")?)?;
    let text = format!(
        "v: 1\nname: limited\nabout: Hashes of one tree\nartifacts:\n\
         - {{name: file_hashes, options: {{md5: true, sha1: true}}}}\n\
         paths: [{root}, /usr]\nlimits: {{{limits}}}\n"
    );
    fs::write(&path, text)?;
    Ok(path)
}

/// What each ten seconds of a run under `limits` took, a second.
fn watch(
    programs: &Programs,
    work: &Path,
    tree: &Path,
    limits: &str,
    spent: impl Fn(&Agent) -> Option<f64>,
) -> anyhow::Result<Vec<f64>> {
    let mut agent = Agent::start(programs, work, tree, (limits, false))?;
    thread::sleep(SETTLED);
    let begun = Instant::now();
    let mut looks = Vec::new();
    while begun.elapsed() < WATCHED {
        ensure!(
            agent.is_at_work()?,
            "the agent was through its tree in {:?} under {limits}; give it a larger one",
            begun.elapsed() + SETTLED
        );
        looks.push((begun.elapsed(), spent(&agent).context("the agent ended")?));
        thread::sleep(LOOK);
    }
    let window = |(at, had): &(Duration, f64)| {
        let end = looks.iter().find(|(then, _)| *then >= *at + WINDOW)?;
        Some((end.1 - had) / (end.0 - *at).as_secs_f64())
    };
    // One a second says as much as one a look.
    Ok(looks.iter().step_by(10).filter_map(window).collect())
}

/// By how much `load` gets less done beside an agent that gives way.
fn beside(
    section: &mut Section,
    programs: &Programs,
    work: &Path,
    tree: &Path,
    load: Load,
    runs: u32,
) -> anyhow::Result<()> {
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        alone.push(load.throughput(work, TURN)?);
        if load.is_on_disk() {
            tree::cool(tree)?;
        }
        let mut agent = Agent::start(programs, work, tree, ("wall_seconds: 0", true))?;
        together.push(load.throughput(work, TURN)?);
        ensure!(
            agent.is_at_work()?,
            "{}: the agent was through before its turn was; give it a larger tree",
            load.name()
        );
    }
    let alone = section.figure(format!("{}, alone", load.name()), "MiB/s", alone);
    let together = section.figure(
        format!("{}, beside the agent", load.name()),
        "MiB/s",
        together,
    );
    let lost = (1.0 - together / alone) * 100.0;
    section.at_most(&format!("{}: lost", load.name()), "%", lost, LOST_GOAL);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a handful of cores")]
fn cores_f64() -> f64 {
    cores() as f64
}
