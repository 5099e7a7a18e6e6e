//! The whole at a glance: what waits for a signature, what runs, and how the hosts fare.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use evidence::instant::Instant;

use super::{OrderLine, Waiting, is_open, unless_forbidden, waiting};
use crate::console::{
    app::App,
    fleet::Fleet,
    view::{Answer, Frame, Mark, show},
};

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    fleet: Fleet,
    in_touch: usize,
    running: Vec<OrderLine>,
    waiting: Vec<Waiting>,
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
    let in_touch = rows
        .iter()
        .filter(|host| Mark::of_host(host, now).kind == "good");
    show(&Overview {
        frame: Frame::new(&app.gate, &session, "overview", "Overview"),
        fleet: Fleet::of(&rows, None, now),
        in_touch: in_touch.count(),
        running: open.map(|row| OrderLine::new(row, now)).collect(),
        waiting: waiting(&session, &orders, &rows, now),
    })
}
