//! What you sign: a draft to the letter, the passphrase, and the signature that hands it in.

use std::sync::Arc;

use anyhow::ensure;
use askama::Template;
use axum::{
    Extension,
    extract::{Path, State},
};
use evidence::envelope::{self, Envelope};
use protocol::{artifacts, order_check, policy::Role, profile::Profile};

use super::new_order::gathered;
use crate::{
    console::{
        app::App,
        drafts::Draft,
        fields::Fields,
        problem,
        view::{Answer, Frame, go_to, once_more, show},
    },
    draft::{self, Line},
    session::Session,
    submit,
};

#[derive(Template)]
#[template(path = "sign.html")]
struct Page {
    frame: Frame,
    errors: Vec<String>,
    draft: String,
    form: String,
    lines: Vec<Line>,
    artifacts: Vec<(String, &'static str)>,
    hosts: Vec<HostLine>,
    profile: Vec<String>,
    profile_digest: String,
    needed: usize,
    is_locked: bool,
}

/// A host that the order is for.
pub(super) struct HostLine {
    pub(super) agent: String,
    pub(super) hostname: String,
    pub(super) agency: String,
    pub(super) system: String,
}

impl HostLine {
    pub(super) fn new(host: &protocol::messages::HostRow) -> Self {
        Self {
            agent: host.agent.to_string(),
            hostname: host.hostname.clone(),
            agency: host.agency.to_string(),
            system: host.system.clone(),
        }
    }
}

/// The draft, whole.
pub async fn page(State(app): State<Arc<App>>, Path(draft): Path<String>) -> Answer {
    app.page(move |app| {
        let draft = app.drafts.get(&draft)?;
        let session = app.desk.session()?;
        show(&whole(app, &session, &draft, Vec::new())?)
    })
    .await
}

/// Signs it and hands it in.
pub async fn sign(
    State(app): State<Arc<App>>,
    Path(draft): Path<String>,
    Extension(fields): Extension<Fields>,
) -> Answer {
    app.page(move |app| {
        let draft = app.drafts.get(&draft)?;
        let passphrase = fields.raw("passphrase").unwrap_or_default();
        match app.desk.act(|session| hand_in(session, &draft, passphrase)) {
            Ok(_leaf) => {
                app.drafts.forget(&draft.id);
                go_to(&format!("/orders/{}", draft.order.id))
            }
            Err(error) => {
                let session = app.desk.session()?;
                let page = whole(app, &session, &draft, problem::words(&error))?;
                once_more(&page)
            }
        }
    })
    .await
}

fn hand_in(session: &Session, draft: &Draft, passphrase: &str) -> anyhow::Result<u64> {
    session.demand(Role::Investigator)?;
    let (order, policy) = (&draft.order, &session.believed.policy);
    ensure!(
        order.policy_version == policy.version,
        "A new policy came into force since this was drawn up. Draw the order up again."
    );
    let key = session.unlock_by(passphrase)?;
    let envelope = Envelope::sign_document(envelope::ORDER, order, &key)?;
    let hosts: Vec<_> = draft.hosts.iter().collect();
    submit::order(session, order, &envelope, &hosts)
}

fn whole(app: &App, session: &Session, draft: &Draft, errors: Vec<String>) -> anyhow::Result<Page> {
    let (order, policy) = (&draft.order, &session.believed.policy);
    let hosts: Vec<_> = draft.hosts.iter().collect();
    let profile = Profile::parse(&order.profile)?;
    Ok(Page {
        frame: Frame::new(&app.gate, session, "new", "What you sign"),
        errors,
        draft: draft.id.clone(),
        form: draft.form.clone(),
        lines: draft::lines(order, &hosts)?,
        artifacts: gathered(&profile),
        hosts: hosts.iter().map(|h| HostLine::new(h)).collect(),
        profile: order.profile.lines().map(str::to_owned).collect(),
        profile_digest: order.profile_digest.to_string(),
        needed: order_check::signatures_needed(&profile, policy, &artifacts::class_of),
        is_locked: session.keys.is_locked()?,
    })
}
