//! An admin's signed word that a host's agent counts no more.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use askama::Template;
use axum::{
    Extension,
    extract::{Path, State},
};
use evidence::{ids::AgentId, instant::Instant};
use protocol::policy::Role;

use super::id;
use crate::{
    commands::table,
    console::{
        app::App,
        fields::Fields,
        ordering, problem,
        view::{Answer, Frame, go_to, once_more, show},
    },
    exit::misuse,
    revoke,
    session::Session,
};

#[derive(Template)]
#[template(path = "revoke.html")]
struct Page {
    frame: Frame,
    errors: Vec<String>,
    agent: String,
    hostname: String,
    from: String,
    is_locked: bool,
}

/// Whose agent it is, and from when on it counts no more.
pub async fn page(State(app): State<Arc<App>>, Path(agent): Path<String>) -> Answer {
    let agent = id(&agent)?;
    app.page(move |app| {
        let session = app.desk.session()?;
        session.demand(Role::Admin)?;
        let now = table::time(Instant::now());
        show(&whole(app, &session, agent, &now, Vec::new())?)
    })
    .await
}

/// Signs it and hands it in.
pub async fn sign(
    State(app): State<Arc<App>>,
    Path(agent): Path<String>,
    Extension(fields): Extension<Fields>,
) -> Answer {
    let agent: AgentId = id(&agent)?;
    app.page(move |app| {
        let signed = app.desk.act(|session| hand_in(session, agent, &fields));
        let Err(error) = signed else {
            return go_to(&format!("/hosts/{agent}"));
        };
        let session = app.desk.session()?;
        let errors = problem::words(&error);
        let page = whole(app, &session, agent, fields.get("from"), errors)?;
        once_more(&page)
    })
    .await
}

fn hand_in(session: &Session, agent: AgentId, fields: &Fields) -> anyhow::Result<u64> {
    session.demand(Role::Admin)?;
    let from = ordering::time(fields, "from")?;
    let from =
        from.ok_or_else(|| misuse("The time is empty. Say from when on seals don't count."))?;
    ensure!(
        fields.is_set("sure"),
        misuse(
            "It was not confirmed that this agent is let in no more. Tick the box above the button."
        )
    );
    let key = session.unlock_by(fields.raw("passphrase").unwrap_or_default())?;
    revoke::hand_in(session, &key, agent, from)
}

fn whole(
    app: &App,
    session: &Session,
    agent: AgentId,
    from: &str,
    errors: Vec<String>,
) -> anyhow::Result<Page> {
    let hosts = session.remote.hosts()?.hosts;
    let host = hosts.into_iter().find(|h| h.agent == agent);
    let host = host.context("No host of your agencies has this id. See the list of hosts.")?;
    Ok(Page {
        frame: Frame::new(&app.gate, session, "hosts", "Revoke an agent"),
        errors,
        agent: agent.to_string(),
        hostname: host.hostname,
        from: from.to_owned(),
        is_locked: session.keys.is_locked()?,
    })
}
