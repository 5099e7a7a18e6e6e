//! What a hunt has found so far, over all hosts, and the order that collects what was chosen of it.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, ensure};
use askama::Template;
use axum::{
    Extension,
    extract::{Path, State},
    http::Uri,
};
use evidence::{ids::OrderId, instant::Instant};
use protocol::{
    messages::OrderHost,
    policy::Role,
    profile::{self, BUILT_IN, Profile},
};

use super::{filled, id, query};
use crate::{
    console::{
        app::App,
        drafts::go_on,
        fields::Fields,
        hunts::Gathered,
        ordering::{self, Form},
        view::{Answer, Frame, number, show},
    },
    countersign::Asked,
    exit::misuse,
    hits::{FromHunt, HUNTS, Hit, show as words},
    session::Session,
    targets,
};

/// Hits on a page.
const A_PAGE: usize = 200;
/// What is gathered of hits unless something else is chosen.
const USUAL: &str = "files";

#[derive(Template)]
#[template(path = "hits.html")]
struct Page {
    frame: Frame,
    errors: Vec<String>,
    order: String,
    case: String,
    is_settled: bool,
    settled: String,
    found: String,
    hosts: usize,
    rows: Vec<Line>,
    from: usize,
    before: Option<usize>,
    next: Option<usize>,
    more_hits: usize,
    gaps: Vec<String>,
    faults: Vec<String>,
    more_notes: usize,
    profiles: Vec<(&'static str, bool)>,
    is_all: bool,
    ordering: Form,
}

struct Line {
    number: usize,
    host: String,
    agent: Option<String>,
    what: String,
    kind: &'static str,
    sha256: String,
    time: String,
    matched: String,
    collection: String,
    is_chosen: bool,
}

/// Whether a profile looks for anything.
pub(super) fn is_hunt(profile: &str) -> bool {
    let read = Profile::parse(profile);
    read.is_ok_and(|p| HUNTS.iter().any(|hunt| p.chosen(hunt).is_some()))
}

/// The hits, as far as they have arrived.
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

/// Draws up the order that collects what was chosen, and goes on to what is signed.
pub async fn collect(
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
    let (hosts, now) = (session.remote.hosts()?.hosts, Instant::now());
    let asked = Asked::get(session, order, &hosts)?;
    let digest = asked.envelope.digest();
    let from = app.hunts.look(session, order, |gathered| {
        let hits = chosen(gathered, fields)?;
        anyhow::Ok(FromHunt::of(digest, hits))
    })??;
    let (profile, _) = profile::built_in(fields.get("profile"))?;
    let chosen = targets::by_agents(&hosts, &from.agents)?;
    let what = (profile.to_owned(), from.paths()?);
    let wish = ordering::wish(fields, what, chosen, Some(digest))?;
    let form = format!("/orders/{order}/hits");
    app.drafts.draw_up(session, wish, (fields, &form), now)
}

/// The hits that are ticked, or all.
fn chosen<'g>(gathered: &'g Gathered, fields: &Fields) -> anyhow::Result<Vec<&'g Hit>> {
    if fields.get("which") == "all" {
        ensure!(
            gathered.more_hits == 0,
            "There are more hits than this page keeps. Fetch the hunt, and use `fieldseal collect --from-hunt`."
        );
        return Ok(gathered.hits.iter().collect());
    }
    let ticked = fields.all("hit");
    if ticked.is_empty() {
        return Err(misuse("No hit is chosen. Tick some, or take all."));
    }
    let hit = |text: &String| {
        let at: Option<usize> = text.parse().ok();
        at.and_then(|at| gathered.hits.get(at))
            .context("A hit that was chosen is not there any more. Load the page again.")
    };
    ticked.iter().map(hit).collect()
}

fn whole(
    app: &App,
    session: &Session,
    order: OrderId,
    fields: &Fields,
    errors: Vec<String>,
) -> anyhow::Result<Page> {
    let asked = Asked::get(session, order, &session.remote.hosts()?.hosts)?;
    ensure!(
        is_hunt(&asked.order.profile),
        misuse("This order looks for nothing: it has no hits. See what was collected on it.")
    );
    let hosts = &asked.status.hosts;
    let settled = hosts.iter().filter(|h| is_settled(h)).count();
    let case = crate::inert::inert(&asked.order.case);
    let form = Form::new(fields, (&asked.order.case, "what the hunt has found"));
    let page = Page {
        frame: Frame::new(&app.gate, session, "orders", &format!("Hits for {case}")),
        errors,
        order: order.to_string(),
        case: asked.order.case.clone(),
        is_settled: settled == hosts.len() && !hosts.is_empty(),
        settled: format!("{settled} of {}", hosts.len()),
        found: String::new(),
        hosts: 0,
        rows: Vec::new(),
        from: fields.get("from").parse().unwrap_or(0),
        before: None,
        next: None,
        more_hits: 0,
        gaps: Vec::new(),
        faults: Vec::new(),
        more_notes: 0,
        profiles: profiles(fields),
        is_all: fields.get("which") == "all",
        ordering: form,
    };
    app.hunts
        .look(session, order, |gathered| page.with(gathered, fields))
}

fn profiles(fields: &Fields) -> Vec<(&'static str, bool)> {
    let chosen = match fields.get("profile") {
        "" => USUAL,
        chosen => chosen,
    };
    BUILT_IN
        .iter()
        .map(|b| (b.name, b.name == chosen))
        .collect()
}

fn is_settled(host: &OrderHost) -> bool {
    crate::follow::is_settled(host.state)
}

impl Page {
    fn with(mut self, gathered: &Gathered, fields: &Fields) -> Self {
        let all = &gathered.hits;
        let ticked: BTreeSet<_> = fields.all("hit").into_iter().collect();
        let from = self.from.min(all.len());
        let agents: BTreeSet<_> = all.iter().map(|h| (h.agent, &h.hostname)).collect();
        self.found = number(all.len() as u64);
        self.hosts = agents.len();
        self.from = from;
        self.before = (from > 0).then(|| from.saturating_sub(A_PAGE));
        self.next = (from + A_PAGE < all.len()).then_some(from + A_PAGE);
        let shown = all.iter().enumerate().skip(from).take(A_PAGE);
        self.rows = shown.map(|(at, hit)| line(at, hit, &ticked)).collect();
        self.more_hits = gathered.more_hits;
        self.gaps.clone_from(&gathered.gaps);
        self.faults.clone_from(&gathered.faults);
        self.more_notes = gathered.more_notes;
        self
    }
}

fn line(number: usize, hit: &Hit, ticked: &BTreeSet<String>) -> Line {
    Line {
        number,
        host: hit.hostname.clone(),
        agent: hit.agent.map(|a| a.to_string()),
        what: words::what(hit),
        kind: match hit.artifact {
            "hunt_processes" => "process",
            "hunt_connections" => "connection",
            _ => "file",
        },
        sha256: words::sha256(hit).to_owned(),
        time: words::time(hit).chars().take(19).collect(),
        matched: words::matched(hit),
        collection: hit.collection.to_string(),
        is_chosen: ticked.contains(&number.to_string()),
    }
}
