//! A server with a fleet of idle agents, each with a connection of its own: memory an agent, the cores at rest, how soon
//! an order has reached the last of them, check-ins a second, and whether the cost of one more stays the same.

mod agents;
mod connection;
mod deployment;
mod peer;

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

use self::{
    agents::{Fleet, Mode},
    deployment::Deployment,
};
use crate::{process, programs, report::Section};

const MEMORY_GOAL_KB: f64 = 40.0;
/// Agents from which on that goal counts.
const GOALS_FROM: usize = 5_000;
const ORDER_GOAL_S: f64 = 5.0;
/// Longer than one question waits, so that each agent asks anew within it.
const REST: Duration = Duration::from_secs(60);
const CHECK_INS: Duration = Duration::from_secs(10);
/// After which a change has reached all.
const SETTLE: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(60);

/// What one size of fleet came to.
struct Outcome {
    agents: usize,
    /// What each agent costs the server, bytes.
    bytes_each: f64,
    /// What the server held with all of them.
    held_bytes: f64,
}

/// Measures with each of these sizes, the smallest first.
///
/// # Errors
/// A deployment can't be set up on this machine.
pub(crate) fn measure(work: &Path, sizes: &[usize]) -> anyhow::Result<Vec<Section>> {
    raise_the_limit(sizes.iter().max().copied().unwrap_or_default())?;
    let (mut sections, mut outcomes) = (Vec::new(), Vec::new());
    for size in sizes {
        let mut section = Section::new(format!("A server and {size} idle agents over mTLS"));
        outcomes.push(measure_one(&work.join("fleet"), *size, &mut section)?);
        sections.push(section);
    }
    if let (Some(few), Some(many), Some(last)) =
        (outcomes.first(), outcomes.last(), sections.last_mut())
        && few.agents < many.agents
    {
        let slope = (many.held_bytes - few.held_bytes) / (many.agents - few.agents) as f64;
        let name = format!("one agent more, between {} and {}", few.agents, many.agents);
        last.figure(&name, "KB", vec![slope / 1e3]);
        last.at_most(
            "cost of one more, of what each costs",
            "x",
            slope / many.bytes_each,
            1.2,
        );
    }
    Ok(sections)
}

fn measure_one(folder: &Path, size: usize, section: &mut Section) -> anyhow::Result<Outcome> {
    let mut deployment = Deployment::new(folder)?;
    if !deployment.is_release() {
        section.note("the deployment's programs are not built in release: the server needs more");
    }
    // One thread for all agents: the other cores are the server's.
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let _within = runtime.enter();
    let server = Arc::new(deployment.pinned()?);
    let token = deployment.token(size)?;
    let start = Instant::now();
    let members = runtime.block_on(agents::enrol(&server, &token, size))?;
    let rate = size as f64 / start.elapsed().as_secs_f64();
    section.figure("enrolments, both sides on these cores", "1/s", vec![rate]);

    deployment.restart()?;
    let pid = deployment.server()?;
    let before = resident(pid)?;
    let start = Instant::now();
    let fleet = Fleet::start(&server, &members, Mode::Idle)?;
    runtime.block_on(fleet.all_ask());
    let rate = size as f64 / start.elapsed().as_secs_f64();
    section.figure("handshakes with client certificates", "1/s", vec![rate]);
    let outcome = rest(&fleet, pid, before, section)?;
    order(&runtime, &fleet, &deployment, section)?;
    check_ins(&fleet, &deployment, section)?;
    let broken = fleet.seen.broken.load(Ordering::Relaxed);
    section.at_most("connections that broke", "", broken as f64, 0.0);
    runtime.block_on(fleet.end());
    let root = deployment.root();
    deployment.stop()?;

    match programs::on_path("nginx") {
        None => section.skip("nginx is not on PATH, to hold as many connections"),
        Some(nginx) => {
            let at = folder.join("nginx");
            let held = peer::bytes_each(&nginx, &at, &root, &members);
            let each = runtime.block_on(held)?;
            section.figure(
                "nginx, with nothing but the connections",
                "KB",
                vec![each / 1e3],
            );
            let ratio = outcome.bytes_each / each;
            section.figure("memory an agent beside nginx", "x", vec![ratio]);
        }
    }
    Ok(outcome)
}

/// Memory and cores while every agent waits.
fn rest(fleet: &Fleet, pid: u32, before: u64, section: &mut Section) -> anyhow::Result<Outcome> {
    thread::sleep(SETTLE);
    let (cpu, answers) = (cpu(pid)?, fleet.answers());
    thread::sleep(REST);
    let used = (self::cpu(pid)? - cpu) / REST.as_secs_f64();
    let rate = (fleet.answers() - answers) as f64 / REST.as_secs_f64();
    let held = resident(pid)?;
    let each = held.saturating_sub(before) as f64 / fleet.len() as f64;
    section.figure("the server without agents", "MB", vec![before as f64 / 1e6]);
    section.figure("with all of them", "MB", vec![held as f64 / 1e6]);
    section.figure("of one core, at rest", "%", vec![used * 100.0]);
    section.figure("questions that began anew at rest", "1/s", vec![rate]);
    // What the server holds for itself is shared by the fleet, so the goal is a large one's.
    match fleet.len() >= GOALS_FROM {
        true => section.at_most("memory an agent", "KB", each / 1e3, MEMORY_GOAL_KB),
        false => {
            section.figure("memory an agent", "KB", vec![each / 1e3]);
        }
    }
    Ok(Outcome {
        agents: fleet.len(),
        bytes_each: each,
        held_bytes: held as f64,
    })
}

/// One order for all, by the investigator's own tool.
fn order(
    runtime: &Runtime,
    fleet: &Fleet,
    deployment: &Deployment,
    section: &mut Section,
) -> anyhow::Result<()> {
    let pid = deployment.server()?;
    let (before, start) = (cpu(pid)?, Instant::now());
    deployment.order()?;
    let command = start.elapsed().as_secs_f64();
    let moments = runtime.block_on(fleet.all_ordered(PATIENCE));
    ensure!(
        moments.len() == fleet.len(),
        "{} of {} agents got the order",
        moments.len(),
        fleet.len()
    );
    let used = (cpu(pid)? - before) / fleet.len() as f64;
    let after = |moment: Option<&Instant>| {
        moment.map_or(f64::NAN, |at| at.duration_since(start).as_secs_f64())
    };
    let (first, last) = (after(moments.iter().min()), after(moments.iter().max()));
    section.figure(
        "the command: hosts listed, order signed, taken in",
        "s",
        vec![command],
    );
    section.figure(
        "from the command's start to the first agent",
        "s",
        vec![first],
    );
    section.figure("from the first agent to the last", "s", vec![last - first]);
    section.figure(
        "the server's time for an agent's order",
        "ms",
        vec![used * 1e3],
    );
    section.at_most(
        "from the command's start to the last agent",
        "s",
        last,
        ORDER_GOAL_S,
    );
    Ok(())
}

/// Questions that don't wait, as fast as they are answered.
fn check_ins(fleet: &Fleet, deployment: &Deployment, section: &mut Section) -> anyhow::Result<()> {
    let pid = deployment.server()?;
    fleet.turn_to(Mode::CheckIn);
    // Who waits for news hears of the change when there are some.
    deployment.order()?;
    thread::sleep(SETTLE);
    let (cpu, before, start) = (cpu(pid)?, fleet.answers(), Instant::now());
    thread::sleep(CHECK_INS);
    let (answers, seconds) = (fleet.answers() - before, start.elapsed().as_secs_f64());
    let rate = answers as f64 / seconds;
    section.figure("check-ins, both sides on these cores", "1/s", vec![rate]);
    let used = (self::cpu(pid)? - cpu) / answers as f64;
    section.figure("the server's time for a check-in", "ms", vec![used * 1e3]);
    Ok(())
}

fn resident(pid: u32) -> anyhow::Result<u64> {
    process::resident_bytes(pid).context("the server has ended")
}

fn cpu(pid: u32) -> anyhow::Result<f64> {
    process::cpu_seconds(pid).context("the server has ended")
}

/// A descriptor for each agent, here and at the server, which inherits it.
fn raise_the_limit(agents: usize) -> anyhow::Result<()> {
    let wanted = agents as u64 + 1_000;
    let held = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: held.maximum,
        maximum: held.maximum,
    };
    setrlimit(Resource::Nofile, raised)?;
    ensure!(
        held.maximum.is_none_or(|most| most >= wanted),
        "{agents} agents need {wanted} descriptors, and this account may have {}. Raise the limit (`ulimit -Hn`).",
        held.maximum.unwrap_or_default()
    );
    Ok(())
}
