//! What is being fetched and verified, and what came out: one job a collection, one at a time.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use evidence::{
    gap::Severity,
    ids::CollectionId,
    verify::{Options, Verdict},
};
use protocol::{messages::CollectionRow, policy::Role};

use super::{
    desk::{Desk, lock},
    problem,
};
use crate::{
    case::load::{Loader, Place},
    check::{self, Checked},
    commands::{files, load},
    custody::Recorded,
    fetch, report,
};

/// Where a job stands.
#[derive(Clone)]
pub enum Job {
    /// It waits for another one.
    Waiting,
    /// Parts come: so many of so many are there.
    Fetching(usize, usize),
    /// All is there and is being read.
    Verifying,
    /// It is genuine and goes into the database of its case.
    Loading,
    /// It is done.
    Done(Arc<Found>),
    /// It failed: the error's words, inert.
    Failed(Vec<String>),
}

impl Job {
    /// Whether more will come of it.
    pub fn is_at_work(&self) -> bool {
        matches!(
            self,
            Self::Waiting | Self::Fetching(..) | Self::Verifying | Self::Loading
        )
    }
}

/// What was found in a collection that lies on this machine.
pub struct Found {
    /// Where it lies.
    pub folder: PathBuf,
    /// Everything that was checked.
    pub checked: Checked,
    /// The case whose database has it now; none where it could not be loaded.
    pub case: Option<String>,
    /// What was not loaded, and why.
    pub not_loaded: Vec<String>,
    /// What of it was recorded in the custody log.
    pub recorded: Mutex<Vec<Recorded>>,
}

impl Found {
    /// The acquisition report, a page of its own.
    pub fn page(&self) -> String {
        let Checked {
            check,
            reports,
            aside,
            ..
        } = &self.checked;
        report::html::page(check, reports, aside)
    }

    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        self.checked.verdict
    }

    /// All gaps, and the serious ones.
    pub fn gaps(&self) -> (u64, u64) {
        let parts = || self.checked.reports.iter().flat_map(|r| &r.parts);
        let all = parts().map(|p| p.counts.gaps).sum();
        let serious = parts().flat_map(|p| &p.gaps);
        let serious = serious.filter(|g| g.severity == Severity::Serious).count();
        (all, serious as u64)
    }
}

/// All jobs of this run.
pub struct Jobs {
    evidence: PathBuf,
    at_work: Mutex<()>,
    all: Mutex<BTreeMap<CollectionId, Job>>,
}

impl Jobs {
    /// Jobs that put evidence below `evidence`.
    pub fn new(evidence: PathBuf) -> Self {
        Self {
            evidence,
            at_work: Mutex::new(()),
            all: Mutex::default(),
        }
    }

    /// The folder that evidence is fetched into.
    pub fn evidence(&self) -> &Path {
        &self.evidence
    }

    /// Where the job of a collection stands.
    pub fn get(&self, id: CollectionId) -> Option<Job> {
        lock(&self.all).get(&id).cloned()
    }

    /// Takes the collections that are not at work on its list; gives those that were taken.
    pub fn claim(&self, rows: Vec<CollectionRow>) -> Vec<CollectionRow> {
        let mut all = lock(&self.all);
        let mut claimed = rows;
        claimed.retain(|row| !all.get(&row.collection).is_some_and(Job::is_at_work));
        for row in &claimed {
            all.insert(row.collection, Job::Waiting);
        }
        claimed
    }

    fn set(&self, id: CollectionId, job: Job) {
        lock(&self.all).insert(id, job);
    }

    /// Fetches and verifies what was claimed, one after another; takes as long as that takes.
    pub fn work(&self, desk: &Desk, rows: &[CollectionRow]) {
        let _one_at_a_time = lock(&self.at_work);
        for row in rows {
            let job = match self.one(desk, row) {
                Ok(found) => Job::Done(Arc::new(found)),
                Err(error) => Job::Failed(problem::words(&error)),
            };
            self.set(row.collection, job);
        }
    }

    fn one(&self, desk: &Desk, row: &CollectionRow) -> anyhow::Result<Found> {
        let session = desk.session()?;
        session.demand(Role::Investigator)?;
        let (id, all) = (row.collection, row.parts.len());
        self.set(id, Job::Fetching(0, all));
        let mut there = 0;
        let folder = fetch::collection(&session.remote, row, &self.evidence, &mut |_, _| {
            there += 1;
            self.set(id, Job::Fetching(there, all));
            Ok(())
        })?;
        self.set(id, Job::Verifying);
        let mut options = Options::default();
        load::complete(desk.home(), &mut options)?;
        let checked = check::paths(std::slice::from_ref(&folder), &options)?;
        self.set(id, Job::Loading);
        let loaded = into_case(desk, &folder, &options);
        let (case, not_loaded) = loaded.unwrap_or_else(|e| (None, problem::words(&e)));
        Ok(Found {
            folder,
            checked,
            case,
            not_loaded,
            recorded: Mutex::default(),
        })
    }
}

/// Loads the parts in `folder` as `fieldseal load` does; gives the case, and what was left out.
fn into_case(
    desk: &Desk,
    folder: &Path,
    options: &Options,
) -> anyhow::Result<(Option<String>, Vec<String>)> {
    let files::Found { parts, .. } = files::parts(&[folder.to_owned()])?;
    let loader = Loader::new(Place::Home(desk.home().clone()), None, options);
    let outcome = loader.load(&parts, &mut |_| Ok(()))?;
    let refused = outcome.refused.into_iter();
    let not_loaded = refused.map(|r| format!("{}: {}", r.path, r.why));
    Ok((outcome.databases.into_keys().next(), not_loaded.collect()))
}
