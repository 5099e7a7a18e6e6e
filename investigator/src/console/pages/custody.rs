//! The custody log: recomputed from its leaves, with the proof of each; and who was handed what.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::{Path, State},
    http::Uri,
};
use evidence::{custody::event::Action, instant::Instant};

use super::query;
use crate::{
    audit::{Row, contact, words},
    console::{
        app::App,
        desk::Log,
        problem::Problem,
        view::{Answer, Frame, When, number, show},
    },
};

/// Leaves on one page.
const A_PAGE: usize = 100;

#[derive(Template)]
#[template(path = "custody.html")]
struct Page {
    frame: Frame,
    case: String,
    origin: String,
    size: String,
    root: String,
    holds: bool,
    faults: Vec<(String, String)>,
    rows: Vec<Leaf>,
    found: String,
    newer: bool,
    older: Option<u64>,
}

struct Leaf {
    index: u64,
    when: When,
    who: String,
    what: String,
}

impl Leaf {
    fn new(row: &Row, log: &Log, now: Instant) -> Self {
        Self {
            index: row.index,
            when: When::new(row.time, now),
            who: words::who(&row.signer),
            what: words::what(&row.action, &log.names),
        }
    }
}

/// The log, the newest leaf first.
pub async fn page(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    let query = query(&uri);
    app.page(move |app| {
        let (log, session, now) = (app.desk.log()?, app.desk.session()?, Instant::now());
        let case = query.get("case").to_owned();
        let mut rows = log.outcome.rows.clone();
        if !case.is_empty() {
            rows = contact::filter(&session, &case)?.choose(rows);
        }
        let all = rows.len() as u64;
        let before: Option<u64> = query.get("before").parse().ok();
        rows.retain(|row| before.is_none_or(|before| row.index < before));
        let shown: Vec<_> = rows.iter().rev().take(A_PAGE).collect();
        let older = shown.last().map(|row| row.index);
        show(&Page {
            frame: Frame::new(&app.gate, &session, "custody", "Custody log"),
            case,
            origin: log.checkpoint.origin.clone(),
            size: number(log.outcome.size),
            root: log.outcome.root.to_string(),
            holds: log.outcome.faults.is_empty(),
            faults: log.outcome.faults.iter().map(fault).collect(),
            found: number(all),
            newer: before.is_some(),
            older: older.filter(|_| rows.len() > A_PAGE),
            rows: shown.iter().map(|row| Leaf::new(row, &log, now)).collect(),
        })
    })
    .await
}

fn fault(fault: &crate::audit::Fault) -> (String, String) {
    let place = fault.index.map(|i| format!("leaf {i}"));
    (
        place.unwrap_or_else(|| "the log".into()),
        fault.text.clone(),
    )
}

#[derive(Template)]
#[template(path = "leaf.html")]
struct One {
    frame: Frame,
    leaf: Leaf,
    hash: String,
    proof: Vec<String>,
    size: u64,
    root: String,
    holds: bool,
}

/// One leaf and its proof.
pub async fn leaf(State(app): State<Arc<App>>, Path(index): Path<String>) -> Answer {
    let index: u64 = super::id(&index)?;
    app.page(move |app| {
        let (log, session) = (app.desk.log()?, app.desk.session()?);
        let missing = || Problem::not_found("The log has no such leaf that can be read.");
        let found = log.outcome.rows.iter().find(|row| row.index == index);
        let row = found.ok_or_else(missing)?;
        let (tree, checkpoint) = (&log.outcome.tree, &log.checkpoint);
        let hash = tree.leaf(index).ok_or_else(missing)?;
        let proof = tree
            .prove_inclusion(index, checkpoint.size)
            .ok_or_else(missing)?;
        let holds = evidence::custody::proof::verify_inclusion(
            hash,
            index,
            checkpoint.size,
            &proof,
            &checkpoint.root,
        );
        show(&One {
            frame: Frame::new(&app.gate, &session, "custody", &format!("Leaf {index}")),
            leaf: Leaf::new(row, &log, Instant::now()),
            hash: hash.to_string(),
            proof: proof.iter().map(ToString::to_string).collect(),
            size: checkpoint.size,
            root: checkpoint.root.to_string(),
            holds: holds.is_ok(),
        })
    })
    .await
}

#[derive(Template)]
#[template(path = "looked.html")]
struct Looked {
    frame: Frame,
    people: Vec<Person>,
}

struct Person {
    name: String,
    parts: usize,
    leaves: Vec<Leaf>,
}

/// Who was handed evidence, by person, the newest first.
pub async fn looked(State(app): State<Arc<App>>) -> Answer {
    app.page(move |app| {
        let (log, session, now) = (app.desk.log()?, app.desk.session()?, Instant::now());
        let mut people: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
        for row in log.outcome.rows.iter().rev() {
            if let Action::Fetched { by_key, .. } | Action::LogRead { by_key, .. } = &row.action {
                people
                    .entry(log.names.person(by_key))
                    .or_default()
                    .push(row);
            }
        }
        let person = |(name, rows): (String, Vec<&Row>)| Person {
            name,
            parts: rows.len(),
            leaves: rows
                .iter()
                .take(A_PAGE)
                .map(|r| Leaf::new(r, &log, now))
                .collect(),
        };
        show(&Looked {
            frame: Frame::new(&app.gate, &session, "custody", "Who looked at what"),
            people: people.into_iter().map(person).collect(),
        })
    })
    .await
}
