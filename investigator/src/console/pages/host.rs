//! One host: who it is, how it fares, and what was ordered from and collected on it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use evidence::{ids::AgentId, instant::Instant};
use protocol::{
    messages::{ErrorSeen, HostRow},
    policy::Role,
};

use super::{AT_ONCE, CollectionLine, OrderLine, hosts::marked, id, unless_forbidden};
use crate::{
    console::{
        app::App,
        problem::Problem,
        view::{Answer, Frame, Mark, When, show},
    },
    health,
};

/// Orders that are looked into for this host; older ones stand in the list of orders.
const ORDERS_SHOWN: usize = 25;

#[derive(Template)]
#[template(path = "host.html")]
struct Page {
    frame: Frame,
    host: HostRow,
    mark: Mark,
    concerns: Vec<(Mark, String)>,
    is_looked_after: bool,
    told: Option<Told>,
    no_report: &'static str,
    seen: Option<When>,
    enrolled: When,
    revoked: Option<When>,
    removed: Option<When>,
    cloned: Option<When>,
    orders: Vec<(OrderLine, Mark)>,
    collections: Vec<CollectionLine>,
    may_revoke: bool,
}

/// What its agent last said of itself; each fact, or why it is not known.
struct Told {
    at: Option<When>,
    spool: String,
    problem: Option<String>,
    clock: String,
    cpu: String,
    memory: String,
    reader_walls: String,
    courier_walls: String,
    errors: Vec<ErrorLine>,
}

/// One of the last errors.
struct ErrorLine {
    text: String,
    about: &'static str,
    times: u32,
    first: When,
    last: When,
    over: bool,
}

impl ErrorLine {
    fn new(error: &ErrorSeen, now: Instant) -> Self {
        Self {
            text: error.text.clone(),
            about: match error.way {
                true => "the server, or the way to it",
                false => "the host",
            },
            times: error.times,
            first: When::new(error.first, now),
            last: When::new(error.last, now),
            over: error.over,
        }
    }
}

impl Told {
    fn new(host: &HostRow, now: Instant) -> Option<Self> {
        let told = host.health.as_ref()?;
        let or = |known: Option<String>, why: &str| known.unwrap_or_else(|| why.to_owned());
        Some(Self {
            at: host.health_told.map(|at| When::new(at, now)),
            spool: health::spool(told),
            problem: told.problem.clone(),
            clock: or(told.clock_ahead_ms.map(health::clock), health::NO_CLOCK),
            cpu: or(health::cpu(told), health::NO_USE),
            memory: or(health::memory(told), health::NO_USE),
            reader_walls: or(told.reader_walls.clone(), health::NO_READER_WALLS),
            courier_walls: or(told.courier_walls.clone(), health::NO_COURIER_WALLS),
            errors: told.errors.iter().map(|e| ErrorLine::new(e, now)).collect(),
        })
    }
}

/// The page.
pub async fn page(State(app): State<Arc<App>>, Path(agent): Path<String>) -> Answer {
    let agent = id(&agent)?;
    app.page(move |app| host(app, agent)).await
}

fn host(app: &App, agent: AgentId) -> Answer {
    let (session, now) = (app.desk.session()?, Instant::now());
    let hosts = session.remote.hosts().map_err(anyhow::Error::from)?.hosts;
    let Some(host) = hosts.into_iter().find(|h| h.agent == agent) else {
        let why = "No host of your agencies has this id. See the list of hosts.";
        return Err(Problem::not_found(why));
    };
    let orders = unless_forbidden(session.remote.orders())?;
    let mut of_host = Vec::new();
    for row in orders.iter().flat_map(|o| &o.orders).take(ORDERS_SHOWN) {
        let status = session.remote.order(row.order, 0, AT_ONCE);
        let status = status.map_err(anyhow::Error::from)?;
        if let Some(target) = status.hosts.iter().find(|h| h.agent == agent) {
            of_host.push((OrderLine::new(row, now), Mark::of_state(target.state)));
        }
    }
    let collections = unless_forbidden(session.remote.collections(None))?;
    let collections = collections.iter().flat_map(|c| &c.collections);
    let title = crate::inert::inert(&host.hostname);
    show(&Page {
        frame: Frame::new(&app.gate, &session, "hosts", &title),
        mark: Mark::of_host(&host, now),
        concerns: marked(&host, now),
        is_looked_after: health::is_looked_after(&host),
        told: Told::new(&host, now),
        no_report: health::no_report(&host),
        seen: host.last_seen.map(|at| When::new(at, now)),
        enrolled: When::new(host.enrolled, now),
        revoked: host.revoked.map(|at| When::new(at, now)),
        removed: host.removed.map(|at| When::new(at, now)),
        cloned: host.cloned.map(|at| When::new(at, now)),
        orders: of_host,
        may_revoke: host.revoked.is_none() && session.me.may(Role::Admin, &host.agency),
        collections: collections
            .filter(|c| c.agent == agent)
            .map(|c| CollectionLine::new(c, now))
            .collect(),
        host,
    })
}
