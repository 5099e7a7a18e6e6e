//! The drop folder: whoever may write there hands evidence in, and finds what became of it beside.
//!
//! A finished folder is one without `.partial` at its end. The names in it are anybody's: only what is a plain folder is
//! looked into, and what lies in it is judged as a stick's.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use notify::{RecursiveMode, Watcher as _};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    time::{self, MissedTickBehavior},
};

use super::import::{Brought, Report, import, read_small};
use crate::{keyfile, state::Server};

/// What is still being written has this at its end.
pub const PARTIAL: &str = ".partial";
/// What became of a folder stands beside it, under its name and this.
pub const REPORT: &str = ".report.json";
/// Who brings it, inside the folder, where that was said.
pub const BROUGHT: &str = "brought.json";
/// Not every file system tells of news.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Who brings a folder, as it says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Said {
    /// Who.
    pub by: Option<String>,
    /// From where.
    pub from: Option<String>,
    /// The medium's serial number.
    pub medium: Option<String>,
}

/// Takes in what lies in the drop folder, and what comes, until it is dropped.
pub async fn run(server: Arc<Server>) {
    let dir = server.folder.drop_folder();
    if let Err(error) = watch(&server, &dir).await {
        tracing::error!(
            error = format!("{error:#}"),
            "the drop folder is not watched"
        );
    }
}

async fn watch(server: &Server, dir: &Path) -> anyhow::Result<()> {
    if !dir.exists() {
        keyfile::private_dir(dir).with_context(|| format!("{} can't be made.", dir.display()))?;
    }
    let (tell, mut told) = mpsc::channel(1);
    // One more word of news while one waits says nothing new.
    let heard = move |told: notify::Result<notify::Event>| {
        if is_news(&told) {
            let _ = tell.try_send(());
        }
    };
    let mut watcher = notify::recommended_watcher(heard)?;
    watcher.watch(dir, RecursiveMode::NonRecursive)?;
    // What was told of, and yet lies here, may have been left by a server that was killed in between. Once more is safe.
    for folder in reported(dir).unwrap_or_default() {
        take(server, &folder).await;
    }
    let mut ticks = time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Some(()) = told.recv() => {}
        }
        match finished(dir) {
            Ok(finished) => {
                for folder in finished {
                    take(server, &folder).await;
                }
            }
            Err(error) => tracing::error!(%error, "the drop folder can't be read"),
        }
    }
}

/// Whether there is a reason to look: that somebody looked is none, nor is what the server itself has told, or each look
/// would be the reason for the next.
fn is_news(told: &notify::Result<notify::Event>) -> bool {
    let is_own = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(REPORT) || name.ends_with(keyfile::NEW)
    };
    let is_idle = |event: &notify::Event| {
        let is_told = !event.paths.is_empty() && event.paths.iter().all(is_own);
        // Who removes a report asks for another look.
        event.kind.is_access() || is_told && !event.kind.is_remove()
    };
    !told.as_ref().is_ok_and(is_idle)
}

/// The folders that nobody writes to any more and that have no report yet, or an older one that is of another folder of
/// this name.
fn finished(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = whole(dir)?;
    found.retain(|folder| match keyfile::changed(&report_of(folder)) {
        Ok(told) => keyfile::changed(folder).is_ok_and(|came| came > told),
        Err(_) => true,
    });
    Ok(found)
}

/// The folders of which the report says that they are taken in.
fn reported(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = whole(dir)?;
    found.retain(|folder| {
        let report = fs::read(report_of(folder)).ok();
        let report = report.and_then(|json| serde_json::from_slice::<Report>(&json).ok());
        report.is_some_and(|report| report.is_taken_in())
    });
    Ok(found)
}

/// The folders that nobody writes to any more.
fn whole(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_finished = name.to_str().is_some_and(|name| !name.ends_with(PARTIAL));
        // Of the entry itself: a link is no folder.
        if is_finished && entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Where it says what became of a folder.
pub fn report_of(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(REPORT);
    name.into()
}

async fn take(server: &Server, folder: &Path) {
    let report = import(server, folder, &brought(folder)).await;
    if let Err(error) = tell(folder, &report) {
        tracing::error!(%error, folder = %folder.display(), "what became of a drop could not be written down");
        return;
    }
    // Of anything else this may be the only copy: it stays, and the report says what became of it.
    if report.is_taken_in()
        && let Err(error) = removed(folder)
    {
        tracing::warn!(%error, folder = %folder.display(), "a drop that is taken in could not be removed");
    }
}

/// Removes a folder, under a name first by which nobody takes in what is left of it meanwhile.
///
/// # Errors
/// The system's, but that it is gone.
pub fn removed(folder: &Path) -> io::Result<()> {
    let mut going = folder.as_os_str().to_owned();
    going.push(PARTIAL);
    match fs::rename(folder, &going).and_then(|()| fs::remove_dir_all(&going)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn tell(folder: &Path, report: &Report) -> io::Result<()> {
    let json = serde_json::to_vec_pretty(report)?;
    keyfile::replace(&report_of(folder), &json, 0o644)
}

fn brought(folder: &Path) -> Brought {
    let said = read_small(&folder.join(BROUGHT)).ok();
    let said: Said = said
        .and_then(|json| serde_json::from_slice(&json).ok())
        .unwrap_or_default();
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned());
    Brought {
        by: said.by,
        from: said.from.or(name).unwrap_or_default(),
        medium: said.medium,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_look_is_no_reason_for_the_next_and_a_new_folder_is() {
        let dir = tempfile::tempdir().unwrap();
        let (say, told) = mpsc::channel();
        let heard = move |event: notify::Result<notify::Event>| {
            let _ = say.send(event);
        };
        let mut watcher = notify::recommended_watcher(heard).unwrap();
        let mode = RecursiveMode::NonRecursive;
        watcher.watch(dir.path(), mode).unwrap();
        assert!(finished(dir.path()).unwrap().is_empty());
        fs::create_dir(dir.path().join("new")).unwrap();
        // What is told of the look is told before.
        let news = told.iter().find(is_news).unwrap().unwrap();
        assert!(news.kind.is_create(), "{news:?}");
        let report = Report::failed("no room".to_owned());
        tell(&dir.path().join("new"), &report).unwrap();
        fs::create_dir(dir.path().join("next")).unwrap();
        let news = told.iter().find(is_news).unwrap().unwrap();
        assert_eq!(
            news.paths,
            [dir.path().join("next")],
            "what was told is no news"
        );
    }
}
