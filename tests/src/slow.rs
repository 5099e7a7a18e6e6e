//! A collection that reads a file a second, so that something can happen in the middle; and whether all of it arrived.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::{kit::json, stage::Stage};

const MIB: usize = 1 << 20;
/// At one a second it takes long enough for what shall happen meanwhile.
pub const FILES: usize = 35;

/// Lines of shell that make what it reads.
pub fn fill() -> String {
    format!(
        "mkdir /srv/tree; for n in $(seq {FILES}); do head -c {MIB} /dev/urandom >/srv/tree/$n; done"
    )
}

/// Orders it from every host; `more` goes to `collect` as it is. Gives the order, once a host reads files by it.
///
/// # Errors
/// It is not taken.
pub fn begin(stage: &Stage, more: &[&str]) -> anyhow::Result<String> {
    let order = ordered(stage, more)?;
    while watch(stage, &order, "1s")?["progress"]["artifact"] != "file_hashes" {}
    Ok(order)
}

/// The order alone.
///
/// # Errors
/// It is not taken.
pub fn ordered(stage: &Stage, more: &[&str]) -> anyhow::Result<String> {
    let profile = stage.path("slow.yaml");
    let text = format!(
        "v: 1\nname: slow\nabout: Slowly\nartifacts:\n- name: file_hashes\npaths: [/srv/tree]\n\
         limits: {{io_bytes_per_second: {MIB}}}\n"
    );
    fs::write(&profile, text)?;
    let mut all = Vec::from(args!["--json"]);
    all.extend(more.iter().map(Into::into));
    let ordered = stage.collect(&profile, &all)?;
    ensure!(ordered.code == 0, "{ordered:?}");
    let order = last(&ordered.out)?["order"].as_str().map(str::to_owned);
    order.context("there is no order in the answer")
}

/// The one host's last row.
///
/// # Errors
/// It can't be asked for.
pub fn watch(stage: &Stage, order: &str, time: &str) -> anyhow::Result<Value> {
    let watched = stage.fieldseal(&args!["watch", order, "--for", time, "--json"])?;
    Ok(last(&watched.out)?["hosts"][0].clone())
}

fn last(text: &str) -> anyhow::Result<Value> {
    json(text.lines().last().unwrap_or_default())
}

/// Fetches what arrived by `order` into the new folder `evidence`, and lets the tool judge it; gives what was fetched.
///
/// # Errors
/// It is not genuine.
pub fn verified(stage: &Stage, order: &str, evidence: &Path) -> anyhow::Result<PathBuf> {
    let fetched = stage.fieldseal(&args!["fetch", order, "--output", evidence])?;
    ensure!(fetched.code == 0, "{fetched:?}");
    let fetched = PathBuf::from(fetched.out.trim_end());
    let (trust, vault) = (stage.path("trust/root.crt"), stage.path("vault/one.txt"));
    let judge = args!["verify", fetched, "--trust", trust, "--identity", vault];
    let judged = stage.fieldseal(&judge)?;
    ensure!(matches!(judged.code, 0 | 2), "{judged:?}");
    Ok(fetched)
}

/// Whether all files are in what arrived, and it is the collection that was begun.
///
/// # Errors
/// They are not.
pub fn is_whole(stage: &Stage, order: &str, collection: &Value) -> anyhow::Result<()> {
    let evidence = stage.path("evidence").join(order);
    let collection = collection.as_str().context("no collection")?;
    let fetched = verified(stage, order, &evidence)?;
    let is_it = fetched.to_string_lossy().contains(collection);
    ensure!(is_it, "{} is not {collection}", fetched.display());
    let vault = stage.path("vault/one.txt");
    let loaded = stage.fieldseal(&args!["load", evidence, "--identity", vault])?;
    ensure!(matches!(loaded.code, 0 | 2), "{loaded:?}");
    let ask = format!(
        "SELECT count(DISTINCT path) AS n FROM file_hashes \
         WHERE path LIKE '/srv/tree/%' AND sha256 IS NOT NULL AND collection = '{collection}'"
    );
    let told = stage.fieldseal(&args!["query", "C-1", ask])?;
    let wanted = FILES.to_string();
    ensure!(
        told.out.split_whitespace().any(|word| word == wanted),
        "{told:?}"
    );
    Ok(())
}
