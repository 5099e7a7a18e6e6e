//! Hosts that a token holds, and an admin's word on them: shown to the letter, then signed here.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use askama::Template;
use axum::{Extension, extract::State, http::Uri};
use evidence::instant::Instant;
use protocol::{
    admission::{PendingHost, Verdict},
    messages::HostRow,
    policy::Role,
};

use super::query;
use crate::{
    admit,
    console::{
        app::App,
        fields::Fields,
        problem::{self, Problem},
        view::{Answer, Frame, When, go_to, once_more, show},
    },
    exit::misuse,
    session::Session,
};

#[derive(Template)]
#[template(path = "pending.html")]
struct List {
    frame: Frame,
    hosts: Vec<Waiting>,
    /// Leaves of words that were signed just now.
    leaves: Vec<u64>,
}

#[derive(Template)]
#[template(path = "decide.html")]
struct Page {
    frame: Frame,
    errors: Vec<String>,
    hosts: Vec<Waiting>,
    is_locked: bool,
    /// The verdict that was chosen before something went wrong.
    verdict: String,
}

/// A host that waits, for people.
struct Waiting {
    key: String,
    shown: String,
    hostname: String,
    host: String,
    address: String,
    agency: String,
    labels: Vec<String>,
    token: String,
    system: String,
    version: String,
    since: When,
    asked: When,
    ends: When,
    /// Enrolled hosts that call themselves the same.
    namesakes: Vec<(String, &'static str)>,
    /// Others that wait and call themselves the same.
    rivals: usize,
}

impl Waiting {
    fn new(one: &PendingHost, all: &[PendingHost], enrolled: &[HostRow], now: Instant) -> Self {
        let facts = &one.host;
        let is_same = |name: &str| name.eq_ignore_ascii_case(&facts.hostname);
        let namesakes = enrolled.iter().filter_map(|host| {
            let same = match (host.host == facts.id, is_same(&host.hostname)) {
                (true, _) => "the same host id",
                (false, true) => "the same name",
                (false, false) => return None,
            };
            Some((host.agent.to_string(), same))
        });
        let rivals = all
            .iter()
            .filter(|other| other.seal_key != one.seal_key && is_same(&other.host.hostname));
        Self {
            key: one.seal_key.to_string(),
            shown: shown(one),
            hostname: facts.hostname.clone(),
            host: facts.id.to_string(),
            address: one.address.clone(),
            agency: one.agency.to_string(),
            labels: one.labels.iter().map(ToString::to_string).collect(),
            token: one.token.clone(),
            system: format!("{}, {} on {}", facts.system, facts.os, facts.arch),
            version: facts.agent_version.clone(),
            since: When::new(one.since, now),
            asked: When::new(one.asked, now),
            ends: When::new(one.expires, now),
            namesakes: namesakes.collect(),
            rivals: rivals.count(),
        }
    }
}

/// All that a word says of a host: what is signed is what was shown, or nothing.
fn shown(one: &PendingHost) -> String {
    format!("{} {} {}", one.seal_key, one.host.id, one.agency)
}

/// Who waits.
pub async fn list(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    let query = query(&uri);
    app.page(move |app| {
        let session = app.desk.session()?;
        session.demand(Role::Admin)?;
        let leaves = query
            .all("leaf")
            .iter()
            .filter_map(|leaf| leaf.parse().ok())
            .collect();
        show(&List {
            frame: Frame::new(&app.gate, &session, "hosts", "Hosts that wait for approval"),
            hosts: waiting(&session, |_| true)?,
            leaves,
        })
    })
    .await
}

/// Those who were chosen, to the letter.
pub async fn page(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    let query = query(&uri);
    app.page(move |app| {
        let session = app.desk.session()?;
        session.demand(Role::Admin)?;
        let keys = query.all("key");
        if keys.is_empty() {
            return go_to("/hosts/pending");
        }
        let is_chosen = |one: &PendingHost| keys.contains(&one.seal_key.to_string());
        let hosts = waiting(&session, is_chosen)?;
        decide(app, &session, hosts, ("", Vec::new()))
    })
    .await
}

/// Signs the word on each, and hands it in.
pub async fn sign(State(app): State<Arc<App>>, Extension(fields): Extension<Fields>) -> Answer {
    app.page(move |app| {
        let signed = app.desk.act(|session| hand_in(session, &fields));
        let error = match signed {
            Ok(leaves) => {
                let leaves: Vec<_> = leaves.iter().map(|leaf| format!("leaf={leaf}")).collect();
                return go_to(&format!("/hosts/pending?{}", leaves.join("&")));
            }
            Err(error) => error,
        };
        let session = app.desk.session()?;
        let chosen = fields.all("host");
        let hosts = waiting(&session, |one| chosen.contains(&shown(one)))?;
        let page = (fields.get("verdict"), problem::words(&error));
        decide(app, &session, hosts, page)
    })
    .await
}

fn hand_in(session: &Session, fields: &Fields) -> anyhow::Result<Vec<u64>> {
    session.demand(Role::Admin)?;
    let verdict = match fields.get("verdict") {
        "approved" => Verdict::Approved,
        "rejected" => Verdict::Rejected,
        _ => {
            return Err(misuse(
                "Nothing was chosen. Say whether they are let in or turned away.",
            ));
        }
    };
    let all = session.remote.pending()?.hosts;
    let find = |chosen: &String| {
        let found = all.iter().find(|one| shown(one) == *chosen);
        found.context("One of them does not wait as it was shown any more. Look at the list again.")
    };
    let hosts = fields
        .all("host")
        .iter()
        .map(find)
        .collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(
        !hosts.is_empty(),
        misuse("No host was chosen. Choose some in the list.")
    );
    for host in &hosts {
        admit::check(session, host)?;
    }
    let key = session.unlock_by(fields.raw("passphrase").unwrap_or_default())?;
    let mut leaves = Vec::new();
    for host in &hosts {
        let leaf = admit::hand_in(session, &key, host, verdict).with_context(|| {
            format!(
                "{} of {} are signed and in the custody log; the next was not taken.",
                leaves.len(),
                hosts.len()
            )
        })?;
        leaves.push(leaf);
    }
    Ok(leaves)
}

/// Those of the person's agencies who wait and `is_meant`, beside whom is enrolled.
fn waiting(
    session: &Session,
    is_meant: impl Fn(&PendingHost) -> bool,
) -> anyhow::Result<Vec<Waiting>> {
    let now = Instant::now();
    let all = session.remote.pending()?.hosts;
    let enrolled = session.remote.hosts()?.hosts;
    let meant = all.iter().filter(|one| is_meant(one));
    Ok(meant
        .map(|one| Waiting::new(one, &all, &enrolled, now))
        .collect())
}

fn decide(
    app: &App,
    session: &Session,
    hosts: Vec<Waiting>,
    (verdict, errors): (&str, Vec<String>),
) -> Answer {
    if hosts.is_empty() && errors.is_empty() {
        return Err(Problem::not_found(
            "None of them waits any more: decided by somebody, or their token has ended. See who waits.",
        ));
    }
    let is_first = errors.is_empty();
    let page = Page {
        frame: Frame::new(
            &app.gate,
            session,
            "hosts",
            "Let hosts in, or turn them away",
        ),
        errors,
        hosts,
        is_locked: session.keys.is_locked()?,
        verdict: verdict.to_owned(),
    };
    if is_first {
        show(&page)
    } else {
        once_more(&page)
    }
}
