//! What the walls around the reader cost: the same collection by the agent's own code, in a process with them and in one
//! without, by turns.
//!
//! Each run is a process of its own, this program once more, since walls stay up until their process ends.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use agent::{
    cli::CollectArgs,
    config::Plan,
    link::Link,
    platform::{
        neighbours,
        sandbox::{self, Confined, Wall},
        socket,
    },
    reader::{
        collect,
        port::LinkPort,
        seal::Seal,
        task::{Authority, Position, Task, Watch},
    },
};
use anyhow::{Context as _, ensure};
use evidence::{gap::Reason, ids::CollectionId, wrap::Identity};
use protocol::messages::Progress;

use crate::{
    hashing,
    process::{Run, run},
    programs::Programs,
    report::Section,
    tree,
};

/// The first argument of a process that is one run.
pub(crate) const RUN: &str = "walled-run";
/// More than the machine's own unrest is a cost worth a look.
const GOAL: f64 = 1.05;

/// Measures a triage and the hashing of a warm tree.
///
/// # Errors
/// A run fails.
pub(crate) fn measure(programs: &Programs, work: &Path, runs: u32) -> anyhow::Result<Section> {
    let tree = tree::generated(work)?;
    tree::warm(&tree)?;
    let mut section = Section::new("The walls around the reader");
    let hashing = hashing::profile(&tree, work)?;
    let triage = PathBuf::from("triage");
    for (name, profile) in [("hashing", hashing), ("triage", triage)] {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        // One of each first: what was cold is warm then.
        for turn in 0..=runs {
            for (is_walled, times) in [(false, &mut without), (true, &mut with)] {
                let ran = collection(programs, &profile, work, is_walled)?;
                if turn > 0 {
                    times.push(ran.seconds);
                }
            }
        }
        let without = section.figure(format!("{name}, without walls"), "s", without);
        let with = section.figure(format!("{name}, within them"), "s", with);
        section.at_most(
            &format!("{name}: with / without"),
            "x",
            with / without,
            GOAL,
        );
    }
    Ok(section)
}

fn collection(
    programs: &Programs,
    profile: &Path,
    work: &Path,
    is_walled: bool,
) -> anyhow::Result<Run> {
    let output = work.join("walled");
    // Parts of the run before; a missing folder is no fault.
    let _ = fs::remove_dir_all(&output);
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(RUN).arg(&programs.agent).arg(profile);
    command.arg(&output).arg(is_walled.to_string());
    run(command, &[0])
}

/// One run: `AGENT PROFILE OUTPUT true|false`.
///
/// # Errors
/// A wall does not stand, or the collection has no end.
pub(crate) fn one_run(arguments: &[OsString]) -> anyhow::Result<()> {
    let [agent, profile, output, is_walled] = arguments else {
        anyhow::bail!("an agent, a profile, an output folder and true or false are needed");
    };
    let plan = Plan::resolve(CollectArgs {
        profile: profile.to_string_lossy().into_owned(),
        paths: Vec::new(),
        output: output.into(),
        root: None,
        recipients: vec![Identity::generate().recipient().to_string()],
        unencrypted: false,
        case: None,
        foreground: true,
        json: true,
    })?;
    let (ours, theirs) = socket::pair()?;
    // Not waited for: within the walls there is no call for that, and it ends with the link.
    Command::new(agent)
        .args(["spool-half", "--output"])
        .arg(&plan.output)
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .context("the half that writes can't be started")?;
    if is_walled == "true" {
        // As a reader does: what it asks by a socket is asked by one that is there already.
        neighbours::prepare();
        let walls = sandbox::raise(Confined::Reader, None);
        let stands = walls.up.contains(&Wall::SystemCalls);
        ensure!(stands, "this system has no walls to measure: {walls}");
    }
    let task = Task {
        plan: &plan,
        collection: CollectionId::random()?,
        seal: Seal::for_run()?,
        authority: Authority::default(),
        attempt: 1,
        position: None,
        sealing: None,
    };
    let port = LinkPort::greet(Link::new(ours))?;
    let outcome = collect::run_task(task, &port, &Nobody)?;
    ensure!(outcome.ended_early.is_none(), "it ended early: {outcome:?}");
    Ok(())
}

/// Looks at nothing.
struct Nobody;

impl Watch for Nobody {
    fn progress(&self, _: &Progress) {}
    fn stop(&self) -> Option<(Reason, String)> {
        None
    }
    fn durable(&self, _: &Position) -> Result<(), String> {
        Ok(())
    }
}
