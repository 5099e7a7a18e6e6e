//! Every host, and how the fleet fares: figures that lead to the hosts behind them.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::Uri};
use evidence::instant::Instant;
use protocol::{messages::HostRow, policy::Role};

use super::{query, unless_forbidden};
use crate::{
    console::{
        app::App,
        fields::Fields,
        fleet::{Fleet, Only},
        problem::Problem,
        view::{Answer, Frame, Mark, When, show},
    },
    health::{self, concerns},
};

#[derive(Template)]
#[template(path = "hosts.html")]
struct Page {
    frame: Frame,
    fleet: Fleet,
    only: Option<Only>,
    find: String,
    lines: Vec<Line>,
    /// How many wait for an admin; none where this person is none.
    waiting: Option<usize>,
}

/// One host in the list.
struct Line {
    agent: String,
    hostname: String,
    mark: Mark,
    concerns: Vec<(Mark, String)>,
    spool: Option<String>,
    cpu: Option<String>,
    memory: Option<String>,
    clock: Option<String>,
    version: String,
    seen: Option<When>,
    agency: String,
    labels: Vec<String>,
    system: String,
}

impl Line {
    fn new(host: &HostRow, now: Instant) -> Self {
        let told = host.health.as_ref();
        Self {
            agent: host.agent.to_string(),
            hostname: host.hostname.clone(),
            mark: Mark::of_host(host, now),
            concerns: marked(host, now),
            spool: told.map(health::spool),
            cpu: told.and_then(health::cpu),
            memory: told.and_then(health::memory),
            clock: told.and_then(|h| h.clock_ahead_ms).map(health::ahead),
            version: host.agent_version.clone(),
            seen: host.last_seen.map(|at| When::new(at, now)),
            agency: host.agency.to_string(),
            labels: host.labels.iter().map(ToString::to_string).collect(),
            system: format!("{} {}", host.system, host.arch),
        }
    }
}

/// The reasons to look after `host`, each with its mark.
pub(super) fn marked(host: &HostRow, now: Instant) -> Vec<(Mark, String)> {
    let found = concerns(host, now).into_iter();
    found
        .map(|(what, why)| (Mark::of_concern(what), why))
        .collect()
}

/// The page.
pub async fn page(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    let query = query(&uri);
    app.page(move |app| list(app, &query)).await
}

fn list(app: &App, query: &Fields) -> Answer {
    let only = match query.get("only") {
        "" => None,
        name => Some(Only::read(name).ok_or_else(|| {
            Problem::not_found("There is no such list of hosts. Use the figures of the page.")
        })?),
    };
    let (session, now) = (app.desk.session()?, Instant::now());
    let mut rows = session.remote.hosts().map_err(anyhow::Error::from)?.hosts;
    rows.retain(|host| host.removed.is_none());
    rows.sort_by(|a, b| a.hostname.cmp(&b.hostname));
    let find = query.get("find");
    let sought = find.to_lowercase();
    let is_shown = |host: &&HostRow| {
        only.is_none_or(|only| only.holds(host, now))
            && host.hostname.to_lowercase().contains(&sought)
    };
    let waiting = match session.demand(Role::Admin) {
        Ok(()) => unless_forbidden(session.remote.pending())?.map(|waiting| waiting.hosts.len()),
        Err(_) => None,
    };
    show(&Page {
        frame: Frame::new(&app.gate, &session, "hosts", "Hosts"),
        fleet: Fleet::of(&rows, only, now),
        only,
        find: find.to_owned(),
        lines: rows
            .iter()
            .filter(is_shown)
            .map(|host| Line::new(host, now))
            .collect(),
        waiting,
    })
}
