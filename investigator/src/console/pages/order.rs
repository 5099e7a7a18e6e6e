//! Orders: all of them, and one as it goes on.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use evidence::{ids::OrderId, instant::Instant};
use protocol::{messages::OrderRow, messages::Rest, policy::Role};

use super::{CollectionLine, OrderLine, hits::is_hunt, id, unless_forbidden};
use crate::{
    approval::Approval,
    cancel, chain,
    console::{
        app::App,
        live,
        view::{Answer, Frame, Mark, When, number, show, size},
    },
    countersign::Asked,
    draft::{self, Line},
    follow::{self, HostView, View, judge::Judge, plain},
    retry,
    session::Session,
};

#[derive(Template)]
#[template(path = "orders.html")]
struct List {
    frame: Frame,
    orders: Vec<OrderLine>,
}

/// All orders.
pub async fn list(State(app): State<Arc<App>>) -> Answer {
    app.page(|app| {
        let (session, now) = (app.desk.session()?, Instant::now());
        let orders = session.remote.orders().map_err(anyhow::Error::from)?.orders;
        show(&List {
            frame: Frame::new(&app.gate, &session, "orders", "Orders"),
            orders: orders.iter().map(|o| OrderLine::new(o, now)).collect(),
        })
    })
    .await
}

/// What changes while an order goes on.
#[derive(Template)]
#[template(path = "live.html")]
pub struct Live {
    /// The hosts.
    pub table: Table,
}

/// The hosts of an order and their sum.
pub struct Table {
    order: String,
    rest: String,
    settled: usize,
    all: usize,
    is_settled: bool,
    rows: Vec<Row>,
    sum: Figures,
}

struct Row {
    agent: String,
    hostname: String,
    mark: Mark,
    done: u32,
    total: u32,
    artifact: String,
    rest: String,
    figures: Figures,
    collection: Option<String>,
    note: String,
}

#[derive(Default)]
struct Figures {
    records: String,
    files: String,
    bytes: String,
    gaps: u64,
    parts: String,
}

impl Table {
    /// The table of what is known now.
    pub fn new(view: &View) -> Self {
        let progress = || view.hosts.iter().filter_map(|h| h.progress.as_ref());
        Self {
            order: view.order.to_string(),
            rest: view.rest.map(Rest::words).unwrap_or_default(),
            settled: view.hosts.iter().filter(|h| h.is_settled()).count(),
            all: view.hosts.len(),
            is_settled: view.settled,
            rows: view.hosts.iter().map(row).collect(),
            sum: Figures {
                records: number(progress().map(|p| p.records).sum()),
                files: number(progress().map(|p| p.files).sum()),
                bytes: size(progress().map(|p| p.file_bytes).sum()),
                gaps: progress().map(|p| p.gaps).sum(),
                parts: view.parts().to_string(),
            },
        }
    }
}

fn row(host: &HostView) -> Row {
    let progress = host.progress.clone().unwrap_or_default();
    let note = match (&host.refusal, &host.ended_early) {
        (Some(_), _) => plain::detail(host),
        (None, Some(why)) => format!("cut short: {why}"),
        (None, None) => String::new(),
    };
    Row {
        agent: host.agent.to_string(),
        hostname: host.hostname.clone(),
        mark: Mark::of_state(host.state),
        done: progress.artifacts_done,
        total: progress.artifacts_total,
        artifact: progress.artifact.clone(),
        rest: match host.is_settled() {
            true => String::new(),
            false => progress.rest_words(),
        },
        figures: match &host.progress {
            None => Figures::default(),
            Some(p) => Figures {
                records: number(p.records),
                files: number(p.files),
                bytes: size(p.file_bytes),
                gaps: p.gaps,
                // What it says of itself may be older than what has come.
                parts: format!(
                    "{} of {}",
                    host.parts_received,
                    p.parts_sealed.max(host.parts_received)
                ),
            },
        },
        collection: host.collection.map(|c| c.to_string()),
        note,
    }
}

#[derive(Template)]
#[template(path = "order.html")]
struct Page {
    frame: Frame,
    id: String,
    case: String,
    reason: String,
    requester: String,
    expires: When,
    approval: Approval,
    lines: Vec<Line>,
    table: Table,
    acts: Acts,
    collections: Vec<CollectionLine>,
    may_fetch: bool,
    may_approve: bool,
}

/// What can be done with an order, and the orders around it.
struct Acts {
    cancelled: Option<String>,
    before: Option<OrderLine>,
    after: Vec<OrderLine>,
    is_hunt: bool,
    may_retry: bool,
    may_cancel: bool,
}

fn acts(
    session: &Session,
    (asked, view): (&Asked, &View),
    (all, together): (&[OrderRow], &[OrderId]),
    now: Instant,
) -> Acts {
    let cancelled = cancel::told(&asked.status, &session.believed.policy);
    let is_investigator = session.demand(Role::Investigator).is_ok();
    let is_over = view.settled || asked.order.expires <= now;
    let after = all
        .iter()
        .filter(|row| together.iter().skip(1).any(|order| *order == row.order));
    Acts {
        before: chain::before(all, asked.order.id).map(|row| OrderLine::new(row, now)),
        after: after.map(|row| OrderLine::new(row, now)).collect(),
        is_hunt: is_investigator && is_hunt(&asked.order.profile),
        may_retry: is_investigator && asked.status.hosts.iter().any(retry::failed),
        may_cancel: cancelled.is_none() && !is_over && cancel::demand(session).is_ok(),
        cancelled,
    }
}

/// One order.
pub async fn page(State(app): State<Arc<App>>, Path(order): Path<String>) -> Answer {
    let order = id(&order)?;
    app.page(move |app| one(app, order)).await
}

fn one(app: &App, order: OrderId) -> Answer {
    let (session, now) = (app.desk.session()?, Instant::now());
    let hosts = session.remote.hosts().map_err(anyhow::Error::from)?.hosts;
    let asked = Asked::get(&session, order, &hosts)?;
    let judge = Judge::new(&session, &hosts)?;
    let judge = |status: &_, host: &_, notice: &str| judge.refusal(status, host, notice);
    let approval = asked.approval(&session)?;
    let view = follow::view(order, &asked.status, &judge, approval.lacking(), Vec::new());
    let all = unless_forbidden(session.remote.orders())?;
    let all = all.map(|o| o.orders).unwrap_or_default();
    let together = chain::with_retries(&all, order);
    let mut collections = Vec::new();
    for one in &together {
        let answer = unless_forbidden(session.remote.collections(Some(*one)))?;
        collections.extend(answer.into_iter().flat_map(|c| c.collections));
    }
    let case = crate::inert::inert(&asked.order.case);
    show(&Page {
        frame: Frame::new(&app.gate, &session, "orders", &format!("Order for {case}")),
        id: order.to_string(),
        case: asked.order.case.clone(),
        reason: asked.order.reason.clone(),
        requester: asked.order.requester.to_string(),
        expires: When::new(asked.order.expires, now),
        may_approve: approval.lacking() > 0
            && session.demand(Role::Approver).is_ok()
            && asked.check(&session).is_ok()
            && !asked.is_signed_by_me(&session),
        approval,
        lines: draft::lines(&asked.order, &asked.host_refs())?,
        table: Table::new(&view),
        acts: acts(&session, (&asked, &view), (&all, &together), now),
        collections: collections
            .iter()
            .map(|c| CollectionLine::new(c, now))
            .collect(),
        may_fetch: session.demand(Role::Investigator).is_ok(),
    })
}

/// The order's table as a stream.
pub async fn events(State(app): State<Arc<App>>, Path(order): Path<String>) -> Answer {
    live::stream(&app, id(&order)?)
}
