//! What was found in a collection, recorded in the custody log: signed by whoever verified it.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{Path, State},
};
use evidence::ids::CollectionId;
use protocol::policy::Role;

use super::id;
use crate::{
    console::{
        app::App,
        desk::lock,
        fields::Fields,
        jobs::{Found, Job},
        problem::{self, Problem},
        view::{Answer, Frame, go_to, once_more, show},
    },
    custody,
    session::Session,
};

#[derive(Template)]
#[template(path = "record_verdict.html")]
struct Page {
    frame: Frame,
    errors: Vec<String>,
    id: String,
    parts: Vec<(String, &'static str)>,
    is_locked: bool,
}

/// What will be signed.
pub async fn page(State(app): State<Arc<App>>, Path(collection): Path<String>) -> Answer {
    let collection = id(&collection)?;
    app.page(move |app| {
        let session = app.desk.session()?;
        session.demand(Role::Investigator)?;
        let found = found(app, collection)?;
        show(&whole(app, &session, collection, &found, Vec::new())?)
    })
    .await
}

/// Signs it, part by part.
pub async fn sign(
    State(app): State<Arc<App>>,
    Path(collection): Path<String>,
    Extension(fields): Extension<Fields>,
) -> Answer {
    let collection: CollectionId = id(&collection)?;
    app.page(move |app| {
        let found = found(app, collection)?;
        let passphrase = fields.raw("passphrase").unwrap_or_default();
        let signed = app.desk.act(|session| {
            let unlock = || session.unlock_by(passphrase);
            custody::record(session, unlock, &found.checked.reports, &mut |part| {
                lock(&found.recorded).push(part);
                Ok(())
            })
        });
        let Err(error) = signed else {
            return go_to(&format!("/collections/{collection}"));
        };
        let session = app.desk.session()?;
        let page = whole(app, &session, collection, &found, problem::words(&error))?;
        once_more(&page)
    })
    .await
}

fn found(app: &App, collection: CollectionId) -> Result<Arc<Found>, Problem> {
    match app.jobs.get(collection) {
        Some(Job::Done(found)) => Ok(found),
        _ => Err(Problem::not_found(
            "This collection was not verified in this run of the console. Fetch it first.",
        )),
    }
}

fn whole(
    app: &App,
    session: &Session,
    collection: CollectionId,
    found: &Found,
    errors: Vec<String>,
) -> anyhow::Result<Page> {
    let parts = found.checked.reports.iter().flat_map(|r| &r.parts);
    Ok(Page {
        frame: Frame::new(&app.gate, session, "collections", "Record the verdict"),
        errors,
        id: collection.to_string(),
        parts: parts
            .map(|p| (p.file.clone(), p.findings.verdict().headline()))
            .collect(),
        is_locked: session.keys.is_locked()?,
    })
}
