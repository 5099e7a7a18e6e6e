//! What a kit gathered comes by hand: from a stick, or from a folder that somebody pushed here.
//!
//! A part goes through the same checks and the same keeping as one from the network. What fails any of them is set apart
//! with its reasons, and the other collections go on.

mod apart;
mod fault;
mod report;
mod stick;
mod usage;

use std::path::Path;

use evidence::{
    custody::event::{Action, StoredPart},
    digest::Digest,
    ids::CollectionId,
    instant::Instant,
    statement,
};
use serde_json::json;
use tokio::task::spawn_blocking;

use self::{apart::Room, fault::Fault, usage::Usage};
use super::statement as stated_here;
use crate::{
    refusal::{Refusal, chain},
    state::Server,
    store::{
        imports::{Change as ImportChange, Taken},
        index::Change,
        uploads::Promise,
    },
};

pub use report::{CollectionReport, Outcome, PartReport, Report};
pub(crate) use stick::{Found, collections as on_stick, open_dir, read_small, sealed, stated};

/// Who brings what: as they say, for the record.
#[derive(Debug, Clone, Default)]
pub struct Brought {
    /// Who.
    pub by: Option<String>,
    /// From where.
    pub from: String,
    /// The medium's serial number.
    pub medium: Option<String>,
}

/// Takes in every collection below `path`.
pub async fn import(server: &Server, path: &Path, brought: &Brought) -> Report {
    // One at a time, so that a stick and its copy don't meet in the middle.
    let _alone = server.importing.lock().await;
    let at = path.to_owned();
    let found = spawn_blocking(move || stick::collections(&at)).await;
    let found = match found {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Report::failed(error.to_string()),
        Err(error) => return Report::failed(error.to_string()),
    };
    let mut collections = Vec::with_capacity(found.len());
    for one in &found {
        let report = collection(server, path, one, brought).await;
        tracing::info!(collection = %one.collection, outcome = ?report.outcome, "a collection came by hand");
        collections.push(report);
    }
    Report::of(collections)
}

async fn collection(
    server: &Server,
    root: &Path,
    found: &Found,
    brought: &Brought,
) -> CollectionReport {
    let folder = found.folder.strip_prefix(root).unwrap_or(&found.folder);
    let mut report = CollectionReport {
        collection: found.collection,
        folder: folder.to_string_lossy().into_owned(),
        hostname: None,
        outcome: Outcome::SetApart,
        whole: false,
        reasons: Vec::new(),
        quarantine: None,
        parts: Vec::new(),
        certified: None,
        imported: None,
    };
    let mut apart = Vec::new();
    if let Err(fault) = take(server, found, brought, &mut report, &mut apart).await {
        report.outcome = outcome_of(&fault);
        report.reasons.push(told(&fault));
        apart = found.names().unwrap_or_default();
    }
    if report.outcome == Outcome::SetApart {
        set_apart(server, found, apart, &mut report).await;
    }
    report
}

/// The use, then the parts, then the leaf that says who brought them.
async fn take(
    server: &Server,
    found: &Found,
    brought: &Brought,
    report: &mut CollectionReport,
    apart: &mut Vec<String>,
) -> Result<(), Fault> {
    found.check()?;
    let usage = usage::judge(server, found).await?;
    let of = found.collection;
    begin(server, of, &usage, brought).await?;
    report.hostname = Some(usage.host.hostname.clone());
    report.certified = server
        .index
        .admission(usage.agent)
        .await?
        .1
        .to_json()
        .ok()
        .and_then(|json| String::from_utf8(json).ok());
    for number in found.parts()? {
        let part = match part(server, found, &usage, number).await {
            Ok(part) => part,
            Err(fault) => {
                report
                    .reasons
                    .push(format!("part {number}: {}", told(&fault)));
                if outcome_of(&fault) == Outcome::SetApart {
                    apart.extend([sealed(number), stated(number)]);
                }
                PartReport {
                    part: number,
                    outcome: outcome_of(&fault),
                    stored_sha256: None,
                    receipt: None,
                    reason: Some(told(&fault)),
                }
            }
        };
        report.parts.push(part);
    }
    finish(server, of, &usage, report).await
}

/// The row, unless the kit was used too often; then the kit's own leaf, as it is.
async fn begin(
    server: &Server,
    collection: CollectionId,
    usage: &Usage,
    brought: &Brought,
) -> Result<(), Fault> {
    let at = Instant::now();
    let record = json!({
        "v": 1, "collection": collection, "time": at, "by": brought.by, "from": brought.from, "medium": brought.medium,
    });
    let taken = Taken {
        collection,
        agent: usage.agent,
        order: usage.order,
        host: usage.host.id,
        hostname: usage.host.hostname.clone(),
        at,
        uses: usage.uses,
        use_envelope: usage.envelope.clone(),
        record: record.to_string(),
    };
    let change = ImportChange::Take(Box::new(taken));
    server.change(Change::Import(change)).await?;
    server
        .custody
        .log_signed(&usage.action, &usage.leaf)
        .await?;
    Ok(())
}

/// One part: its statement first, and its bytes only where that holds.
async fn part(
    server: &Server,
    found: &Found,
    usage: &Usage,
    number: u32,
) -> Result<PartReport, Fault> {
    let envelope = found.read(&stated(number))?;
    let (_, said) =
        statement::read_unverified(&envelope).map_err(|e| Fault::malformed("the statement", e))?;
    let stored = said.stored();
    let key = StoredPart {
        collection: found.collection,
        part: number,
        stored_sha256: stored.sha256,
    };
    if let Some(here) = durable(server, key, Outcome::WasHere).await? {
        return Ok(here);
    }
    if said.order != Some(usage.order_sha256) {
        return Err(Fault::Foreign("order"));
    }
    let limit = server.uploads.limits().max_part_bytes;
    let (file, length_bytes) = found.open(&sealed(number), limit)?;
    let promise = Promise {
        collection: found.collection,
        part: number,
        sha256: stored.sha256,
        statement: envelope,
        length_bytes,
    };
    stated_here::check(server, usage.agent, &promise).await?;
    let woken = server.uploads.take(usage.agent, promise, file).await?;
    server.wake.tell(&woken);
    server.metrics.received(length_bytes);
    server.unstamped.notify_one();
    let here = durable(server, key, Outcome::TakenIn).await?;
    here.ok_or(Fault::Refused(Refusal::NotFound))
}

/// A part that is in the store, with its receipt.
async fn durable(
    server: &Server,
    key: StoredPart,
    outcome: Outcome,
) -> Result<Option<PartReport>, Fault> {
    let here = server.index.part(key).await?;
    Ok(here.map(|here| PartReport {
        part: key.part,
        outcome,
        stored_sha256: Some(key.stored_sha256),
        receipt: Some(here.receipt),
        reason: None,
    }))
}

/// The leaf, how the order fares, and what to say of the whole.
async fn finish(
    server: &Server,
    collection: CollectionId,
    usage: &Usage,
    report: &mut CollectionReport,
) -> Result<(), Fault> {
    if report.parts.iter().any(|part| part.receipt.is_some()) {
        report.imported = Some(log_import(server, collection).await?);
    }
    let count = ImportChange::Count {
        order: usage.order,
        agent: usage.agent,
        collection,
        at: Instant::now(),
    };
    server.change(Change::Import(count)).await?;
    report.whole = server.index.is_whole(collection).await?;
    let any = |outcome| report.parts.iter().any(|part| part.outcome == outcome);
    report.outcome = if any(Outcome::Failed) {
        Outcome::Failed
    } else if any(Outcome::SetApart) {
        Outcome::SetApart
    } else if !report.whole {
        report.reasons.push(
            "the last part, or one before it, is missing. Look whether the kit still holds it."
                .into(),
        );
        Outcome::Incomplete
    } else if any(Outcome::TakenIn) {
        Outcome::TakenIn
    } else {
        Outcome::WasHere
    };
    Ok(())
}

/// Of the record that was written down first: what is brought again is the same leaf.
async fn log_import(server: &Server, collection: CollectionId) -> Result<String, Fault> {
    let record = server.index.import_record(collection).await?;
    let record = record.ok_or(Fault::Refused(Refusal::NotFound))?;
    let imported = Action::Imported {
        collection,
        handed_in_sha256: Digest::of(record.as_bytes()),
    };
    let receipt = server.custody.log(imported).await?;
    let change = ImportChange::Logged {
        collection,
        receipt: receipt.clone(),
    };
    server.change(Change::Import(change)).await?;
    Ok(receipt)
}

async fn set_apart(
    server: &Server,
    found: &Found,
    names: Vec<String>,
    report: &mut CollectionReport,
) {
    let room = Room {
        max_file_bytes: server.uploads.limits().max_part_bytes,
        min_free_bytes: server.uploads.limits().min_free_bytes,
    };
    let (folder, found, reasons) = (server.folder.clone(), found.clone(), report.reasons.clone());
    let keep = move || apart::keep(&folder, &found, &names, &reasons, room);
    match spawn_blocking(keep).await {
        Ok(Ok(place)) => report.quarantine = Some(place),
        Ok(Err(fault)) => report
            .reasons
            .push(format!("it could not be set apart: {fault}")),
        Err(error) => report
            .reasons
            .push(format!("it could not be set apart: {error}")),
    }
}

fn outcome_of(fault: &Fault) -> Outcome {
    match fault {
        fault if fault.is_ours() => Outcome::Failed,
        fault if fault.is_missing() => Outcome::Incomplete,
        _ => Outcome::SetApart,
    }
}

/// For people; what failed on our side is logged here and told to nobody.
fn told(fault: &Fault) -> String {
    if let Fault::Refused(Refusal::Failed(source)) = fault {
        tracing::error!(error = chain(&**source), "an import failed on our side");
    }
    fault.to_string()
}
