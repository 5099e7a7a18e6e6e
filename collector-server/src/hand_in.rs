//! `import`: a stick is handed in on the server's own machine, and gets its receipts back.
//!
//! Where the server runs, its log is its own: the evidence is laid into its drop folder, and the answer waited for. Where it
//! does not, the command is the server for as long as that takes.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use evidence::{
    custody::log::{Log, LogError},
    ids::CollectionId,
    statement,
};
use protocol::kit::layout;
use tokio::time;

use crate::{
    config::Config,
    folder::Folder,
    intake::{
        drop::{BROUGHT, PARTIAL, Said, removed, report_of},
        import::{
            Brought, Found, Outcome, PartReport, Report, import, on_stick, open_dir, sealed, stated,
        },
    },
    keyfile,
    state::Server,
};

/// How the name of a copy begins that such a command lays into the drop folder.
const LAID: &str = "import-";
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often to ask whether the server still runs.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// What is handed in.
#[derive(Debug, Clone)]
pub struct HandIn {
    /// The stick.
    pub path: PathBuf,
    /// Who brings it.
    pub by: Option<String>,
    /// The medium's serial number.
    pub medium: Option<String>,
    /// Whether the ciphertext is removed from the stick where all of it is durable.
    pub wipe: bool,
}

/// Hands a stick in and writes the receipts back to it.
///
/// # Errors
/// The stick can't be read or written, or the server's folder is not one.
pub async fn hand_in(dir: &Path, config: &Config, what: &HandIn) -> anyhow::Result<Report> {
    let found =
        on_stick(&what.path).with_context(|| format!("{} can't be read.", what.path.display()))?;
    let folder = Folder::new(dir);
    let report = match is_served(&folder)? {
        true => by_drop(&folder, what, &found).await?,
        false => alone(dir, config, what).await?,
    };
    for (at, one) in found.iter().enumerate() {
        let before = found[..at]
            .iter()
            .filter(|other| other.collection == one.collection);
        write_back(&report, (one, before.count()), what.wipe)
            .with_context(|| format!("{} can't be written.", one.folder.display()))?;
    }
    Ok(report)
}

/// Whether a server runs: it holds the custody log.
fn is_served(folder: &Folder) -> anyhow::Result<bool> {
    if !folder.log().exists() {
        bail!(
            "{} is no server's folder. Give the one that `init` made.",
            folder.path().display()
        );
    }
    match Log::open(&folder.log()) {
        Ok(_) => Ok(false),
        Err(LogError::InUse(_)) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

async fn alone(dir: &Path, config: &Config, what: &HandIn) -> anyhow::Result<Report> {
    if !keyfile::is_own(dir)? {
        bail!(
            "The server does not run, and its folder is another user's. Start it, or run this as that user."
        );
    }
    let server = Server::open(dir, config).await?;
    let brought = Brought {
        by: what.by.clone(),
        from: what.path.display().to_string(),
        medium: what.medium.clone(),
    };
    let report = import(&server, &what.path, &brought).await;
    server.close().await;
    Ok(report)
}

/// Lays a copy into the drop folder, whole before it has its name, and waits for the answer.
async fn by_drop(folder: &Folder, what: &HandIn, found: &[Found]) -> anyhow::Result<Report> {
    // An id that nobody can have guessed, so that nobody else writes there.
    let name = format!("{LAID}{}", CollectionId::random()?);
    let place = folder.drop_folder().join(&name);
    let partial = folder.drop_folder().join(name + PARTIAL);
    tidy(&folder.drop_folder());
    let laid = lay(&partial, what, found).and_then(|()| fs::rename(&partial, &place));
    if let Err(error) = laid {
        let _ = fs::remove_dir_all(&partial);
        return Err(error).with_context(|| {
            format!(
                "The stick could not be copied into {}. Check that the server runs, that you may write there, and the free space.",
                folder.drop_folder().display()
            )
        });
    }
    let answer = report_of(&place);
    let mut ticks = time::interval(LOOK_EVERY);
    let mut looked = time::Instant::now();
    while !answer.exists() {
        ticks.tick().await;
        if looked.elapsed() < ASK_EVERY {
            continue;
        }
        looked = time::Instant::now();
        // The answer is the last thing that a server which ends may have written.
        if !is_served(folder)? && !answer.exists() {
            bail!(
                "The server has ended. What is on the stick lies in {} now, and is taken in when it runs again: start it, and hand the stick in once more for its receipts.",
                place.display()
            );
        }
    }
    let report = serde_json::from_slice(&fs::read(&answer)?)
        .context("The server's report can't be read. Use the program that the server is.")?;
    // What is ours goes: the stick has all of it still.
    // The answer last: as long as it lies there, the server looks for nothing new in the copy.
    if let Err(error) = removed(&place).and_then(|()| fs::remove_file(&answer)) {
        tracing::warn!(%error, "the copy in the drop folder could not be removed");
    }
    Ok(report)
}

/// Removes what such a command was laying when it was killed: nobody holds it any more, and the stick has all of it.
fn tidy(drop_folder: &Path) {
    for entry in fs::read_dir(drop_folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let of = name.to_str().and_then(|name| name.strip_suffix(PARTIAL));
        let of = of.and_then(|name| name.strip_prefix(LAID));
        if of.is_some_and(|id| id.parse::<CollectionId>().is_ok())
            // Anything else that is called so might never let itself be opened.
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
            && File::open(entry.path()).is_ok_and(|held| held.try_lock().is_ok())
        {
            // Another user's stays; it is that user's command that removes it.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn lay(partial: &Path, what: &HandIn, found: &[Found]) -> io::Result<()> {
    open_dir(partial)?;
    let held = File::open(partial)?;
    held.try_lock()?;
    let said = Said {
        by: what.by.clone(),
        from: Some(what.path.display().to_string()),
        medium: what.medium.clone(),
    };
    keyfile::create(&partial.join(BROUGHT), &serde_json::to_vec(&said)?, 0o644)?;
    for one in found {
        // The stick's own folder and `evidence` below it may both have one of this name: each is handed in, as it lay.
        let mut to = partial.to_owned();
        if to.join(one.collection.to_string()).exists() {
            to.push(layout::EVIDENCE);
            if !to.exists() {
                open_dir(&to)?;
            }
        }
        one.copy_to(&to.join(one.collection.to_string()))?;
    }
    Ok(())
}

/// Receipts beside what they are of; the ciphertext goes only where all of the collection is durable. Several folders may
/// have one name: their reports come in the same order.
fn write_back(report: &Report, (found, before): (&Found, usize), wipe: bool) -> io::Result<()> {
    let all = report.collections.iter();
    let told = all
        .filter(|told| told.collection == found.collection)
        .nth(before);
    let Some(told) = told.filter(|_| found.check().is_ok()) else {
        return Ok(());
    };
    let write = |name: &str, receipt: &Option<String>| match receipt {
        Some(receipt) => keyfile::replace(&found.folder.join(name), receipt.as_bytes(), 0o644),
        None => Ok(()),
    };
    for part in &told.parts {
        write(&format!("part-{:04}.receipt", part.part), &part.receipt)?;
    }
    write(layout::CERTIFIED, &told.certified)?;
    write(layout::IMPORTED, &told.imported)?;
    let is_safe = told.whole && matches!(told.outcome, Outcome::TakenIn | Outcome::WasHere);
    if wipe && is_safe {
        for part in told.parts.iter().filter(|part| is_of(found, part)) {
            match fs::remove_file(found.folder.join(sealed(part.part))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether the ciphertext in this very folder is what is durable: a stick may hold another folder of the same name.
fn is_of(found: &Found, durable: &PartReport) -> bool {
    let stated = found.read(&stated(durable.part)).ok();
    let stated = stated.and_then(|envelope| statement::read_unverified(&envelope).ok());
    stated.is_some_and(|(_, said)| {
        let length = fs::metadata(found.folder.join(sealed(durable.part))).map(|seen| seen.len());
        let stored = said.stored();
        Some(stored.sha256) == durable.stored_sha256
            && length.is_ok_and(|length| length == stored.size_bytes)
    })
}
