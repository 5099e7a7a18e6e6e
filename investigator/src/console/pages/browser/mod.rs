//! The evidence browser: pages over the database of a case on this machine. The server is asked nothing.

pub mod case;
pub mod content;
pub mod processes;
pub mod record;
pub mod search;
pub mod table;
pub mod timeline;

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{extract::State, http::Uri};
use url::form_urlencoded::Serializer;

use super::query;
use crate::{
    case::{self as cases_of, Database, Listed},
    console::{
        app::App,
        fields::Fields,
        problem::Problem,
        view::{Answer, Frame, number, show, size},
    },
    session::Session,
};

/// No page waits longer for the database.
const MOST: Duration = Duration::from_secs(20);

#[derive(Template)]
#[template(path = "cases.html")]
struct Cases {
    frame: Frame,
    cases: Vec<CaseLine>,
}

struct CaseLine {
    case: Option<String>,
    path: String,
    fault: Option<String>,
    figures: [String; 5],
}

impl CaseLine {
    fn new(listed: &Listed) -> Self {
        Self {
            case: listed.case.clone(),
            path: listed.path.display().to_string(),
            fault: listed.fault.clone(),
            figures: [
                number(listed.hosts),
                number(listed.collections),
                number(listed.parts),
                number(listed.records),
                size(listed.size_bytes),
            ],
        }
    }
}

/// The cases on this machine.
pub async fn cases(State(app): State<Arc<App>>) -> Answer {
    app.page(|app| {
        let session = app.desk.last()?;
        let listed = cases_of::list(app.desk.home())?;
        show(&Cases {
            frame: Frame::new(&app.gate, &session, "evidence", "Evidence"),
            cases: listed.iter().map(CaseLine::new).collect(),
        })
    })
    .await
}

/// What every page of a case needs.
struct Desk {
    session: Arc<Session>,
    database: Database,
    case: String,
    fields: Fields,
}

impl Desk {
    fn frame(&self, app: &App, title: &str) -> Frame {
        Frame::new(&app.gate, &self.session, "evidence", title)
    }
}

/// A link within the case: empty values are left out.
fn link(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    format!("{path}?{}", query.finish())
}

/// Opens the case that the query names and makes the page.
async fn at(
    app: Arc<App>,
    uri: Uri,
    make: impl FnOnce(&App, &Desk) -> Answer + Send + 'static,
) -> Answer {
    let fields = query(&uri);
    app.page(move |app| {
        let case = fields.raw("case").unwrap_or_default().to_owned();
        let path = cases_of::database_of(app.desk.home(), &case);
        if !path.is_file() {
            let why = "This case is not on this machine. Fetch and verify a collection of it.";
            return Err(Problem::not_found(why));
        }
        let database = Database::open_read(&path)?;
        database.set_deadline(Some(MOST));
        make(
            app,
            &Desk {
                session: app.desk.last()?,
                database,
                case,
                fields,
            },
        )
    })
    .await
}
