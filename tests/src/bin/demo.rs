//! The whole way on this host, with the real programs: a deployment, an order, evidence, its proof.
//!
//! Glue only: every step is a command that a person could type, and is printed before it runs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use clap::Parser;
use evidence::{
    custody::{event::Event, receipt::Receipt},
    digest::Digest,
    envelope::{self, Envelope},
    seal::Trust,
    timestamp,
};
use fieldseal_tests::{args, stage::Stage};
use protocol::policy::Policy;

/// Sets up a deployment on loopback, collects from this host on a signed order, fetches, verifies and opens the evidence.
#[derive(Parser)]
struct Arguments {
    /// Where everything goes (made if missing; must be empty). Default: a fresh folder below the current one.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The profile to collect.
    #[arg(long, default_value = "triage")]
    profile: String,
    /// A folder to walk in place of the profile's; may be given again.
    #[arg(long = "path")]
    paths: Vec<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let fresh = || PathBuf::from(format!("demo/{}", std::process::id()));
    let mut stage = Stage::new(&arguments.dir.clone().unwrap_or_else(fresh), say)?;
    say(&format!(
        "(The programs lie in {}.)",
        stage.programs().display()
    ));
    found(&mut stage)?;
    let order = collect(&stage, &arguments)?;
    stage.wait_for_stamps()?;
    let collection = fetch(&stage, &order)?;
    check(&stage, &collection)?;
    stage.stop()?;
    say(&summary(&stage, &collection)?);
    Ok(ExitCode::SUCCESS)
}

/// Keys, server, agent, and the investigator's settings.
fn found(stage: &mut Stage) -> anyhow::Result<()> {
    stage.make_person("ann", "Ann Example", &["investigator", "admin"])?;
    let vaults = [stage.make_vault("one")?, stage.make_vault("two")?];
    stage.init(&["ann"], &vaults, &[])?;
    stage.serve()?;
    stage.enrol("ann", &["demo"])?;
    stage.run_agent()?;
    stage.set_up("ann")
}

/// Orders the collection, follows it to its end, and gives the order's id.
fn collect(stage: &Stage, arguments: &Arguments) -> anyhow::Result<String> {
    let mut line = Vec::from(args![
        "collect",
        "--where",
        "label=demo",
        "--profile",
        arguments.profile,
        "--case",
        "DEMO-1",
        "--reason",
        "Show the way of evidence",
        "--watch",
        "--for",
        "2h"
    ]);
    for path in &arguments.paths {
        line.extend(args!["--path", path]);
    }
    let collected = stage.fieldseal(&line)?;
    ensure!(
        matches!(collected.code, 0 | 2),
        "the collection failed with exit code {}: see {}/*.log",
        collected.code,
        stage.dir.display()
    );
    Ok(collected.order()?.to_owned())
}

fn fetch(stage: &Stage, order: &str) -> anyhow::Result<PathBuf> {
    let fetched = stage.fieldseal(&args!["fetch", order, "--output", stage.path("evidence")])?;
    ensure!(fetched.code == 0, "the evidence was not fetched whole");
    Ok(PathBuf::from(fetched.out.trim_end()))
}

fn check(stage: &Stage, collection: &Path) -> anyhow::Result<()> {
    let identity = stage.path("keys/ann/identity.txt");
    let mut line = Vec::from(args![
        "verify",
        collection,
        "--record",
        "--trust",
        stage.path("trust/root.crt"),
        "--identity",
        identity
    ]);
    if let Some(tsa) = &stage.tsa {
        line.extend(args!["--tsa-trust", tsa.root]);
    }
    let verified = stage.fieldseal(&line)?;
    ensure!(
        matches!(verified.code, 0 | 2),
        "the evidence is not genuine"
    );
    let opened = stage.fieldseal(&args![
        "open",
        collection,
        "--identity",
        identity,
        "--output",
        collection
    ])?;
    ensure!(opened.code == 0, "the evidence could not be opened");
    let audited = stage.fieldseal(&args!["audit", "--case", "DEMO-1"])?;
    ensure!(audited.code == 0, "the custody log does not hold");
    Ok(())
}

/// Where it lies, what it holds, and how to check it without us.
fn summary(stage: &Stage, collection: &Path) -> anyhow::Result<String> {
    let (here, dir) = (collection.display(), stage.dir.display());
    let epoch = sealed_by(stage, collection)?;
    let mut text = format!(
        "\nThe evidence lies in {here}:\n{}\n\
         {dir}/trust/root.crt is the root that its seals lead to; {dir}/vault holds the vault's keys.\n\
         \nCheck it without us:\n  \
         cd {here} && mkdir check && cd check && unzip -q ../part-0001.zip\n  \
         sha256sum -c SHA256SUMS\n  \
         openssl cms -verify -binary -inform DER -in SHA256SUMS.p7s -content SHA256SUMS \\\n    \
         -CAfile {dir}/trust/root.crt -no-CApath -no-CAstore -attime {epoch} -out /dev/null\n  \
         age -d -i {dir}/vault/one.txt ../part-0001.zip.age | cmp - ../part-0001.zip\n",
        listing(collection)?
    );
    match &stage.tsa {
        Some(tsa) => text.push_str(&format!(
            "  openssl ts -verify -data ../part-0001.statement.json -in ../part-0001.tsr -CAfile {}\n",
            tsa.root.display()
        )),
        None => text.push_str("  (no openssl here when it was made, so there is no time stamp)\n"),
    }
    Ok(text)
}

fn listing(collection: &Path) -> anyhow::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(collection)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        names.push(format!("  {:>12}  {name}", entry.metadata()?.len()));
    }
    names.sort_by(|a, b| {
        a.split_whitespace()
            .last()
            .cmp(&b.split_whitespace().last())
    });
    Ok(names.join("\n"))
}

/// The best time known by which part 1 was sealed: its time stamp, else the server's receipt.
fn sealed_by(stage: &Stage, collection: &Path) -> anyhow::Result<i64> {
    if let Ok(stamp) = fs::read(collection.join("part-0001.tsr")) {
        let statement = fs::read(collection.join("part-0001.statement.json"))?;
        let expected = timestamp::Expected {
            digest: Digest::of(&statement),
            nonce: None,
            trust: &Trust::none(),
        };
        let stamp = timestamp::check(&stamp, expected).stamp;
        return Ok(stamp.context("the time stamp can't be read")?.time.seconds);
    }
    let policy = Envelope::parse(&fs::read(stage.path("server/trust/policy.json"))?)?;
    let policy: Policy = policy.document(envelope::POLICY)?;
    let receipt = Receipt::parse(&fs::read(collection.join("part-0001.receipt"))?)?;
    let (_, event) = Event::read(&receipt.verify(&policy.log_key()?)?.leaf)?;
    Ok(event.time.seconds)
}

#[expect(clippy::print_stdout, reason = "this program speaks to a person")]
fn say(text: &str) {
    println!("{text}");
}
