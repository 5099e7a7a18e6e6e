//! `fieldseal policy show`: what is in force at the server, and its signed documents to take along.

use std::{
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Context as _, ensure};
use evidence::instant::Instant;
use serde_json::json;

use crate::{
    cli::ShowPolicy,
    exit::Exit,
    home::Home,
    policy::{document, words},
    private,
    session::Session,
    trust::Believed,
};

/// Runs it.
///
/// # Errors
/// The server can't be reached or is not to be believed, or the folder can't be written.
pub(super) fn run(args: &ShowPolicy, home: Home) -> anyhow::Result<Exit> {
    let session = Session::open(home)?;
    let believed = &session.believed;
    if let Some(folder) = &args.save {
        save(folder, believed)?;
    }
    let (policy, root) = (&believed.policy, &believed.root);
    let mut out = io::stdout().lock();
    if args.json {
        let keys: Vec<_> = root.keys.iter().map(|k| k.key_id()).collect();
        let all = json!({
            "policy": policy,
            "policy_sha256": believed.policy_envelope.digest(),
            "root": root,
            "root_key_sha256": keys,
            "expired": Instant::now() >= policy.expires,
        });
        serde_json::to_writer_pretty(&mut out, &all)?;
        writeln!(out)?;
        return Ok(Exit::Done);
    }
    write!(out, "{}", words::in_force(believed))?;
    Ok(Exit::Done)
}

/// The signed documents, as the server shows them and as they were believed.
fn save(folder: &Path, believed: &Believed) -> anyhow::Result<()> {
    let shown = folder.display();
    ensure!(
        !folder.exists(),
        "{shown} is there already. Name a new folder, so that nothing old is taken for new."
    );
    private::create_folder(folder).with_context(|| format!("{shown} can't be made."))?;
    for (number, root) in (1..).zip(&believed.roots) {
        document::write_new(&folder.join(format!("root-{number}.json")), root.as_bytes())?;
    }
    let policy = believed.policy_envelope.to_json()?;
    document::write_new(&folder.join("policy.json"), &policy)?;
    writeln!(
        io::stderr(),
        "{shown} has policy {} and {} of its roots",
        believed.policy.version,
        believed.roots.len()
    )?;
    Ok(())
}
