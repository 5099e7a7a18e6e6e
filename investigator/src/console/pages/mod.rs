//! The pages, one file a noun; each asks the server, fills a template, and knows no more of HTTP than its path.

pub mod approve;
pub mod browser;
pub mod cancel;
pub mod collections;
pub mod custody;
pub mod hits;
pub mod host;
pub mod hosts;
pub mod hunt;
pub mod log;
pub mod new_order;
pub mod order;
pub mod overview;
pub mod pending;
pub mod policy;
pub mod record;
pub mod retry;
pub mod revoke;
pub mod session;
pub mod sign;

use std::{str::FromStr, time::Duration};

use axum::http::Uri;
use evidence::instant::Instant;
use protocol::messages::{CollectionRow, OrderRow};

use super::{
    app::App,
    fields::Fields,
    problem::Problem,
    view::{Mark, When, short},
};
use crate::{countersign::Asked, session::Session};

/// Orders that are looked into for a list of what waits; the rest has its own pages.
const LOOKED_INTO: usize = 50;

/// There is no such page.
pub async fn nothing() -> Problem {
    Problem::not_found("There is no such page. Use the links of the console.")
}

/// An id out of a path, which is typed by strangers as well.
fn id<T: FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| {
        Problem::not_found("There is nothing of this id. Use the links of the console.")
    })
}

/// The fields of the query.
fn query(uri: &Uri) -> Fields {
    Fields::parse(uri.query().unwrap_or_default().as_bytes())
}

/// What a form is filled with: what its draft was made from, else the query.
fn filled(app: &App, query: &Fields) -> anyhow::Result<Fields> {
    match query.get("draft") {
        "" => Ok(query.clone()),
        id => Ok(app.drafts.get(id)?.fields.clone()),
    }
}

/// What a server does not show to a person's roles is empty, and said to be so.
fn unless_forbidden<T>(answer: Result<T, crate::remote::RemoteError>) -> anyhow::Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.status() == Some(403) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// One order in a list.
struct OrderLine {
    id: String,
    short: String,
    case: String,
    requester: String,
    submitted: When,
    expires: When,
    settled: u32,
    hosts: u32,
    mark: Mark,
}

impl OrderLine {
    fn new(row: &OrderRow, now: Instant) -> Self {
        let mark = if row.settled >= row.hosts && row.hosts > 0 {
            Mark::new("good", "settled")
        } else if row.expires <= now {
            Mark::new("fair", "expired")
        } else {
            Mark::new("busy", "open")
        };
        Self {
            id: row.order.to_string(),
            short: short(&row.order),
            case: row.case.clone(),
            requester: row.requester.to_string(),
            submitted: When::new(row.submitted, now),
            expires: When::new(row.expires, now),
            settled: row.settled,
            hosts: row.hosts,
            mark,
        }
    }
}

/// Whether something may still come of an order.
fn is_open(row: &OrderRow, now: Instant) -> bool {
    (row.settled < row.hosts || row.hosts == 0) && now < row.expires
}

/// An order that waits for signatures.
struct Waiting {
    line: OrderLine,
    signers: String,
    found: usize,
    needed: usize,
    /// Whether this person may be the next to sign.
    mine: bool,
}

/// The open orders that wait for signatures.
fn waiting(
    session: &Session,
    orders: &[OrderRow],
    hosts: &[protocol::messages::HostRow],
    now: Instant,
) -> Vec<Waiting> {
    let open = orders.iter().filter(|row| is_open(row, now));
    let mut found = Vec::new();
    for row in open.take(LOOKED_INTO) {
        // One that can't be read is told on its own page.
        let Ok(asked) = Asked::get(session, row.order, hosts) else {
            continue;
        };
        let Ok(approval) = asked.approval(session) else {
            continue;
        };
        if approval.lacking() == 0 {
            continue;
        }
        let signers: Vec<_> = approval.signers.iter().map(ToString::to_string).collect();
        let is_approver = session.demand(protocol::policy::Role::Approver).is_ok();
        found.push(Waiting {
            line: OrderLine::new(row, now),
            signers: signers.join(", "),
            found: approval.signers.len(),
            needed: approval.needed,
            mine: is_approver && asked.check(session).is_ok() && !asked.is_signed_by_me(session),
        });
    }
    found
}

/// One collection in a list.
struct CollectionLine {
    id: String,
    short: String,
    case: String,
    hostname: String,
    agent: String,
    received: Option<When>,
    parts: usize,
    size: String,
    mark: Mark,
}

impl CollectionLine {
    fn new(row: &CollectionRow, now: Instant) -> Self {
        let mark = if row.parts.iter().any(|p| p.quarantined) {
            Mark::new("bad", "NOT GENUINE")
        } else if row.expired.is_some() {
            Mark::new("fair", "expired")
        } else if row.complete && row.held {
            Mark::new("good", "complete, held")
        } else if row.complete {
            Mark::new("good", "complete")
        } else {
            Mark::new("fair", "parts missing")
        };
        let received = row.parts.iter().map(|p| p.received).max();
        Self {
            id: row.collection.to_string(),
            short: short(&row.collection),
            case: row.case.clone().unwrap_or_default(),
            hostname: row.hostname.clone(),
            agent: row.agent.to_string(),
            received: received.map(|at| When::new(at, now)),
            parts: row.parts.len(),
            size: super::view::size(row.parts.iter().map(|p| p.size_bytes).sum()),
            mark,
        }
    }
}

/// Asks at once.
const AT_ONCE: Duration = Duration::ZERO;
