//! The run: makes the disk, has the agent collect from it twice (by artifact, and whole files by their paths), verifies,
//! opens, compares.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};
use evidence::{instant::Instant, wrap::Identity};

use super::{
    answers::Answers,
    disk,
    found::Found,
    held,
    report::{Report, Tool},
};
use crate::{fetch, private};

/// What is asked for by artifact.
const PROFILE: &str = "full";
/// What is asked for by path.
pub(super) const BY_PATH: &str = "files";
/// The paths that are asked for whole lie here.
const WHOLE: &str = "/data/";

/// Validates `agent` and this program in the new folder `folder`, where everything stays.
///
/// # Errors
/// The folder is not new, the disk can't be made, or the agent can't be started.
pub fn run(agent: &Path, folder: &Path, by: Option<&str>) -> anyhow::Result<Report> {
    ensure!(
        !folder.exists(),
        "{} is there already. Name a new folder.",
        folder.display()
    );
    private::create_folder(folder)
        .with_context(|| format!("{} can't be made.", folder.display()))?;
    let folder = folder.canonicalize()?;
    let answers = Answers::read()?;
    let root = folder.join("disk");
    disk::make(&root, &answers)?;
    // Before anything reads the disk.
    let known = held::Known::of(&root, &answers)?;
    let identity = Identity::generate();
    private::create(
        &folder.join("key.txt"),
        format!("{}\n", *identity.to_text()).as_bytes(),
    )?;
    let begun = Instant::now();
    let by_artifact = Collect {
        agent,
        root: &root,
        identity: &identity,
        output: &folder.join("evidence"),
    };
    let (first, first_folder) = by_artifact.run(PROFILE, &[])?;
    let paths = whole(&answers);
    let by_path = Collect {
        output: &folder.join("evidence-by-path"),
        ..by_artifact
    };
    let (second, second_folder) = by_path.run(BY_PATH, &paths)?;
    let mut rows = known.artifacts(&first);
    rows.extend(known.taken(&first));
    rows.extend(held::gaps("not applicable", &answers.gaps, &first));
    rows.push(known.whole_files(&second, &paths));
    rows.extend(held::gaps("not there", &known.whole_gaps(&paths), &second));
    rows.push(held::host(&first, &root, agent)?);
    rows.push(held::seal(
        &[first_folder, second_folder.clone()],
        &identity,
    )?);
    rows.push(held::encryption(&[&first, &second], &answers)?);
    rows.push(held::alterations(&second_folder, &identity)?);
    Ok(Report {
        v: 1,
        holds: rows.iter().all(super::compare::Row::holds),
        begun,
        ended: Instant::now(),
        by: by.map(str::to_owned),
        tools: vec![
            Tool::of(
                "fieldseal",
                &std::env::current_exe()?,
                env!("CARGO_PKG_VERSION"),
            )?,
            Tool::of("fieldseal-agent", agent, &version(&first))?,
        ],
        answers_sha256: Answers::digest(),
        machine: first
            .collection
            .and_then(|c| c.dead_disk)
            .map(|d| d.read_by),
        profile: PROFILE.to_owned(),
        rows,
        parts: first.parts.into_iter().chain(second.parts).collect(),
    })
}

fn version(found: &Found) -> String {
    let collection = found.collection.as_ref();
    collection
        .map(|c| c.agent_version.clone())
        .unwrap_or_default()
}

/// The paths that are asked for whole; one that is no text can't be.
fn whole(answers: &Answers) -> Vec<&str> {
    let items = answers.disk.iter().filter(|item| item.path_b64.is_none());
    let paths = items.map(|item| item.path.as_str());
    paths.filter(|path| path.starts_with(WHOLE)).collect()
}

/// A collection by the agent.
#[derive(Clone, Copy)]
struct Collect<'c> {
    agent: &'c Path,
    root: &'c Path,
    identity: &'c Identity,
    output: &'c Path,
}

impl Collect<'_> {
    fn run(&self, profile: &str, paths: &[&str]) -> anyhow::Result<(Found, PathBuf)> {
        let mut command = Command::new(self.agent);
        command.arg("collect").arg("--root").arg(self.root);
        command.args(["--profile", profile, "--foreground", "--json"]);
        command
            .arg("--recipient")
            .arg(self.identity.recipient().to_string());
        command.arg("--output").arg(self.output);
        for path in paths {
            command.args(["--path", path]);
        }
        let shown = self.agent.display();
        let ended = command.output().with_context(|| {
            format!("{shown} can't be started. Name the agent's program with --agent.")
        })?;
        // With gaps: what a dead disk has nothing of.
        if !matches!(ended.status.code(), Some(0 | 2)) {
            bail!(
                "{shown} has failed: {}",
                String::from_utf8_lossy(&ended.stderr).trim()
            );
        }
        let told: serde_json::Value = serde_json::from_slice(&ended.stdout)
            .with_context(|| format!("{shown} does not say how it has ended."))?;
        let folder = told["folder"].as_str().map(PathBuf::from);
        let folder =
            folder.with_context(|| format!("{shown} does not say where its parts lie."))?;
        // Whatever it says, it was to collect there.
        ensure!(
            folder.starts_with(self.output),
            "{shown} has written elsewhere."
        );
        fs::metadata(&folder)?;
        Ok((Found::read(&folder, self.identity)?, folder))
    }
}

impl Tool {
    fn of(name: &str, path: &Path, version: &str) -> anyhow::Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            version: version.to_owned(),
            sha256: fetch::digest_of(path)?.0,
        })
    }
}
