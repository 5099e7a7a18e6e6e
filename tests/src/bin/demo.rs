//! Runs the main job of today on this host: collect in two processes, encrypted to a fresh vault, verify, open.
//!
//! Glue only: every step is a command that a user could type, and is printed before it runs.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use evidence::wrap::Identity;

/// Collects from this host, seals, encrypts, verifies and opens the evidence.
#[derive(Parser)]
struct Arguments {
    /// Where everything goes (made if missing; must be empty). Default: a fresh folder below the current one.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The profile to collect.
    #[arg(long, default_value = "triage")]
    profile: String,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let dir = arguments
        .dir
        .unwrap_or_else(|| PathBuf::from(format!("demo/{}", std::process::id())));
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    ensure!(
        fs::read_dir(&dir)?.next().is_none(),
        "{} is not empty. Name another folder with --dir.",
        dir.display()
    );

    let (agent, cli) = build()?;
    let vault = dir.join("vault");
    fs::create_dir(&vault)?;
    let identity = Identity::generate();
    let identity_file = vault.join("identity.txt");
    fs::write(&identity_file, format!("{}\n", identity.to_text().as_str()))?;

    let evidence = dir.join("evidence");
    fs::create_dir(&evidence)?;
    let collected = run(
        &agent,
        &[
            "collect".into(),
            "--profile".into(),
            arguments.profile.into(),
            "--output".into(),
            evidence.clone().into(),
            "--recipient".into(),
            identity.recipient().to_string().into(),
            "--case".into(),
            "DEMO-1".into(),
        ],
    )?;
    ensure!(
        matches!(collected, 0 | 2),
        "the collection failed with exit code {collected}"
    );

    let collection = only_folder(&evidence)?;
    let trust = dir.join("trust");
    fs::create_dir(&trust)?;
    let root = trust.join("root.crt");
    fs::copy(collection.join("seal.crt"), &root).context("the collection has no seal.crt")?;
    let verified = run(
        &cli,
        &[
            "verify".into(),
            collection.clone().into(),
            "--trust".into(),
            root.clone().into(),
            "--identity".into(),
            identity_file.clone().into(),
        ],
    )?;
    ensure!(
        matches!(verified, 0 | 2),
        "the evidence is not genuine (exit code {verified})"
    );
    let opened = run(
        &cli,
        &[
            "open".into(),
            collection.clone().into(),
            "--identity".into(),
            identity_file.into(),
            "--output".into(),
            collection.clone().into(),
        ],
    )?;
    ensure!(
        opened == 0,
        "the evidence could not be opened (exit code {opened})"
    );
    println_all(&collection, &root);
    Ok(ExitCode::SUCCESS)
}

/// Builds the two programs beside this one and gives their paths.
fn build() -> anyhow::Result<(PathBuf, PathBuf)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "fieldseal-agent",
            "--package",
            "fieldseal",
            "--bins",
        ])
        .status()
        .context("cargo could not be started")?;
    ensure!(built.success(), "the programs could not be built");
    let here = std::env::current_exe()?;
    let folder = here.parent().context("this program lies nowhere")?;
    Ok((folder.join("fieldseal-agent"), folder.join("fieldseal")))
}

fn run(program: &Path, arguments: &[OsString]) -> anyhow::Result<i32> {
    let shown: Vec<_> = arguments.iter().map(|a| a.to_string_lossy()).collect();
    say(&format!("\n$ {} {}", program.display(), shown.join(" ")));
    let status = Command::new(program)
        .args(arguments)
        .status()
        .with_context(|| format!("{} could not be started", program.display()))?;
    status.code().context("it was ended by a signal")
}

fn only_folder(parent: &Path) -> anyhow::Result<PathBuf> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    match folders.as_slice() {
        [one] => Ok(one.clone()),
        _ => bail!(
            "{} folders below {} in place of one",
            folders.len(),
            parent.display()
        ),
    }
}

fn println_all(collection: &Path, root: &Path) {
    let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    say(&format!(
        "\nThe evidence lies in {0}\nCheck it without us:\n  cd {0} && mkdir check && cd check && unzip -q ../part-0001.zip\n  \
         sha256sum -c SHA256SUMS\n  openssl cms -verify -binary -inform DER -in SHA256SUMS.p7s -content SHA256SUMS \\\n    \
         -CAfile {1} -no-CApath -no-CAstore -out /dev/null",
        collection.display(),
        root.display()
    ));
}

#[expect(clippy::print_stdout, reason = "this program speaks to a person")]
fn say(text: &str) {
    println!("{text}");
}
