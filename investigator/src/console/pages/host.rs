//! One host: who it is, and what was ordered from and collected on it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use evidence::{ids::AgentId, instant::Instant};
use protocol::{messages::HostRow, policy::Role};

use super::{AT_ONCE, CollectionLine, OrderLine, id, unless_forbidden};
use crate::console::{
    app::App,
    problem::Problem,
    view::{Answer, Frame, Mark, When, show},
};

/// Orders that are looked into for this host; older ones stand in the list of orders.
const ORDERS_SHOWN: usize = 25;

#[derive(Template)]
#[template(path = "host.html")]
struct Page {
    frame: Frame,
    host: HostRow,
    mark: Mark,
    seen: Option<When>,
    enrolled: When,
    revoked: Option<When>,
    removed: Option<When>,
    cloned: Option<When>,
    orders: Vec<(OrderLine, Mark)>,
    collections: Vec<CollectionLine>,
    may_revoke: bool,
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
        let why = "No host of your agencies has this id. See the overview.";
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
        frame: Frame::new(&app.gate, &session, "overview", &title),
        mark: Mark::of_host(&host, now),
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
