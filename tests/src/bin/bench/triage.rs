//! Triage of this host against `acquire -p default --force-fallback`, for at least the same files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use evidence::{archive, wrap::Identity};
use serde_json::Value;

use crate::{
    hashing::megabytes,
    process::{Run, run},
    programs::Programs,
    report::Section,
};

const ACQUIRE_GOAL: (f64, f64) = (15.0, 15.0);
const MEMORY_GOAL: f64 = 64.0;
/// How many differing paths are shown.
const SHOWN: usize = 40;

/// Measures a triage.
///
/// # Errors
/// A command fails, or the agent's archive can't be read.
pub(crate) fn measure(programs: &Programs, work: &Path, runs: u32) -> anyhow::Result<Section> {
    let mut section = Section::new("Triage of this host, warm");
    let (ours_at, theirs_at) = (work.join("triage"), work.join("acquire"));
    let files_alone = without_hashes(work)?;
    let triage = Path::new("triage");
    // One run of each first: what was cold is warm then, and the lists can be compared.
    collect(programs, triage, &ours_at, false)?;
    let ours = stored_paths(&ours_at)?;
    if let Some(program) = &programs.acquire {
        acquire(program, &theirs_at)?;
        compare(&ours, &regular_files(&theirs_at)?, &mut section);
    } else {
        section.skip(
            "acquire is not on PATH. Install it with `python3 -m venv DIR && DIR/bin/pip install acquire`, and give --acquire DIR/bin/acquire.",
        );
    }

    let (mut agent, mut memory, mut alike) = (Vec::new(), Vec::new(), Vec::new());
    let (mut acquired, mut acquire_memory) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let ran = collect(programs, triage, &ours_at, true)?;
        agent.push(ran.seconds);
        memory.push(megabytes(ran.peak_bytes));
        alike.push(collect(programs, &files_alone, &ours_at, true)?.seconds);
        if let Some(program) = &programs.acquire {
            let ran = acquire(program, &theirs_at)?;
            acquired.push(ran.seconds);
            acquire_memory.push(megabytes(ran.peak_bytes));
        }
    }
    section.note(format!("the agent stores {} files", ours.stored.len()));
    let seconds = section.figure(
        "fieldseal-agent collect --profile triage, encrypted",
        "s",
        agent,
    );
    let alike = section.figure(
        "the same without file_hashes, which acquire has not",
        "s",
        alike,
    );
    let peak = section.figure("agent: peak memory, both processes", "MB", memory);
    if !acquired.is_empty() {
        let theirs = section.figure("acquire -p default --force-fallback", "s", acquired);
        section.figure("acquire: peak memory", "MB", acquire_memory);
        let (goal, least) = ACQUIRE_GOAL;
        section.at_least(
            "times as fast as acquire, at what both do",
            "x",
            theirs / alike,
            goal,
            least,
        );
        section.at_least(
            "times as fast as acquire",
            "x",
            theirs / seconds,
            goal,
            least,
        );
    }
    section.at_most("peak memory of a triage", "MB", peak, MEMORY_GOAL);
    Ok(section)
}

/// The triage profile without the hashes of what it doesn't store, as a file (JSON is YAML).
///
/// # Errors
/// The file can't be written.
pub(crate) fn without_hashes(work: &Path) -> anyhow::Result<PathBuf> {
    let (_, mut profile) = protocol::profile::built_in("triage")?;
    profile
        .artifacts
        .retain(|chosen| chosen.name.as_str() != "file_hashes");
    let path = work.join("files-alone.yaml");
    fs::write(&path, serde_json::to_vec(&profile)?)?;
    Ok(path)
}

/// Collects by `profile` into the folder `output`, which is emptied before.
///
/// # Errors
/// The agent fails.
pub(crate) fn collect(
    programs: &Programs,
    profile: &Path,
    output: &Path,
    encrypted: bool,
) -> anyhow::Result<Run> {
    let _ = fs::remove_dir_all(output);
    let mut command = Command::new(&programs.agent);
    // At the peers' own priority: by itself the agent gives way to all that runs.
    command.args(["collect", "--json", "--foreground"]);
    command.arg("--profile").arg(profile);
    command.arg("--output").arg(output);
    if encrypted {
        let recipient = Identity::generate().recipient().to_string();
        command.args(["--recipient", &recipient]);
    } else {
        command.arg("--unencrypted");
    }
    // A live host always has gaps: processes end while they are looked at.
    run(command, &[0, 2])
}

/// The same by acquire.
///
/// # Errors
/// It fails.
pub(crate) fn acquire(program: &Path, output: &Path) -> anyhow::Result<Run> {
    let _ = fs::remove_dir_all(output);
    fs::create_dir_all(output)?;
    let mut command = Command::new(program);
    command.args(["-p", "default", "--force-fallback", "-o"]);
    command.arg(output).arg("local").current_dir(output);
    run(command, &[0])
}

/// What our archive holds.
#[derive(Default)]
struct Ours {
    stored: BTreeSet<String>,
    /// Recorded, and not stored: why.
    left_out: BTreeMap<String, String>,
    gaps: BTreeMap<String, String>,
}

fn stored_paths(output: &Path) -> anyhow::Result<Ours> {
    let mut ours = Ours::default();
    lines(output, "files.jsonl", |line| {
        let has = |key: &str| !line[key].is_null();
        let Some(path) = line["path"].as_str().map(str::to_owned) else {
            return;
        };
        if has("entry") || has("hard_link_of") || has("pieces") {
            ours.stored.insert(path);
        } else if let Some(why) = line["why_no_entry"].as_str() {
            ours.left_out.insert(path, why.to_owned());
        }
    })?;
    lines(output, "results/persistence.jsonl", |line| {
        if let (Some(path), Some(true)) = (line["path"].as_str(), line["private_key"].as_bool()) {
            let why = "a private key: recorded, never taken";
            ours.left_out.insert(path.to_owned(), why.to_owned());
        }
    })?;
    lines(output, "gaps.jsonl", |line| {
        if let (Some(path), Some(reason)) = (line["subject"].as_str(), line["reason"].as_str()) {
            ours.gaps.insert(path.to_owned(), reason.to_owned());
        }
    })?;
    Ok(ours)
}

/// Shows every line of the entry `name` in all plain parts below `folder`.
///
/// # Errors
/// There is no part, or one can't be read.
pub(crate) fn lines(folder: &Path, name: &str, mut see: impl FnMut(&Value)) -> anyhow::Result<()> {
    let mut parts = Vec::new();
    for collection in fs::read_dir(folder)? {
        for file in fs::read_dir(collection?.path())? {
            let path = file?.path();
            if path.extension().is_some_and(|e| e == "zip") {
                parts.push(path);
            }
        }
    }
    ensure!(!parts.is_empty(), "{} holds no part", folder.display());
    for part in parts {
        let file = File::open(&part)?;
        archive::read(file, &archive::Limits::default(), |entry, bytes| {
            if entry.name == name {
                for line in BufReader::new(bytes).lines() {
                    see(&serde_json::from_str(&line?)?);
                }
            }
            Ok(())
        })
        .with_context(|| format!("{} can't be read", part.display()))?;
    }
    Ok(())
}

/// The regular files in acquire's tar, as paths of this host.
fn regular_files(output: &Path) -> anyhow::Result<BTreeSet<String>> {
    let tar = fs::read_dir(output)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "tar"))
        .context("acquire left no tar")?;
    let mut command = Command::new("tar");
    command.args(["--list", "--verbose", "--quoting-style=literal", "--file"]);
    command.arg(tar);
    let listed = run(command, &[0])?.output;
    let listed = String::from_utf8_lossy(&listed);
    Ok(listed
        .lines()
        .filter(|line| line.starts_with(['-', 'h']))
        .filter_map(path_of_listed)
        .map(|path| real(&path))
        .collect())
}

/// The path in a line of `tar --list --verbose`: rights, owner, length, day, time, name.
fn path_of_listed(line: &str) -> Option<String> {
    let mut rest = line;
    for _ in 0..5 {
        rest = rest.split_once(' ')?.1.trim_start();
    }
    let name = rest.split(" link to ").next()?;
    name.strip_prefix("fs/$rootfs$").map(str::to_owned)
}

/// The path without links in it, while the file is still there.
fn real(path: &str) -> String {
    let there: Option<PathBuf> = fs::canonicalize(path).ok();
    there.map_or_else(|| path.to_owned(), |p| p.to_string_lossy().into_owned())
}

fn compare(ours: &Ours, theirs: &BTreeSet<String>, section: &mut Section) {
    let not_stored = theirs.difference(&ours.stored);
    let (left_out, missing): (Vec<&String>, Vec<&String>) = not_stored
        .partition(|path| ours.left_out.contains_key(*path) || ours.gaps.contains_key(*path));
    section.note(format!(
        "acquire has {} regular files: {} of them told with a reason in ours, {} silently absent; ours has {} that acquire has not",
        theirs.len(),
        left_out.len(),
        missing.len(),
        ours.stored.difference(theirs).count()
    ));
    for path in left_out.iter().chain(&missing).take(SHOWN) {
        let why = ours.left_out.get(*path).or(ours.gaps.get(*path));
        let why = why.map_or("not asked for", String::as_str);
        section.note(format!("only acquire has {path} ({why})"));
    }
    if left_out.len() + missing.len() > SHOWN {
        section.note("... and more");
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of files")]
    let missing = missing.len() as f64;
    section.at_most(
        "files silently absent that acquire has",
        "files",
        missing,
        0.0,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_spaces_come_out_of_a_listing() {
        let line = "-rw-r--r-- root/root      3152 2023-09-16 10:03 fs/$rootfs$/etc/a  b";
        assert_eq!(path_of_listed(line).unwrap(), "/etc/a  b");
        assert_eq!(
            path_of_listed("-rw-r--r-- root/root 1 2023-09-16 10:03 x"),
            None
        );
    }
}
