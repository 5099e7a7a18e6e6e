//! Collections: what the server stores, and what was fetched and verified here.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderValue, Uri, header},
    response::{Html, IntoResponse as _},
};
use evidence::{
    ids::{CollectionId, OrderId},
    instant::Instant,
    verify::Verdict,
};
use protocol::{messages::CollectionRow, policy::Role};

use super::{CollectionLine, id, query};
use crate::{
    chain,
    console::{
        app::App,
        desk::lock,
        jobs::{Found, Job},
        problem::Problem,
        view::{Answer, Frame, Mark, When, go_to, show, size},
    },
    custody::Recorded,
    remote::Remote,
    report,
};

#[derive(Template)]
#[template(path = "collections.html")]
struct List {
    frame: Frame,
    case: String,
    collections: Vec<CollectionLine>,
}

/// All, or those of a case.
pub async fn list(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    let case = query(&uri).get("case").to_owned();
    app.page(move |app| {
        let (session, now) = (app.desk.session()?, Instant::now());
        let answer = session.remote.collections(None);
        let mut rows = answer.map_err(anyhow::Error::from)?.collections;
        rows.retain(|c| case.is_empty() || c.case.as_deref() == Some(&case));
        show(&List {
            frame: Frame::new(&app.gate, &session, "collections", "Collections"),
            case,
            collections: rows.iter().map(|c| CollectionLine::new(c, now)).collect(),
        })
    })
    .await
}

#[derive(Template)]
#[template(path = "collection.html")]
struct Page {
    frame: Frame,
    line: CollectionLine,
    order: Option<String>,
    parts: Vec<PartLine>,
    folder: String,
    may_fetch: bool,
    expired: Option<String>,
    held: bool,
    job: Shown,
}

struct PartLine {
    number: u32,
    size: String,
    received: When,
    digest: String,
    has_stamp: bool,
    mark: Mark,
}

/// A job as a page tells it.
#[derive(Default)]
struct Shown {
    at_work: bool,
    words: String,
    failed: Vec<String>,
    found: Option<FoundLine>,
}

struct FoundLine {
    kind: &'static str,
    headline: &'static str,
    meaning: &'static str,
    gaps: u64,
    serious: u64,
    folder: String,
    case: Option<String>,
    not_loaded: Vec<String>,
    /// Each part's file, its leaf, or why there is none.
    recorded: Vec<(String, Option<u64>, &'static str)>,
}

fn shown(job: Option<Job>) -> Shown {
    let mut shown = Shown {
        at_work: job.as_ref().is_some_and(Job::is_at_work),
        ..Shown::default()
    };
    match job {
        None => {}
        Some(Job::Waiting) => shown.words = "Waiting for another fetch".into(),
        Some(Job::Fetching(there, all)) => {
            shown.words = format!("Fetching: {there} of {all} parts are here");
        }
        Some(Job::Verifying) => shown.words = "Verifying every part".into(),
        Some(Job::Loading) => shown.words = "Loading into the database of its case".into(),
        Some(Job::Failed(words)) => shown.failed = words,
        Some(Job::Done(found)) => {
            let (gaps, serious) = found.gaps();
            let verdict = found.verdict();
            shown.found = Some(FoundLine {
                kind: match verdict {
                    Verdict::GenuineComplete => "good",
                    Verdict::GenuineReserved => "fair",
                    Verdict::NotGenuine => "bad",
                },
                headline: verdict.headline(),
                meaning: verdict.meaning(),
                gaps,
                serious,
                folder: found.folder.display().to_string(),
                case: found.case.clone(),
                not_loaded: found.not_loaded.clone(),
                recorded: recorded(&found),
            });
        }
    }
    shown
}

fn recorded(found: &Found) -> Vec<(String, Option<u64>, &'static str)> {
    let recorded = lock(&found.recorded);
    let line = |part: &Recorded| {
        let why = part.leaf.err().unwrap_or_default();
        (part.file.clone(), part.leaf.ok(), why)
    };
    recorded.iter().map(line).collect()
}

/// One collection.
pub async fn page(State(app): State<Arc<App>>, Path(collection): Path<String>) -> Answer {
    let collection = id(&collection)?;
    app.page(move |app| {
        let (session, now) = (app.desk.session()?, Instant::now());
        let row = find(app, collection)?;
        let title = format!("Collection of {}", crate::inert::inert(&row.hostname));
        show(&Page {
            frame: Frame::new(&app.gate, &session, "collections", &title),
            line: CollectionLine::new(&row, now),
            order: row.order.map(|o| o.to_string()),
            parts: row.parts.iter().map(|p| part(p, now)).collect(),
            folder: app.jobs.evidence().display().to_string(),
            may_fetch: row.expired.is_none() && session.demand(Role::Investigator).is_ok(),
            expired: row.expired.as_ref().map(ToString::to_string),
            held: row.held,
            job: shown(app.jobs.get(collection)),
        })
    })
    .await
}

fn part(part: &protocol::messages::PartRow, now: Instant) -> PartLine {
    PartLine {
        number: part.part,
        size: size(part.size_bytes),
        received: When::new(part.received, now),
        digest: part.stored_sha256.to_string(),
        has_stamp: part.has_tsr,
        mark: match (part.quarantined, part.last) {
            (true, _) => Mark::new("bad", "NOT GENUINE"),
            (false, true) => Mark::new("good", "last part"),
            (false, false) => Mark::new("good", "durable"),
        },
    }
}

fn find(app: &App, collection: CollectionId) -> Result<CollectionRow, Problem> {
    let answer = app.desk.session()?.remote.collections(None);
    let mut rows = answer.map_err(anyhow::Error::from)?.collections.into_iter();
    rows.find(|c| c.collection == collection).ok_or_else(|| {
        Problem::not_found("The server has no such collection of your agencies. See the list.")
    })
}

/// Fetches one collection and verifies it.
pub async fn fetch(State(app): State<Arc<App>>, Path(collection): Path<String>) -> Answer {
    let collection: CollectionId = id(&collection)?;
    let worker = Arc::clone(&app);
    app.page(move |app| {
        let row = find(app, collection)?;
        begin(worker, vec![row])?;
        go_to(&format!("/collections/{collection}"))
    })
    .await
}

/// Fetches and verifies all that was collected on an order.
pub async fn fetch_order(State(app): State<Arc<App>>, Path(order): Path<String>) -> Answer {
    let order: OrderId = id(&order)?;
    let worker = Arc::clone(&app);
    app.page(move |app| {
        let mut rows = of_order(&app.desk.session()?.remote, order)?;
        rows.retain(|row| row.expired.is_none());
        let to = match rows.as_slice() {
            [one] => format!("/collections/{}", one.collection),
            _ => format!("/orders/{order}"),
        };
        begin(worker, rows)?;
        go_to(&to)
    })
    .await
}

/// What was collected on an order, and on those that continue it.
fn of_order(remote: &Remote, order: OrderId) -> anyhow::Result<Vec<CollectionRow>> {
    let mut rows = Vec::new();
    for one in chain::with_retries(&remote.orders()?.orders, order) {
        rows.extend(remote.collections(Some(one))?.collections);
    }
    Ok(rows)
}

fn begin(app: Arc<App>, rows: Vec<CollectionRow>) -> anyhow::Result<()> {
    app.desk.session()?.demand(Role::Investigator)?;
    let claimed = app.jobs.claim(rows);
    if !claimed.is_empty() {
        tokio::task::spawn_blocking(move || app.jobs.work(&app.desk, &claimed));
    }
    Ok(())
}

/// The verification report, to print: a page of its own, whose only style is the one inside it.
pub async fn report(State(app): State<Arc<App>>, Path(collection): Path<String>) -> Answer {
    let Some(Job::Done(found)) = app.jobs.get(id(&collection)?) else {
        let why = "This collection was not verified in this run of the console. Fetch it first.";
        return Err(Problem::not_found(why));
    };
    let mut answer = Html(found.page()).into_response();
    let policy = format!(
        "default-src 'none'; style-src '{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        report::html::style_hash()
    );
    let policy = HeaderValue::from_str(&policy).map_err(anyhow::Error::from)?;
    answer
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(answer)
}
