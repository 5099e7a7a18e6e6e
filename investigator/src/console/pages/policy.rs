//! The policy and the root in force, to read.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use evidence::instant::Instant;

use crate::{
    commands::table,
    console::{
        app::App,
        view::{Answer, Frame, show},
    },
    policy::words,
    trust,
};

#[derive(Template)]
#[template(path = "policy.html")]
struct Page {
    frame: Frame,
    version: u64,
    until: String,
    is_over: bool,
    warnings: Vec<String>,
    people: Vec<Person>,
    /// As `fieldseal policy show` prints it.
    letter: Vec<String>,
}

struct Person {
    id: String,
    name: String,
    roles: String,
    agencies: String,
}

/// The page.
pub async fn page(State(app): State<Arc<App>>) -> Answer {
    app.page(|app| {
        let (session, now) = (app.desk.session()?, Instant::now());
        let believed = &session.believed;
        let policy = &believed.policy;
        let withheld = trust::withheld(&session.home, policy)?;
        let people = policy.people.iter().map(|person| Person {
            id: person.id.to_string(),
            name: person.name.clone(),
            roles: words::roles(person),
            agencies: words::list(&person.agencies),
        });
        let letter = words::in_force(believed);
        show(&Page {
            frame: Frame::new(&app.gate, &session, "policy", "Policy"),
            version: policy.version,
            until: table::time(policy.expires),
            is_over: now >= policy.expires,
            warnings: words::expiry(policy, now)
                .into_iter()
                .chain(withheld)
                .collect(),
            people: people.collect(),
            letter: letter.lines().map(str::to_owned).collect(),
        })
    })
    .await
}
