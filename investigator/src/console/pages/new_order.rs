//! A new order: what to gather, from which hosts, for which case. Nothing is signed here.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::Context as _;
use askama::Template;
use axum::{
    Extension,
    extract::State,
    http::{StatusCode, Uri},
    response::IntoResponse as _,
};
use evidence::instant::Instant;
use protocol::{
    artifacts,
    messages::HostRow,
    order_check,
    policy::{Policy, Role},
    profile::{self, BUILT_IN, Profile},
};

use super::query;
use crate::{
    console::{
        app::App,
        fields::Fields,
        problem,
        view::{Answer, Frame, Mark, go_to, show},
    },
    draft::{self, Wish},
    exit::misuse,
    session::Session,
    targets::{self, Chosen},
};

/// A profile of one's own, in the form.
const OWN: &str = "own";
/// Hosts that can be ticked one by one; a larger fleet is chosen from by expression.
const TICKED: usize = 500;

#[derive(Template)]
#[template(path = "new_order.html")]
struct Page {
    frame: Frame,
    errors: Vec<String>,
    profiles: Vec<Offer>,
    hosts: Vec<HostLine>,
    more_hosts: usize,
    is_own: bool,
    by_host: bool,
    text: Text,
}

/// What was typed.
struct Text {
    yaml: String,
    filter: String,
    open: bool,
    paths: String,
    case: String,
    reason: String,
    expires: String,
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

struct HostLine {
    agent: String,
    hostname: String,
    agency: String,
    labels: String,
    system: String,
    mark: Mark,
    is_chosen: bool,
}

/// The empty form, or the one of a draft that is changed.
pub async fn page(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    let query = query(&uri);
    app.page(move |app| {
        let session = app.desk.session()?;
        session.demand(Role::Investigator)?;
        let fields = match query.get("draft") {
            "" => query.clone(),
            id => app.drafts.get(id)?.fields.clone(),
        };
        show(&form(app, &session, &fields, Vec::new())?)
    })
    .await
}

/// Draws the order up and goes on to what is signed; or shows the form again, with what is wrong.
pub async fn draw_up(State(app): State<Arc<App>>, Extension(fields): Extension<Fields>) -> Answer {
    app.page(move |app| {
        let session = app.desk.session()?;
        session.demand(Role::Investigator)?;
        match make(app, &session, &fields) {
            Ok(draft) => go_to(&format!("/drafts/{draft}")),
            Err(error) => {
                let page = form(app, &session, &fields, problem::words(&error))?;
                Ok((StatusCode::UNPROCESSABLE_ENTITY, show(&page)?).into_response())
            }
        }
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
    let expires = fields.get("expires");
    let expires = expires
        .parse()
        .with_context(|| format!("{expires:?} is no length of time."))?;
    let wish = Wish {
        profile,
        scope: None,
        predecessor: None,
        rollout: None,
        paths: fields.lines("paths"),
        chosen: choose(fields, &hosts, now)?,
        open: fields.get("by") != "hosts" && fields.is_set("open"),
        case: fields.get("case").to_owned(),
        reason: fields.get("reason").to_owned(),
        expires,
    };
    targets::check_agencies(&wish.chosen.hosts, &session.me)?;
    let order = draft::make(&wish, &session.believed.policy, &session.me, now)?;
    let hosts = wish.chosen.hosts.into_iter().cloned().collect();
    app.drafts.keep(order, hosts, fields.clone())
}

fn choose<'h>(fields: &Fields, hosts: &'h [HostRow], now: Instant) -> anyhow::Result<Chosen<'h>> {
    if fields.get("by") == "hosts" {
        let named = fields.all("host");
        if named.is_empty() {
            return Err(misuse(
                "No host is chosen. Tick one, or choose by expression.",
            ));
        }
        return targets::by_name(hosts, &named);
    }
    let filter = fields.get("filter");
    if filter.is_empty() {
        return Err(misuse(
            "The expression is empty. Write * for every host, or as in label=dc os=linux.",
        ));
    }
    targets::by_expression(hosts, filter, now)
}

fn form(
    app: &App,
    session: &Session,
    fields: &Fields,
    errors: Vec<String>,
) -> anyhow::Result<Page> {
    let now = Instant::now();
    let mut rows = session.remote.hosts()?.hosts;
    rows.retain(|h| h.is_target() && session.me.may(Role::Investigator, &h.agency));
    rows.sort_by(|a, b| a.hostname.cmp(&b.hostname));
    let ticked: BTreeSet<_> = fields.all("host").into_iter().collect();
    let chosen = fields.get("profile");
    let or = |value: &str, usual: &str| if value.is_empty() { usual } else { value }.to_owned();
    Ok(Page {
        frame: Frame::new(&app.gate, session, "new", "New order"),
        errors,
        profiles: offers(
            &session.believed.policy,
            if chosen.is_empty() { "triage" } else { chosen },
        )?,
        more_hosts: rows.len().saturating_sub(TICKED),
        is_own: chosen == OWN,
        by_host: fields.get("by") == "hosts" || (fields.get("by").is_empty() && !ticked.is_empty()),
        text: Text {
            yaml: fields.raw("yaml").unwrap_or_default().to_owned(),
            filter: fields.get("filter").to_owned(),
            open: fields.is_set("open"),
            paths: fields.get("paths").to_owned(),
            case: fields.get("case").to_owned(),
            reason: fields.get("reason").to_owned(),
            expires: or(fields.get("expires"), "24h"),
        },
        hosts: rows
            .iter()
            .take(TICKED)
            .map(|host| line(host, &ticked, now))
            .collect(),
    })
}

fn line(host: &HostRow, ticked: &BTreeSet<String>, now: Instant) -> HostLine {
    let labels: Vec<_> = host.labels.iter().map(ToString::to_string).collect();
    let agent = host.agent.to_string();
    HostLine {
        is_chosen: ticked.contains(&agent),
        agent,
        hostname: host.hostname.clone(),
        agency: host.agency.to_string(),
        labels: labels.join(", "),
        system: host.system.clone(),
        mark: Mark::of_host(host, now),
    }
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
