//! Kits as people build and use them: what is collected, the folder, and the start on a host.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::{
    programs::{self, Outcome, as_root},
    stage::Stage,
};

/// Who collects.
pub const OPERATOR: &str = "Olga Operator";

/// What is collected, and the profile that collects it.
///
/// # Errors
/// The disk fails.
pub fn evidence(stage: &Stage) -> anyhow::Result<(PathBuf, PathBuf)> {
    let tree = stage.path("tree");
    fs::create_dir_all(&tree)?;
    fs::write(tree.join("a"), "evidence")?;
    let profile = stage.path("small.yaml");
    let text =
        "v: 1\nname: small\nabout: a tree\nartifacts: [{name: system}, {name: file_hashes}]\n";
    fs::write(&profile, text)?;
    Ok((tree, profile))
}

/// A profile of which what is gone first is sealed in a part of its own before files come.
///
/// # Errors
/// The disk fails.
pub fn profile(stage: &Stage) -> anyhow::Result<PathBuf> {
    let profile = stage.path("two.yaml");
    let text = "v: 1\nname: two\nabout: mounts, then files\n\
                artifacts: [{name: mounts}, {name: files}]\n\
                limits: {memory_bytes: 67108864}\n";
    fs::write(&profile, text)?;
    Ok(profile)
}

/// `fieldseal kit build` by the person of the stage's home.
///
/// # Errors
/// It can't be started.
pub fn build(stage: &Stage, more: &[OsString]) -> anyhow::Result<Outcome> {
    let common = args![
        "kit",
        "build",
        "--case",
        "K-1",
        "--reason",
        "no network there"
    ];
    let all: Vec<_> = common.iter().chain(more).cloned().collect();
    stage.fieldseal(&all)
}

/// A kit of one person alone, for the small profile.
///
/// # Errors
/// It can't be started.
pub fn small(stage: &Stage, stick: &Path, more: &[OsString]) -> anyhow::Result<Outcome> {
    let (tree, profile) = evidence(stage)?;
    let own = args![
        "--profile",
        profile,
        "--path",
        tree,
        "--output",
        stick,
        "--json"
    ];
    let all: Vec<_> = own.iter().chain(more).cloned().collect();
    build(stage, &all)
}

/// A deployment of which ann is everything that a kit needs.
///
/// # Errors
/// As for [`Stage::deployed`].
pub fn stage(dir: &Path) -> anyhow::Result<Stage> {
    let roles: &[&str] = &["investigator", "admin", "auditor"];
    Stage::deployed(
        dir,
        |_| (),
        &[("ann", "Ann Example", roles)],
        &[],
        "connected",
    )
}

/// Puts a kit for `profile` and every file in `tree` on a stick, its program as small as it can be.
///
/// # Errors
/// It can't be built.
pub fn put_on(stage: &Stage, stick: &Path, profile: &Path, tree: &Path) -> anyhow::Result<()> {
    let agent = lean_agent(stage)?;
    let mut more = Vec::from(args!["--profile", profile, "--output", stick]);
    more.extend(args!["--uses", "5", "--agent", agent]);
    for file in files(tree)? {
        more.extend(args!["--path", file]);
    }
    let built = build(stage, &more)?;
    ensure!(built.code == 0, "{built:?}");
    Ok(())
}

/// The folder of a collection that is whole.
///
/// # Errors
/// It is not.
pub fn whole(outcome: &Outcome) -> anyhow::Result<PathBuf> {
    ensure!([0, 2].contains(&outcome.code), "{outcome:?}");
    let told = json(&outcome.out)?;
    ensure!(told["ended_early"].is_null(), "{outcome:?}");
    Ok(told["folder"].as_str().context("it has no folder")?.into())
}

/// Hands a stick in on the server's machine.
///
/// # Errors
/// It can't be started.
pub fn import(stage: &Stage, stick: &Path, more: &[&str]) -> anyhow::Result<Outcome> {
    let home = stage.path("server");
    let by = "Ann Example";
    let command = args!["import", stick, "--dir", home, "--by", by, "--json"];
    let all: Vec<_> = command
        .into_iter()
        .chain(more.iter().map(Into::into))
        .collect();
    stage.run("fieldseal-server", &all)
}

/// `fieldseal verify` of a folder, with the deployment's root and the vault's key; for programs.
///
/// # Errors
/// It can't be started.
pub fn verify(stage: &Stage, folder: &Path) -> anyhow::Result<Outcome> {
    let (vault, root) = (stage.path("vault/one.txt"), stage.path("trust/root.crt"));
    let key = args!["--trust", root, "--identity", vault, "--json"];
    stage.fieldseal(&[&args!["verify", folder][..], &key].concat())
}

/// That a verdict has none of these reasons.
///
/// # Errors
/// It has one.
pub fn lacks(verified: &Outcome, reasons: &[&str]) -> anyhow::Result<()> {
    for reason in reasons {
        ensure!(!verified.out.contains(reason), "{reason}: {}", verified.out);
    }
    Ok(())
}

/// The agent's program without what only a debugger needs, so that a small stick takes it.
///
/// # Errors
/// The package binutils is not installed.
pub fn lean_agent(stage: &Stage) -> anyhow::Result<PathBuf> {
    let lean = stage.path("lean-agent");
    let mut strip = Command::new("strip");
    strip
        .arg("-o")
        .arg(&lean)
        .arg(stage.programs().join("fieldseal-agent"));
    ensure!(strip.status()?.success(), "the agent can't be made smaller");
    Ok(lean)
}

/// The kit on `stick`, ready to be started as an operator would, with the answers given.
pub fn run(stick: &Path, more: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.arg(stick.join("run.sh")).args(answers()).args(more);
    command
}

/// As [`run`], on a host of another name or with another machine id than this one.
pub fn run_on(host: (&str, &str), stick: &Path, more: &[&str]) -> Command {
    const AS: &str =
        r#"hostname "$1" && mount --bind "$2" /etc/machine-id && shift 2 && exec sh "$@""#;
    let mut command = as_root("unshare");
    command.args(["--mount", "--uts", "sh", "-c", AS, "sh", host.0, host.1]);
    command.arg(stick.join("run.sh")).args(answers()).args(more);
    command
}

fn answers() -> [&'static str; 5] {
    let place = ["--location", "Room 1", "--foreground"];
    ["--operator", OPERATOR, place[0], place[1], place[2]]
}

/// Starts the kit on this host and waits for its end.
///
/// # Errors
/// It can't be started.
pub fn collect(stick: &Path, more: &[&str]) -> anyhow::Result<Outcome> {
    finished(&mut run(stick, more))
}

/// Waits for the end of a kit that is started here.
///
/// # Errors
/// It can't be started, or a signal ended it.
pub fn finished(command: &mut Command) -> anyhow::Result<Outcome> {
    programs::run(command, &|_| ())
}

/// What a program said for other programs: all of it, or its last line.
///
/// # Errors
/// It is no JSON.
pub fn json(text: &str) -> anyhow::Result<Value> {
    let last = text.lines().last().unwrap_or_default();
    let told = serde_json::from_str(text).or_else(|_| serde_json::from_str(last));
    told.with_context(|| text.to_owned())
}

/// Every file below, whatever it is.
///
/// # Errors
/// The folder can't be read.
pub fn files(below: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    Ok(found)
}
