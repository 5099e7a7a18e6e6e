//! Measures Fieldseal beside its peers on this machine, in one run: interleaved, medians, ratios side by side.
//!
//! Nothing here is a test: a figure that misses its goal is told, and depends on the machine. What a peer is missing for
//! is skipped loudly, with what to install.

mod case;
mod console;
mod fleet;
mod hashing;
mod idle;
mod limits;
mod load;
mod process;
mod programs;
mod quiet;
mod report;
mod stages;
mod stick;
mod tree;
mod triage;
mod walled;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};

use crate::{
    programs::Programs,
    quiet::Peer,
    report::{Report, Section},
};

/// Measures the agent beside hashdeep, openssl and acquire, the case database beside plain inserts, the server beside nginx.
#[derive(Parser)]
#[command(after_help = "\
Exit codes: 0 every goal met, 2 a goal missed or a peer skipped, 1 failed.
Peers: hashdeep, openssl and nginx from the distribution; acquire by `python3 -m venv DIR && DIR/bin/pip install acquire`,
then `--acquire DIR/bin/acquire` or put it on PATH. Stop everything else that runs on the machine first.")]
struct Arguments {
    /// What to measure; all when left out.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// The tree to hash: at least 15,000 files and 1.4 GB. Default: one that is generated, the same everywhere.
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// How often each command runs; the medians count.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..100))]
    runs: u32,
    /// Where outputs go; the generated tree stays there for the next time.
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    work: PathBuf,
    /// A release agent built already; otherwise it is built.
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// A release `fieldseal` built already; otherwise it is built where it is measured.
    #[arg(long, value_name = "FILE")]
    fieldseal: Option<PathBuf>,
    /// How many records the case has that is loaded.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1_000..50_000_000))]
    records: u32,
    /// How many agents the simulated fleets have, from small to large.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 5_000])]
    agents: Vec<usize>,
    /// Another agent that runs on this machine, by its name and the first of its processes, for the part `quiet`.
    #[arg(long, value_name = "NAME=PID")]
    beside: Vec<Peer>,
    /// For how long agents at rest are looked at, seconds.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(10..100_000))]
    seconds: u32,
    /// The acquire program, where it isn't on PATH.
    #[arg(long, value_name = "FILE")]
    acquire: Option<PathBuf>,
    /// Write all figures as JSON here too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// file_hashes over a warm tree, against hashdeep and openssl.
    Hashing,
    /// Triage of this host, against acquire.
    Triage,
    /// Collecting onto a FAT32 stick, against acquire; only where it is named.
    Stick,
    /// Each stage of the pipeline alone.
    Stages,
    /// Size of the program, memory of an idle agent.
    Idle,
    /// Whether limits are kept, and what a host at work notices; only where it is named.
    Limits,
    /// An agent at rest for minutes, beside those that --beside names; only where it is named.
    Quiet,
    /// The cost of the walls around the reader; only where it is named.
    Walls,
    /// A case's database: loading, searching, summing.
    Case,
    /// A server with thousands of agents at rest, against nginx with as many connections.
    Fleet,
    /// Each page of the console over such a case; only where it is named.
    Console,
}

fn main() -> anyhow::Result<ExitCode> {
    let told: Vec<_> = std::env::args_os().skip(1).collect();
    if let [first, rest @ ..] = told.as_slice()
        && first == walled::RUN
    {
        return walled::one_run(rest).map(|()| ExitCode::SUCCESS);
    }
    let arguments = Arguments::parse();
    fs::create_dir_all(&arguments.work)
        .with_context(|| format!("{} can't be made", arguments.work.display()))?;
    let work = fs::canonicalize(&arguments.work)?;
    let wants = |part| arguments.only.is_empty() || arguments.only.contains(&part);

    let mut report = Report::of_this_machine();
    if wants(Part::Case) {
        let program = programs::investigator(arguments.fieldseal.as_deref())?;
        let section = case::measure(&program, &work, arguments.records, arguments.runs)?;
        add(&mut report, section);
    }
    if wants(Part::Fleet) {
        for section in fleet::measure(&work, &arguments.agents)? {
            add(&mut report, section);
        }
    }
    if arguments.only.contains(&Part::Console) {
        let section = console::measure(&work, arguments.records, arguments.runs)?;
        add(&mut report, section);
    }
    if arguments.only.contains(&Part::Quiet) {
        let section = quiet::measure(&work, &arguments.beside, arguments.seconds)?;
        add(&mut report, section);
    }
    let agent = [Part::Stages, Part::Hashing, Part::Triage, Part::Idle];
    let named = [Part::Stick, Part::Limits, Part::Walls];
    let is_named = |part| arguments.only.contains(&part);
    if agent.into_iter().any(wants) || named.into_iter().any(is_named) {
        measure_agent(&arguments, &work, &mut report)?;
    }
    if let Some(path) = &arguments.json {
        fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("{} can't be written", path.display()))?;
    }
    Ok(if report.is_all_met() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    })
}

/// Whatever needs the agent.
fn measure_agent(arguments: &Arguments, work: &Path, report: &mut Report) -> anyhow::Result<()> {
    let programs = Programs::find(arguments.agent.as_deref(), arguments.acquire.as_deref())?;
    let wants = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    if wants(Part::Stages) {
        add(report, stages::measure(work, arguments.runs)?);
    }
    if wants(Part::Hashing) {
        let tree = match &arguments.tree {
            Some(tree) => fs::canonicalize(tree)?,
            None => tree::generated(work)?,
        };
        let section = hashing::measure(&programs, &tree, work, arguments.runs)?;
        add(report, section);
    }
    if wants(Part::Triage) {
        let section = triage::measure(&programs, work, arguments.runs)?;
        add(report, section);
    }
    if arguments.only.contains(&Part::Stick) {
        add(report, stick::measure(&programs, work, arguments.runs)?);
    }
    if arguments.only.contains(&Part::Limits) {
        add(report, limits::measure(&programs, work, arguments.runs)?);
    }
    if arguments.only.contains(&Part::Walls) {
        add(report, walled::measure(&programs, work, arguments.runs)?);
    }
    if wants(Part::Idle) {
        add(report, idle::measure(&programs, work)?);
    }
    Ok(())
}

/// Tells a section as soon as it is there: a whole run takes minutes.
fn add(report: &mut Report, section: Section) {
    if report.sections.is_empty() {
        say(&report.machine.to_text());
    }
    say(&section.to_text());
    report.sections.push(section);
}

#[expect(clippy::print_stdout, reason = "this program speaks to a person")]
fn say(text: &str) {
    println!("{text}");
}
