//! Orders that wait for another person's signature, and the signature.

use std::sync::Arc;

use anyhow::ensure;
use askama::Template;
use axum::{
    Extension,
    extract::{Path, State},
};
use evidence::{ids::OrderId, instant::Instant};
use protocol::{policy::Role, profile::Profile};

use super::{Waiting, id, new_order::gathered, sign::HostLine, waiting};
use crate::{
    approval::Approval,
    console::{
        app::App,
        fields::Fields,
        problem,
        view::{Answer, Frame, go_to, once_more, show},
    },
    countersign::Asked,
    draft::{self, Line},
    session::Session,
};

#[derive(Template)]
#[template(path = "approvals.html")]
struct List {
    frame: Frame,
    waiting: Vec<Waiting>,
    is_approver: bool,
}

/// What waits.
pub async fn list(State(app): State<Arc<App>>) -> Answer {
    app.page(|app| {
        let session = app.desk.session()?;
        let hosts = session.remote.hosts().map_err(anyhow::Error::from)?.hosts;
        let orders = session.remote.orders().map_err(anyhow::Error::from)?.orders;
        show(&List {
            frame: Frame::new(&app.gate, &session, "approvals", "Approvals"),
            waiting: waiting(&session, &orders, &hosts, Instant::now()),
            is_approver: session.demand(Role::Approver).is_ok(),
        })
    })
    .await
}

#[derive(Template)]
#[template(path = "approve.html")]
struct Page {
    frame: Frame,
    errors: Vec<String>,
    id: String,
    requester: String,
    digest: String,
    approval: Approval,
    lines: Vec<Line>,
    artifacts: Vec<(String, &'static str)>,
    hosts: Vec<HostLine>,
    not_shown: Option<String>,
    profile: Vec<String>,
    profile_digest: String,
    is_signed: bool,
    is_locked: bool,
}

/// The order to the letter.
pub async fn page(State(app): State<Arc<App>>, Path(order): Path<String>) -> Answer {
    let order = id(&order)?;
    app.page(move |app| {
        let session = app.desk.session()?;
        session.demand(Role::Approver)?;
        let asked = ask(&session, order)?;
        asked.check(&session)?;
        show(&whole(app, &session, &asked, Vec::new())?)
    })
    .await
}

/// Signs it, if it is still what was shown.
pub async fn sign(
    State(app): State<Arc<App>>,
    Path(order): Path<String>,
    Extension(fields): Extension<Fields>,
) -> Answer {
    let order: OrderId = id(&order)?;
    app.page(move |app| {
        let signed = app.desk.act(|session| {
            session.demand(Role::Approver)?;
            let mut asked = ask(session, order)?;
            asked.check(session)?;
            ensure!(
                asked.envelope.digest().to_string() == fields.get("digest"),
                "The server shows another order than before. Nothing was signed: tell its operator."
            );
            let passphrase = fields.raw("passphrase").unwrap_or_default();
            asked.sign(session, &session.unlock_by(passphrase)?)
        });
        let Err(error) = signed else {
            return go_to(&format!("/orders/{order}"));
        };
        let session = app.desk.session()?;
        let page = whole(
            app,
            &session,
            &ask(&session, order)?,
            problem::words(&error),
        )?;
        once_more(&page)
    })
    .await
}

fn ask(session: &Session, order: OrderId) -> anyhow::Result<Asked> {
    Asked::get(session, order, &session.remote.hosts()?.hosts)
}

fn whole(app: &App, session: &Session, asked: &Asked, errors: Vec<String>) -> anyhow::Result<Page> {
    let order = &asked.order;
    Ok(Page {
        frame: Frame::new(&app.gate, session, "approvals", "Approve an order"),
        errors,
        id: order.id.to_string(),
        requester: order.requester.to_string(),
        digest: asked.envelope.digest().to_string(),
        approval: asked.approval(session)?,
        lines: draft::lines(order, &asked.host_refs())?,
        artifacts: gathered(&Profile::parse(&order.profile)?),
        hosts: asked.hosts.iter().map(HostLine::new).collect(),
        not_shown: asked.not_shown(),
        profile: order.profile.lines().map(str::to_owned).collect(),
        profile_digest: order.profile_digest.to_string(),
        is_signed: asked.is_signed_by_me(session),
        is_locked: session.keys.is_locked()?,
    })
}
