//! Tells the server how orders fare. What an order's fate hangs on waits on the disk until the server has taken it; of
//! those about the same, and of progress, only the newest counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::ErrorKind,
    mem::{Discriminant, discriminant},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use evidence::{digest::Digest, ids::OrderId};
use protocol::{
    messages::{AgentReport, MAX_MESSAGE_BYTES, Report},
    version,
};

use super::{
    context::{Context, CourierError},
    disk::{self, DiskError, failed},
    http::HttpError,
    orders::{Handed, Settled, settles},
    pause::Backoff,
};

/// More than the orders that a reader can have at once; the server is gone for very long then.
const WAITING_MAX: usize = 4096;
/// So many that the server would not have are kept to be looked at, the newest.
const REFUSED_MAX: usize = 64;
/// What those are called.
const REFUSED: &str = "refused";
/// A report travels over the link in one message.
const REPORT_BYTES_MAX: u64 = 1 << 20;

/// Reports that wait.
#[derive(Debug)]
pub(super) struct Reports {
    folder: PathBuf,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By number: the oldest first.
    kept: BTreeMap<u64, Kept>,
    next: u64,
    newest: BTreeMap<OrderId, Report>,
}

/// A report that waits.
#[derive(Debug, Clone)]
struct Kept {
    about: Option<About>,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    /// On the disk.
    File(PathBuf),
    /// In memory alone, since the disk had no room: kept on it once it has some, at the latest at an orderly end. A crash before
    /// that loses it.
    Memory(Report),
}

/// What a report says of what: the server goes by the newest of those about the same, so the others need not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct About(Discriminant<Report>, Subject);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Order(OrderId),
    /// A copy of an order that was refused, or the notice that nobody can read.
    Copy(Digest),
}

impl About {
    fn of(report: &Report) -> Self {
        let subject = match report {
            Report::Refused { notice } => Subject::Copy(match settles(report) {
                Some(Settled::Copy(copy)) => copy,
                _ => Digest::of(notice.as_bytes()),
            }),
            Report::Accepted { order, .. }
            | Report::Held { order }
            | Report::Capturing { order, .. }
            | Report::Over { order, .. }
            | Report::Progress { order, .. }
            | Report::Ended { order, .. }
            | Report::Cancelled { order } => Subject::Order(*order),
        };
        Self(discriminant(report), subject)
    }
}

impl Waiting {
    /// Makes place for `report`; says whether it waits already.
    fn collapse(&mut self, about: About, report: &Report) -> bool {
        let is_same = |kept: &Kept| kept.about == Some(about);
        let older = self.kept.iter().find(|(_, kept)| is_same(kept));
        let Some((number, kept)) = older.map(|(number, kept)| (*number, kept.clone())) else {
            return false;
        };
        if kept.place.report().is_ok_and(|waiting| waiting == *report) {
            return true;
        }
        self.forget(number);
        false
    }

    /// It waits no more. What can't be removed is sent once more after the next start, which changes nothing.
    fn forget(&mut self, number: u64) {
        if let Some(Place::File(path)) = self.kept.remove(&number).map(|kept| kept.place) {
            let _ = disk::remove(&path);
        }
    }

    /// Whose loss costs least where there are too many: a refusal, since an order that is handed over again is refused
    /// again.
    fn least(&self) -> Option<u64> {
        let is_refusal = |kept: &Kept| matches!(kept.about, Some(About(_, Subject::Copy(_))));
        let refusal = self.kept.iter().find(|(_, kept)| is_refusal(kept));
        let least = refusal.or_else(|| self.kept.first_key_value());
        least.map(|(number, _)| *number)
    }
}

impl Place {
    fn report(&self) -> Result<Report, DiskError> {
        match self {
            Self::File(path) => read(path).map(|told| told.report),
            Self::Memory(report) => Ok(report.clone()),
        }
    }
}

impl Reports {
    /// Takes up what an earlier run left in `folder`.
    pub(super) fn open(folder: &Path, handed: &Handed) -> Result<Self, DiskError> {
        let (mut files, mut newest) = (BTreeMap::new(), None);
        for entry in fs::read_dir(folder).map_err(failed("read", folder))? {
            let path = entry.map_err(failed("read", folder))?.path();
            if path.extension().is_some_and(|e| e == "new") {
                disk::remove(&path)?;
            }
            // After those that were set aside, too: the newest of them are kept.
            let as_report = path.with_extension("json");
            newest = newest.max(number(&as_report));
            if let Some(number) = number(&path) {
                files.insert(number, path);
            }
        }
        let mut waiting = Waiting {
            next: newest.map_or(0, |number| number + 1),
            ..Waiting::default()
        };
        for (number, path) in files {
            let report = read(&path).ok().map(|told| told.report);
            let about = report.as_ref().map(About::of);
            if let (Some(report), Some(about)) = (&report, about) {
                handed.note_waiting(report);
                if waiting.collapse(about, report) {
                    disk::remove(&path)?;
                    continue;
                }
            }
            let place = Place::File(path);
            waiting.kept.insert(number, Kept { about, place });
        }
        prune(folder)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            waiting: Mutex::new(waiting),
        })
    }

    /// Takes a report; all but progress is durable when this returns, where the disk has room for it.
    pub(super) fn put(
        &self,
        context: &Context,
        handed: &Handed,
        report: Report,
    ) -> Result<(), CourierError> {
        let mut waiting = self.lock();
        match &report {
            Report::Progress { order, .. } => {
                // More comes, and there are never so many.
                if waiting.newest.contains_key(order) || waiting.newest.len() < WAITING_MAX {
                    waiting.newest.insert(*order, report);
                }
            }
            Report::Accepted { .. }
            | Report::Refused { .. }
            | Report::Held { .. }
            | Report::Capturing { .. }
            | Report::Over { .. }
            | Report::Ended { .. }
            | Report::Cancelled { .. } => {
                if let Report::Ended { order, .. } | Report::Capturing { order, .. } = &report {
                    waiting.newest.remove(order);
                }
                self.keep(context, handed, &mut waiting, report)?;
            }
        }
        drop(waiting);
        context.bell.ring();
        Ok(())
    }

    fn keep(
        &self,
        context: &Context,
        handed: &Handed,
        waiting: &mut Waiting,
        report: Report,
    ) -> Result<(), CourierError> {
        let about = About::of(&report);
        if waiting.collapse(about, &report) {
            return Ok(());
        }
        while waiting.kept.len() >= WAITING_MAX
            && let Some(least) = waiting.least()
        {
            let why = "too many reports wait. Look why the server takes none.";
            context.note("a report is dropped", why);
            let dropped = waiting.kept.get(&least).map(|kept| kept.place.report());
            if let Some(Ok(report)) = dropped {
                handed.reported(&report);
            }
            waiting.forget(least);
        }
        let path = self.path(waiting.next);
        let json = json(&path, report.clone())?;
        let place = match context.spare.write_durable(&path, &json) {
            Ok(()) => Place::File(path),
            Err(error) => {
                context.note("a report is kept in memory alone", &error.to_text());
                Place::Memory(report)
            }
        };
        let about = Some(about);
        waiting.kept.insert(waiting.next, Kept { about, place });
        waiting.next += 1;
        Ok(())
    }

    /// Makes durable what could not be, where the disk has room now.
    fn settle(&self) {
        let mut waiting = self.lock();
        for (number, kept) in &mut waiting.kept {
            let Place::Memory(report) = &kept.place else {
                continue;
            };
            let path = self.path(*number);
            let written = json(&path, report.clone()).and_then(|j| disk::write_durable(&path, &j));
            if written.is_err() {
                return;
            }
            kept.place = Place::File(path);
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:020}.json"))
    }

    fn oldest(&self) -> Option<(u64, Place)> {
        let waiting = self.lock();
        let (number, kept) = waiting.kept.first_key_value()?;
        Some((*number, kept.place.clone()))
    }

    fn done(&self, number: u64) {
        self.lock().forget(number);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn newest(&self) -> Option<Report> {
        self.lock().newest.pop_first().map(|(_, report)| report)
    }

    /// Whether the server has been told all.
    pub(super) fn is_empty(&self) -> bool {
        let waiting = self.lock();
        waiting.kept.is_empty() && waiting.newest.is_empty()
    }
}

/// Sends until the courier ends.
pub(super) fn serve(
    context: &Context,
    reports: &Reports,
    handed: &Handed,
) -> Result<(), CourierError> {
    let mut backoff = Backoff::default();
    while !context.has_ended() {
        let outcome = if let Some((number, place)) = reports.oldest() {
            send(context, reports, handed, (number, &place))?
        } else if let Some(report) = reports.newest() {
            // Lost progress is no loss: more comes.
            post(context, &AgentReport { v: 1, report })
        } else {
            context.wait_until(None, || !reports.is_empty());
            continue;
        };
        if outcome.is_ok() {
            backoff.reset();
            context.spare.fill();
        }
        reports.settle();
        if let Err(error) = outcome {
            context.missed("a report was not taken", &error);
            context.rest(&mut backoff, error.retry());
        }
    }
    reports.settle();
    Ok(())
}

/// Sends the oldest; what the server will never take is set aside, so that it holds up nothing else.
fn send(
    context: &Context,
    reports: &Reports,
    handed: &Handed,
    (number, place): (u64, &Place),
) -> Result<Result<(), HttpError>, CourierError> {
    let Ok(report) = place.report() else {
        reports.set_aside(context, place, "it can't be read")?;
        reports.done(number);
        return Ok(Ok(()));
    };
    let sent = AgentReport { v: 1, report };
    match post(context, &sent) {
        // Without rights nothing is taken, and that says nothing about the report.
        Err(error) if error.is_permanent() && error.status() != Some(403) => {
            reports.set_aside(context, place, &error.chain())?;
        }
        Err(error) => return Ok(Err(error)),
        Ok(()) => {}
    }
    // Else one order that the server can't be told of would hold up another for ever.
    handed.reported(&sent.report);
    reports.done(number);
    // Whoever waits for fewer open orders looks again.
    context.bell.ring();
    Ok(Ok(()))
}

fn post(context: &Context, report: &AgentReport) -> Result<(), HttpError> {
    context
        .client()
        .post("/v1/agent/reports", report, MAX_MESSAGE_BYTES)?;
    context.heard();
    Ok(())
}

impl Reports {
    fn set_aside(&self, context: &Context, place: &Place, why: &str) -> Result<(), CourierError> {
        context.note("a report was set aside", why);
        let Place::File(path) = place else {
            return Ok(());
        };
        // A newer one may have taken its place meanwhile.
        match disk::rename_durable(path, &path.with_extension(REFUSED)) {
            Err(error) if error.source.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        Ok(prune(&self.folder)?)
    }
}

/// Removes all but the newest of those that the server would not have: it can call for any number of them.
fn prune(folder: &Path) -> Result<(), DiskError> {
    let mut refused = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(failed("read", folder))? {
        let path = entry.map_err(failed("read", folder))?.path();
        if path.extension().is_some_and(|e| e == REFUSED) {
            refused.insert(path);
        }
    }
    while refused.len() > REFUSED_MAX
        && let Some(oldest) = refused.pop_first()
    {
        disk::remove(&oldest)?;
    }
    Ok(())
}

fn json(path: &Path, report: Report) -> Result<Vec<u8>, DiskError> {
    serde_json::to_vec(&AgentReport { v: 1, report }).map_err(|e| failed("written", path)(e.into()))
}

fn read(path: &Path) -> Result<AgentReport, DiskError> {
    let bytes = disk::read_capped(path, REPORT_BYTES_MAX)?;
    version::read_message(&bytes, "report")
        .map_err(|e| failed("read", path)(std::io::Error::other(e)))
}

fn number(path: &Path) -> Option<u64> {
    if path.extension()? != "json" {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}
