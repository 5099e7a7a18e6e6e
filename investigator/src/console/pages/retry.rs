//! An order once more, for the hosts on which it came to no good end: which they are, why, and how long.

use std::sync::Arc;

use anyhow::Context as _;
use askama::Template;
use axum::{
    Extension,
    extract::{Path, State},
    http::Uri,
};
use evidence::{ids::OrderId, instant::Instant};
use protocol::policy::Role;

use super::{filled, id, query, sign::HostLine};
use crate::{
    console::{
        app::App,
        drafts::go_on,
        fields::Fields,
        ordering::Form,
        view::{Answer, Frame, show},
    },
    retry::{self, Before},
    session::Session,
};

#[derive(Template)]
#[template(path = "retry.html")]
struct Page {
    frame: Frame,
    errors: Vec<String>,
    id: String,
    case: String,
    hosts: Vec<HostLine>,
    ordering: Form,
}

/// Who is asked again.
pub async fn page(State(app): State<Arc<App>>, Path(order): Path<String>, uri: Uri) -> Answer {
    let (order, query) = (id(&order)?, query(&uri));
    app.page(move |app| {
        let session = app.desk.session()?;
        session.demand(Role::Investigator)?;
        show(&whole(
            app,
            &session,
            order,
            &filled(app, &query)?,
            Vec::new(),
        )?)
    })
    .await
}

/// Draws the new order up and goes on to what is signed.
pub async fn draw_up(
    State(app): State<Arc<App>>,
    Path(order): Path<String>,
    Extension(fields): Extension<Fields>,
) -> Answer {
    let order: OrderId = id(&order)?;
    app.page(move |app| {
        let session = app.desk.session()?;
        session.demand(Role::Investigator)?;
        go_on(make(app, &session, order, &fields), |errors| {
            whole(app, &session, order, &fields, errors)
        })
    })
    .await
}

fn make(app: &App, session: &Session, order: OrderId, fields: &Fields) -> anyhow::Result<String> {
    let (all, now) = (session.remote.hosts()?.hosts, Instant::now());
    let before = Before::get(session, order)?;
    let expires = fields.get("expires");
    let expires = expires
        .parse()
        .with_context(|| format!("{expires:?} is no length of time."))?;
    let wish = before.wish(before.failed(&all)?, fields.get("reason"), expires);
    let form = format!("/orders/{order}/retry");
    app.drafts.draw_up(session, wish, (fields, &form), now)
}

fn whole(
    app: &App,
    session: &Session,
    order: OrderId,
    fields: &Fields,
    errors: Vec<String>,
) -> anyhow::Result<Page> {
    let all = session.remote.hosts()?.hosts;
    let before = Before::get(session, order)?;
    let hosts = before.failed(&all)?;
    Ok(Page {
        frame: Frame::new(&app.gate, session, "orders", "Retry an order"),
        errors,
        id: order.to_string(),
        case: before.order.case.clone(),
        hosts: hosts.iter().map(|h| HostLine::new(h)).collect(),
        ordering: Form::new(fields, ("", retry::REASON)),
    })
}
