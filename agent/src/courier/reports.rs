//! Tells the server how orders fare. What an order's fate hangs on waits on the disk until the server has taken it;
//! of progress only the newest counts.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use evidence::ids::OrderId;
use protocol::{
    messages::{AgentReport, MAX_MESSAGE_BYTES, Report},
    version,
};

use super::{
    context::{Context, CourierError},
    disk::{self, DiskError, failed},
    http::HttpError,
    orders::Handed,
    pause::Backoff,
};

/// More than the orders that a reader can have at once; the server is gone for very long then.
const WAITING_MAX: usize = 4096;
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
    files: BTreeMap<u64, PathBuf>,
    next: u64,
    newest: BTreeMap<OrderId, Report>,
}

impl Reports {
    /// Takes up what an earlier run left in `folder`.
    pub(super) fn open(folder: &Path, handed: &Handed) -> Result<Self, DiskError> {
        let mut waiting = Waiting::default();
        for entry in fs::read_dir(folder).map_err(failed("read", folder))? {
            let path = entry.map_err(failed("read", folder))?.path();
            if path.extension().is_some_and(|e| e == "new") {
                disk::remove(&path)?;
            }
            let Some(number) = number(&path) else {
                continue;
            };
            if let Ok(report) = read(&path) {
                handed.note_waiting(&report.report);
            }
            waiting.next = waiting.next.max(number + 1);
            waiting.files.insert(number, path);
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            waiting: Mutex::new(waiting),
        })
    }

    /// Takes a report; all but progress is durable when this returns.
    pub(super) fn put(&self, context: &Context, report: Report) -> Result<(), CourierError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match &report {
            Report::Progress { order, .. } => {
                if !waiting.newest.contains_key(order) && waiting.newest.len() >= WAITING_MAX {
                    return Err(CourierError::TooManyOrders);
                }
                waiting.newest.insert(*order, report);
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
                self.keep(&mut waiting, report)?;
            }
        }
        drop(waiting);
        context.bell.ring();
        Ok(())
    }

    fn keep(&self, waiting: &mut Waiting, report: Report) -> Result<(), CourierError> {
        if waiting.files.len() >= WAITING_MAX {
            return Err(CourierError::TooManyOrders);
        }
        let path = self.folder.join(format!("{:020}.json", waiting.next));
        let json = serde_json::to_vec(&AgentReport { v: 1, report })
            .map_err(|e| failed("written", &path)(e.into()))?;
        disk::write_durable(&path, &json)?;
        waiting.files.insert(waiting.next, path);
        waiting.next += 1;
        Ok(())
    }

    fn oldest(&self) -> Option<(u64, PathBuf)> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, path) = waiting.files.first_key_value()?;
        Some((*number, path.clone()))
    }

    fn done(&self, number: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.files.remove(&number);
    }

    fn newest(&self) -> Option<Report> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.newest.pop_first().map(|(_, report)| report)
    }

    /// Whether the server has been told all.
    pub(super) fn is_empty(&self) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.files.is_empty() && waiting.newest.is_empty()
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
        let outcome = if let Some((number, path)) = reports.oldest() {
            send_file(context, reports, handed, number, &path)?
        } else if let Some(report) = reports.newest() {
            // Lost progress is no loss: more comes.
            post(context, &AgentReport { v: 1, report })
        } else {
            context.wait_until(None, || !reports.is_empty());
            continue;
        };
        match outcome {
            Ok(()) => backoff.reset(),
            Err(error) => {
                context.missed("a report was not taken", &error);
                context.rest(&mut backoff, error.retry());
            }
        }
    }
    Ok(())
}

/// Sends the oldest; what the server will never take is set aside, so that it holds up nothing else.
fn send_file(
    context: &Context,
    reports: &Reports,
    handed: &Handed,
    number: u64,
    path: &Path,
) -> Result<Result<(), HttpError>, CourierError> {
    let Ok(report) = read(path) else {
        set_aside(context, path, "it can't be read")?;
        reports.done(number);
        return Ok(Ok(()));
    };
    match post(context, &report) {
        // Without rights nothing is taken, and that says nothing about the report.
        Err(error) if error.is_permanent() && error.status() != Some(403) => {
            set_aside(context, path, &error.chain())?;
            // Else one order that the server can't be told of would hold up another for ever.
            handed.reported(&report.report);
            context.bell.ring();
        }
        Err(error) => return Ok(Err(error)),
        Ok(()) => {
            handed.reported(&report.report);
            disk::remove(path)?;
            // Whoever waits for fewer open orders looks again.
            context.bell.ring();
        }
    }
    reports.done(number);
    Ok(Ok(()))
}

fn post(context: &Context, report: &AgentReport) -> Result<(), HttpError> {
    context
        .client()
        .post("/v1/agent/reports", report, MAX_MESSAGE_BYTES)?;
    context.heard();
    Ok(())
}

fn set_aside(context: &Context, path: &Path, why: &str) -> Result<(), CourierError> {
    context.note("a report was set aside", why);
    Ok(disk::rename_durable(path, &path.with_extension("refused"))?)
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
