//! The processes of a collection as a tree.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::Uri};

use super::{Desk, at, link, table::cut};
use crate::console::{
    app::App,
    view::{Answer, Frame, show},
};

/// Deeper ones stand no further to the right.
const DEEPEST: u32 = 12;

#[derive(Template)]
#[template(path = "processes.html")]
struct Page {
    frame: Frame,
    case: String,
    collection: String,
    rows: Vec<Line>,
}

struct Line {
    depth: u32,
    pid: String,
    name: String,
    user: String,
    started: String,
    command: String,
    hidden: bool,
    link: String,
}

/// The page.
pub async fn page(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    at(app, uri, tree).await
}

fn tree(app: &App, desk: &Desk) -> Answer {
    let collection = desk.fields.get("collection");
    let all = desk.database.process_tree(collection)?;
    let line = |p: crate::case::read::Process| {
        let arguments: Result<Vec<String>, _> = serde_json::from_str(&p.cmdline);
        let command = arguments.map_or_else(|_| p.cmdline.clone(), |a| a.join(" "));
        let row = p.row_id.to_string();
        Line {
            depth: p.depth.min(DEEPEST),
            pid: p.pid.map(|p| p.to_string()).unwrap_or_default(),
            name: p.name,
            user: p.user,
            started: p.start_time.chars().take(19).collect(),
            command: cut(if command.is_empty() { &p.exe } else { &command }),
            hidden: p.hidden,
            link: link(
                "/case/record",
                &[("case", &desk.case), ("source", "processes"), ("row", &row)],
            ),
        }
    };
    show(&Page {
        frame: desk.frame(app, "Processes"),
        case: desk.case.clone(),
        collection: collection.to_owned(),
        rows: all.into_iter().map(line).collect(),
    })
}
