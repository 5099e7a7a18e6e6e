//! Hashing a warm tree: the whole agent, from its start to the sealed and encrypted part, against hashdeep and against
//! what the processor can do at most.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use evidence::wrap::Identity;

use crate::{
    process::{Run, run},
    programs::Programs,
    report::{Section, cores},
    tree::{self, Contents},
};

const HASHDEEP_GOAL: (f64, f64) = (8.0, 6.0);
const OPENSSL_GOAL: (f64, f64) = (0.7, 0.6);
/// The size that a tree must have for the goals to mean something.
const FILES_AT_LEAST: u64 = 15_000;
const BYTES_AT_LEAST: u64 = 1_400_000_000;

/// Measures hashing of `tree`.
///
/// # Errors
/// A command fails, or the agent hashed something other than what lies there.
pub(crate) fn measure(
    programs: &Programs,
    tree: &Path,
    work: &Path,
    runs: u32,
) -> anyhow::Result<Section> {
    let contents = tree::warm(tree)?;
    let mut section = Section::new(format!(
        "Hashing {} files, {:.0} MB, warm: {}",
        contents.files,
        megabytes(contents.bytes),
        tree.display()
    ));
    if contents.files < FILES_AT_LEAST || contents.bytes < BYTES_AT_LEAST {
        section.skip(format!(
            "the tree is small: goals are meant for {FILES_AT_LEAST} files and {BYTES_AT_LEAST} bytes. Give a larger --tree."
        ));
    }
    let profile = profile(tree, work)?;
    check(programs, &profile, tree, work, &contents, &mut section)?;

    let mut agent = Vec::new();
    let mut memory = Vec::new();
    let mut hashdeep = Vec::new();
    let mut openssl = Vec::new();
    // In turn, so that whatever else the machine does falls on all of them.
    for _ in 0..runs {
        let ran = collect(programs, &profile, work, true)?;
        agent.push(ran.seconds);
        memory.push(megabytes(ran.peak_bytes));
        if let Some(program) = &programs.hashdeep {
            hashdeep.push(self::hashdeep(program, tree)?.seconds);
        }
        if let Some(program) = &programs.openssl {
            openssl.push(openssl_megabytes(program)?);
        }
    }
    judge(&mut section, &contents, agent, hashdeep, openssl);
    let peak = section.figure("agent: peak memory, both processes", "MB", memory);
    section.at_most("peak memory while hashing", "MB", peak, 64.0);
    Ok(section)
}

fn judge(
    section: &mut Section,
    contents: &Contents,
    agent: Vec<f64>,
    hashdeep: Vec<f64>,
    openssl: Vec<f64>,
) {
    let ours = section.figure("fieldseal-agent collect, sealed and encrypted", "s", agent);
    let rate = megabytes(contents.bytes) / ours;
    section.note(format!("the agent hashes {rate:.0} MB/s"));
    if hashdeep.is_empty() {
        section.skip("hashdeep is not on PATH. Install it with `apt-get install hashdeep`.");
    } else {
        let theirs = section.figure("hashdeep -r -c sha256", "s", hashdeep);
        let (goal, least) = HASHDEEP_GOAL;
        section.at_least("times as fast as hashdeep", "x", theirs / ours, goal, least);
    }
    if openssl.is_empty() {
        section.skip("openssl is not on PATH. Install it with `apt-get install openssl`.");
    } else {
        let one = section.figure("openssl speed -evp sha256, one core", "MB/s", openssl);
        let (goal, least) = OPENSSL_GOAL;
        #[expect(clippy::cast_precision_loss, reason = "a handful of cores")]
        let all = one * cores() as f64;
        section.at_least("of openssl's speed x cores", "x", rate / all, goal, least);
    }
}

/// A profile with file hashes alone, over `tree` alone.
///
/// # Errors
/// It can't be written.
pub(crate) fn profile(tree: &Path, work: &Path) -> anyhow::Result<PathBuf> {
    let path = work.join("hashing.yaml");
    let root = serde_json::to_string(tree.to_str().context("the tree's path is not UTF-8")?)?;
    let text = format!(
        "v: 1\nname: hashing\nabout: File hashes of one tree\nartifacts:\n  - name: file_hashes\npaths: [{root}]\n"
    );
    fs::write(&path, text)?;
    Ok(path)
}

fn collect(
    programs: &Programs,
    profile: &Path,
    work: &Path,
    encrypted: bool,
) -> anyhow::Result<Run> {
    let output = work.join("hashing");
    // Parts of the run before; a missing folder is no fault.
    let _ = fs::remove_dir_all(&output);
    let mut command = Command::new(&programs.agent);
    // At the peers' own priority: by itself the agent gives way to all that runs.
    command.args(["collect", "--json", "--foreground", "--profile"]);
    command.arg(profile).arg("--output").arg(&output);
    if encrypted {
        let recipient = Identity::generate().recipient().to_string();
        command.args(["--recipient", &recipient]);
    } else {
        command.arg("--unencrypted");
    }
    run(command, &[0])
}

fn hashdeep(program: &Path, tree: &Path) -> anyhow::Result<Run> {
    let mut command = Command::new(program);
    command.args(["-r", "-c", "sha256"]).arg(tree);
    run(command, &[0])
}

/// Holds the agent's digests against hashdeep's, so that the race is between two that do the same.
fn check(
    programs: &Programs,
    profile: &Path,
    tree: &Path,
    work: &Path,
    contents: &Contents,
    section: &mut Section,
) -> anyhow::Result<()> {
    collect(programs, profile, work, false)?;
    let mut ours = Vec::new();
    crate::triage::lines(&work.join("hashing"), "results/file_hashes.jsonl", |line| {
        if let (Some(path), Some(sha256)) = (line["path"].as_str(), line["sha256"].as_str()) {
            ours.push(format!("{sha256} {path}"));
        }
    })?;
    ensure!(
        ours.len() as u64 == contents.files,
        "the agent hashed {} files of {}",
        ours.len(),
        contents.files
    );
    let Some(program) = &programs.hashdeep else {
        return Ok(());
    };
    let printed = hashdeep(program, tree)?.output;
    let printed = String::from_utf8_lossy(&printed);
    let mut theirs: Vec<String> = printed
        .lines()
        .filter(|line| !line.starts_with(['%', '#']))
        .filter_map(|line| {
            let mut fields = line.splitn(3, ',').skip(1);
            Some(format!("{} {}", fields.next()?, fields.next()?))
        })
        .collect();
    ours.sort();
    theirs.sort();
    ensure!(
        ours == theirs,
        "the agent and hashdeep differ on {}",
        tree.display()
    );
    section.note("every digest is the same as hashdeep's");
    Ok(())
}

/// One core's SHA-256 at 16 KiB blocks, in megabytes a second.
fn openssl_megabytes(program: &Path) -> anyhow::Result<f64> {
    let mut command = Command::new(program);
    command.args([
        "speed", "-mr", "-evp", "sha256", "-seconds", "1", "-bytes", "16384",
    ]);
    let output = run(command, &[0])?.output;
    let text = String::from_utf8_lossy(&output);
    let line = text.lines().find(|line| line.starts_with("+F:"));
    let bytes = line.and_then(|line| line.rsplit(':').next()?.parse::<f64>().ok());
    Ok(bytes.context("openssl speed printed no figure")? / 1e6)
}

/// Millions of bytes.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
