//! The signed word that stops an order: the order to the letter, why, and the passphrase.

use std::{sync::Arc, time::Duration};

use anyhow::ensure;
use askama::Template;
use axum::{
    Extension,
    extract::{Path, State},
};
use evidence::ids::OrderId;

use super::id;
use crate::{
    cancel,
    console::{
        app::App,
        fields::Fields,
        problem,
        view::{Answer, Frame, go_to, once_more, show},
    },
    countersign::Asked,
    draft::{self, Line},
    exit::misuse,
    session::Session,
    shown,
};

#[derive(Template)]
#[template(path = "cancel.html")]
struct Page {
    frame: Frame,
    errors: Vec<String>,
    id: String,
    digest: String,
    case: String,
    said: String,
    lines: Vec<Line>,
    reason: String,
    is_locked: bool,
}

/// What is stopped.
pub async fn page(State(app): State<Arc<App>>, Path(order): Path<String>) -> Answer {
    let order = id(&order)?;
    app.page(move |app| {
        let session = app.desk.session()?;
        cancel::demand(&session)?;
        show(&whole(app, &session, order, "", Vec::new())?)
    })
    .await
}

/// Signs it and hands it in.
pub async fn sign(
    State(app): State<Arc<App>>,
    Path(order): Path<String>,
    Extension(fields): Extension<Fields>,
) -> Answer {
    let order: OrderId = id(&order)?;
    app.page(move |app| {
        let signed = app.desk.act(|session| hand_in(session, order, &fields));
        let Err(error) = signed else {
            return go_to(&format!("/orders/{order}"));
        };
        let session = app.desk.session()?;
        let errors = problem::words(&error);
        let page = whole(app, &session, order, fields.get("reason"), errors)?;
        once_more(&page)
    })
    .await
}

fn hand_in(session: &Session, id: OrderId, fields: &Fields) -> anyhow::Result<()> {
    cancel::demand(session)?;
    let reason = fields.get("reason");
    ensure!(
        !reason.is_empty(),
        misuse("The reason is empty. It is signed: say what it is.")
    );
    ensure!(
        fields.is_set("sure"),
        misuse("It was not confirmed that all hosts shall stop. Tick the box above the button.")
    );
    let status = session.remote.order(id, 0, Duration::ZERO)?;
    let policy = &session.believed.policy;
    let (envelope, order) = shown::order(&status.order, id, policy)?;
    ensure!(
        envelope.digest().to_string() == fields.get("digest"),
        "The server shows another order than before. Nothing was signed: tell its operator."
    );
    let key = session.unlock_by(fields.raw("passphrase").unwrap_or_default())?;
    let draft = cancel::draft(session, &envelope, &order, reason);
    cancel::hand_in(session, &draft, &key).map(drop)
}

fn whole(
    app: &App,
    session: &Session,
    order: OrderId,
    reason: &str,
    errors: Vec<String>,
) -> anyhow::Result<Page> {
    let asked = Asked::get(session, order, &session.remote.hosts()?.hosts)?;
    Ok(Page {
        frame: Frame::new(&app.gate, session, "orders", "Cancel an order"),
        errors,
        id: order.to_string(),
        digest: asked.envelope.digest().to_string(),
        case: asked.order.case.clone(),
        said: cancel::in_words(session, &asked.order),
        lines: draft::lines(&asked.order, &asked.host_refs())?,
        reason: reason.to_owned(),
        is_locked: session.keys.is_locked()?,
    })
}
