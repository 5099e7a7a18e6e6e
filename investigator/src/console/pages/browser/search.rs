//! Words in any record of a case, or a digest.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::Uri};

use super::{Desk, at, link, table::cut};
use crate::console::{
    app::App,
    problem,
    view::{Answer, Frame, show},
};

/// Hits on a page.
const A_PAGE: usize = 100;

#[derive(Template)]
#[template(path = "search.html")]
struct Page {
    frame: Frame,
    case: String,
    words: String,
    errors: Vec<String>,
    hits: Vec<Line>,
    next: Option<String>,
    is_asked: bool,
}

struct Line {
    source: String,
    host: String,
    subject: String,
    link: String,
}

/// The page.
pub async fn page(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    at(app, uri, search).await
}

fn search(app: &App, desk: &Desk) -> Answer {
    let words = desk.fields.get("words");
    let after = desk.fields.get("after").parse().ok();
    let mut page = Page {
        frame: desk.frame(app, "Search"),
        case: desk.case.clone(),
        words: words.to_owned(),
        errors: Vec::new(),
        hits: Vec::new(),
        next: None,
        is_asked: !words.is_empty(),
    };
    if page.is_asked {
        match desk.database.search(words, None, after, A_PAGE) {
            Err(error) => page.errors = problem::words(&error),
            Ok(found) => {
                page.hits = found.hits.into_iter().map(|hit| line(desk, hit)).collect();
                page.next = found.next.map(|next| {
                    let next = next.to_string();
                    link(
                        "/case/search",
                        &[("case", &desk.case), ("words", words), ("after", &next)],
                    )
                });
            }
        }
    }
    show(&page)
}

fn line(desk: &Desk, hit: crate::case::read::Hit) -> Line {
    let row = hit.row_id.to_string();
    Line {
        link: link(
            "/case/record",
            &[("case", &desk.case), ("source", &hit.source), ("row", &row)],
        ),
        subject: cut(hit.subject.as_deref().unwrap_or("record")),
        source: hit.source,
        host: hit.host,
    }
}
