//! Procedures of a document, run to the letter: each line of a section's block is typed into a shell.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, ensure};

use crate::{
    programs::{self, Outcome},
    stage::Stage,
};

/// Opens every key that is made under a passphrase.
pub const PASSPHRASE: &str = "a test's own passphrase";

/// A document with procedures, and the stage on which they are run.
pub struct Manual<'s> {
    stage: &'s Stage,
    text: String,
}

impl<'s> Manual<'s> {
    /// The document called `name` at the root of the repository.
    ///
    /// # Errors
    /// It is not there.
    pub fn open(name: &str, stage: &'s Stage) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let text =
            fs::read_to_string(root.join(name)).with_context(|| format!("{name} is not there"))?;
        Ok(Self { stage, text })
    }

    /// The lines of the blocks below `heading`.
    ///
    /// # Errors
    /// There are none.
    pub fn commands(&self, heading: &str) -> anyhow::Result<Vec<&str>> {
        let mut below = self.text.split("\n## ");
        let section = below.find(|s| s.lines().next() == Some(heading));
        let section = section.with_context(|| format!("there is no section {heading:?}"))?;
        let commands: Vec<_> = section
            .lines()
            .filter_map(|l| l.strip_prefix("    "))
            .collect();
        ensure!(!commands.is_empty(), "{heading:?} has no commands");
        Ok(commands)
    }

    /// Runs the commands below `heading` in the stage's folder, with what stands for examples replaced; each must succeed.
    /// The stick is empty before.
    ///
    /// # Errors
    /// One fails.
    pub fn follow(&self, heading: &str, replaced: &[(&str, &str)]) -> anyhow::Result<Vec<Outcome>> {
        let stick = self.stage.path("stick");
        if stick.exists() {
            fs::remove_dir_all(&stick)?;
        }
        let mut outcomes = Vec::new();
        for line in self.commands(heading)? {
            let mut line = line.to_owned();
            for (example, real) in replaced {
                line = line.replace(example, real);
            }
            let outcome = type_in(self.stage, "home", &line)?;
            ensure!(outcome.code == 0, "`{line}` failed: {outcome:#?}");
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }
}

/// Types `line` into a shell, in the stage's folder, as the person whose tool has its settings in `home`.
///
/// # Errors
/// There is no shell.
pub fn type_in(stage: &Stage, home: &str, line: &str) -> anyhow::Result<Outcome> {
    let mut path = stage.programs().into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell
        .current_dir(&stage.dir)
        .args(["-euc", line])
        .env("PATH", path)
        .env("FIELDSEAL_HOME", stage.path(home))
        .env("FIELDSEAL_PASSPHRASE", PASSPHRASE)
        .env("NO_PROXY", "localhost,127.0.0.1");
    programs::run(&mut shell, &|_| ())
}
