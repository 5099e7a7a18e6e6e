//! A new order: what to gather, from which hosts, for which case. Nothing is signed here.

use std::sync::Arc;

use anyhow::Context as _;
use askama::Template;
use axum::{Extension, extract::State, http::Uri};
use evidence::instant::Instant;
use protocol::{
    artifacts, order_check,
    policy::{Policy, Role},
    profile::{self, BUILT_IN, Profile},
};

use super::{filled, query};
use crate::{
    console::{
        app::App,
        drafts::go_on,
        fields::Fields,
        ordering::{self, Form, Hosts},
        recurring,
        view::{Answer, Frame, show},
    },
    exit::misuse,
    session::Session,
};

/// A profile of one's own, in the form.
const OWN: &str = "own";
const FORM: &str = "/orders/new";

#[derive(Template)]
#[template(path = "new_order.html")]
struct Page {
    frame: Frame,
    errors: Vec<String>,
    profiles: Vec<Offer>,
    is_own: bool,
    yaml: String,
    paths: String,
    recurring: recurring::Form,
    ordering: Form,
    hosts: Hosts,
}

/// A profile to choose.
struct Offer {
    name: &'static str,
    about: String,
    artifacts: Vec<(String, &'static str)>,
    paths: Vec<String>,
    signatures: usize,
    is_chosen: bool,
}

/// The empty form, or the one of a draft that is changed.
pub async fn page(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    let query = query(&uri);
    app.page(move |app| {
        let session = app.desk.session()?;
        session.demand(Role::Investigator)?;
        show(&form(app, &session, &filled(app, &query)?, Vec::new())?)
    })
    .await
}

/// Draws the order up and goes on to what is signed; or shows the form again, with what is wrong.
pub async fn draw_up(State(app): State<Arc<App>>, Extension(fields): Extension<Fields>) -> Answer {
    app.page(move |app| {
        let session = app.desk.session()?;
        session.demand(Role::Investigator)?;
        go_on(make(app, &session, &fields), |errors| {
            form(app, &session, &fields, errors)
        })
    })
    .await
}

fn make(app: &App, session: &Session, fields: &Fields) -> anyhow::Result<String> {
    let (hosts, now) = (session.remote.hosts()?.hosts, Instant::now());
    let profile = match fields.get("profile") {
        "" => return Err(misuse("No profile is chosen. Choose what to gather.")),
        OWN => {
            let yaml = fields.raw("yaml").unwrap_or_default().replace("\r\n", "\n");
            Profile::parse(&yaml).context("Your own profile can't be used.")?;
            yaml
        }
        name => profile::built_in(name)?.0.to_owned(),
    };
    let chosen = ordering::choose(fields, &hosts, now)?;
    let wish = ordering::wish(fields, (profile, fields.lines("paths")), chosen, None)?;
    app.drafts.draw_up(session, wish, (fields, FORM), now)
}

fn form(
    app: &App,
    session: &Session,
    fields: &Fields,
    errors: Vec<String>,
) -> anyhow::Result<Page> {
    let chosen = fields.get("profile");
    Ok(Page {
        frame: Frame::new(&app.gate, session, "new", "New order"),
        errors,
        profiles: offers(
            &session.believed.policy,
            if chosen.is_empty() { "triage" } else { chosen },
        )?,
        is_own: chosen == OWN,
        yaml: fields.raw("yaml").unwrap_or_default().to_owned(),
        paths: fields.get("paths").to_owned(),
        recurring: recurring::Form::new(fields),
        ordering: Form::new(fields, ("", "")),
        hosts: Hosts::new(session, fields)?,
    })
}

/// The built-in profiles, with what each gathers and how many must sign.
fn offers(policy: &Policy, chosen: &str) -> anyhow::Result<Vec<Offer>> {
    let offer = |name: &'static str| -> anyhow::Result<Offer> {
        let (_, profile) = profile::built_in(name)?;
        Ok(Offer {
            name,
            about: profile.about.clone(),
            artifacts: gathered(&profile),
            paths: profile.paths.clone(),
            signatures: order_check::signatures_needed(&profile, policy, &artifacts::class_of),
            is_chosen: name == chosen,
        })
    };
    BUILT_IN.iter().map(|b| offer(b.name)).collect()
}

/// Each artifact of a profile, and how far it reaches.
pub(super) fn gathered(profile: &Profile) -> Vec<(String, &'static str)> {
    let each = profile.artifacts.iter().map(|a| {
        let class = match artifacts::class_of(a.name.as_str()) {
            None => "not known here",
            Some(protocol::policy::Class::Triage) => "triage",
            Some(protocol::policy::Class::Files) => "whole files",
        };
        (a.name.to_string(), class)
    });
    each.collect()
}
