//! Finds the programs to measure: ours is built in release, the peers are looked for on PATH.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

/// What is there.
pub(crate) struct Programs {
    /// The release agent.
    pub(crate) agent: PathBuf,
    /// hashdeep, where it is installed.
    pub(crate) hashdeep: Option<PathBuf>,
    /// openssl, where it is installed.
    pub(crate) openssl: Option<PathBuf>,
    /// acquire, where it is installed.
    pub(crate) acquire: Option<PathBuf>,
}

impl Programs {
    /// Looks for them, and builds the agent unless one is given.
    ///
    /// # Errors
    /// The agent can't be built, or a file that was named isn't there.
    pub(crate) fn find(agent: Option<&Path>, acquire: Option<&Path>) -> anyhow::Result<Self> {
        let here = std::env::current_exe()?;
        let target = here.parent().and_then(Path::parent);
        let target = target.context("this program lies nowhere")?.to_owned();
        let named = |path: &Path| {
            let there = std::fs::canonicalize(path);
            there.with_context(|| format!("{} is not there", path.display()))
        };
        Ok(Self {
            agent: match agent {
                Some(path) => named(path)?,
                None => build("fieldseal-agent", "fieldseal-agent", &target)?,
            },
            hashdeep: on_path("hashdeep"),
            openssl: on_path("openssl"),
            acquire: match acquire {
                Some(path) => Some(named(path)?),
                None => on_path("acquire"),
            },
        })
    }
}

/// The investigator's tool, built in release unless one is given.
///
/// # Errors
/// It can't be built, or the file that was named isn't there.
pub(crate) fn investigator(told: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = told {
        let there = std::fs::canonicalize(path);
        return there.with_context(|| format!("{} is not there", path.display()));
    }
    let here = std::env::current_exe()?;
    let target = here.parent().and_then(Path::parent);
    build(
        "fieldseal",
        "fieldseal",
        target.context("this program lies nowhere")?,
    )
}

fn build(package: &str, program: &str, target: &Path) -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--package", package])
        .args(["--bin", program, "--target-dir"])
        .arg(target)
        .status()
        .context("cargo could not be started")?;
    ensure!(built.success(), "{program} could not be built");
    Ok(target.join("release").join(program))
}

/// A program on PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    find_in(&path, program)
}

fn find_in(path: &OsStr, program: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
