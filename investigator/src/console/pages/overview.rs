//! The fleet at a glance: what waits for a signature, what runs, and every host.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use evidence::instant::Instant;

use super::{OrderLine, Waiting, is_open, unless_forbidden, waiting};
use crate::console::{
    app::App,
    view::{Answer, Frame, Mark, When, show},
};

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    hosts: Vec<HostLine>,
    in_touch: usize,
    running: Vec<OrderLine>,
    waiting: Vec<Waiting>,
}

struct HostLine {
    agent: String,
    hostname: String,
    agency: String,
    labels: Vec<String>,
    system: String,
    seen: Option<When>,
    mark: Mark,
}

/// The page.
pub async fn page(State(app): State<Arc<App>>) -> Answer {
    app.page(overview).await
}

fn overview(app: &App) -> Answer {
    let (session, now) = (app.desk.session()?, Instant::now());
    let rows = session.remote.hosts().map_err(anyhow::Error::from)?.hosts;
    let orders = unless_forbidden(session.remote.orders())?;
    let orders = orders.map(|o| o.orders).unwrap_or_default();
    let open = orders.iter().filter(|row| is_open(row, now));
    let mut hosts: Vec<_> = rows
        .iter()
        .filter(|host| host.removed.is_none())
        .map(|host| HostLine {
            agent: host.agent.to_string(),
            hostname: host.hostname.clone(),
            agency: host.agency.to_string(),
            labels: host.labels.iter().map(ToString::to_string).collect(),
            system: format!("{} {}", host.system, host.arch),
            seen: host.last_seen.map(|at| When::new(at, now)),
            mark: Mark::of_host(host, now),
        })
        .collect();
    hosts.sort_by(|a, b| a.hostname.cmp(&b.hostname));
    show(&Overview {
        frame: Frame::new(&app.gate, &session, "overview", "Overview"),
        in_touch: hosts.iter().filter(|h| h.mark.kind == "good").count(),
        running: open.map(|row| OrderLine::new(row, now)).collect(),
        waiting: waiting(&session, &orders, &rows, now),
        hosts,
    })
}
