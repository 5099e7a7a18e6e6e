//! A case at a glance: what could not be had first, then its tables.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::Uri};

use super::{Desk, at, link};
use crate::{
    case::read::{Rows, Source, Value},
    console::{
        app::App,
        view::{Answer, Frame, number, show},
    },
};

#[derive(Template)]
#[template(path = "case.html")]
struct Page {
    frame: Frame,
    case: String,
    gaps: Option<TableLine>,
    tables: Vec<TableLine>,
    collections: Vec<CollectionLine>,
    timeline: String,
}

struct TableLine {
    name: String,
    about: String,
    rows: u64,
    shown: String,
    link: String,
}

struct CollectionLine {
    host: String,
    id: String,
    started: String,
    ended_early: String,
    processes: String,
}

/// The page.
pub async fn page(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    at(app, uri, |app, desk| {
        let line = |s: Source| TableLine {
            link: link("/case/table", &[("case", &desk.case), ("source", &s.name)]),
            shown: number(s.rows),
            name: s.name,
            about: s.about,
            rows: s.rows,
        };
        let sources = desk.database.sources()?.into_iter().map(line);
        let (gaps, mut tables): (Vec<_>, Vec<_>) = sources.partition(|t| t.name == "gaps");
        tables.sort_by_key(|t| t.rows == 0);
        show(&Page {
            frame: desk.frame(app, "Evidence of a case"),
            case: desk.case.clone(),
            gaps: gaps.into_iter().next(),
            tables,
            collections: collections(desk)?,
            timeline: link("/case/timeline", &[("case", &desk.case)]),
        })
    })
    .await
}

#[derive(Default)]
struct All(Vec<Vec<Value>>);

impl Rows for All {
    fn columns(&mut self, _: &[String]) -> anyhow::Result<()> {
        Ok(())
    }

    fn row(&mut self, values: Vec<Value>) -> anyhow::Result<bool> {
        self.0.push(values);
        Ok(self.0.len() < 1000)
    }
}

fn collections(desk: &Desk) -> anyhow::Result<Vec<CollectionLine>> {
    let mut all = All::default();
    desk.database.query(
        "SELECT host, collection, started, ended_early FROM collections ORDER BY host, started",
        &mut all,
    )?;
    let line = |row: Vec<Value>| {
        let text = |at: usize| row.get(at).map(Value::to_text).unwrap_or_default();
        let id = text(1);
        CollectionLine {
            host: text(0),
            started: text(2),
            ended_early: text(3),
            processes: link(
                "/case/processes",
                &[("case", &desk.case), ("collection", &id)],
            ),
            id,
        }
    };
    Ok(all.0.into_iter().map(line).collect())
}
