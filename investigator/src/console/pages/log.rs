//! The live log of one host of an order, or of all: the newest lines, and more as they come.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use evidence::ids::{AgentId, OrderId};
use protocol::{live::Line, policy::Role};
use serde::Deserialize;

use super::id;
use crate::{
    console::{
        app::App,
        log_stream,
        view::{Answer, Frame, show},
    },
    live_log::{
        Entry, Said,
        show::{time, what},
    },
};

/// Whose.
#[derive(Deserialize)]
pub struct Whose {
    host: Option<String>,
}

impl Whose {
    fn agent(&self) -> Result<Option<AgentId>, crate::console::problem::Problem> {
        self.host.as_deref().map(id).transpose()
    }
}

/// What changes while the log goes on.
#[derive(Template)]
#[template(path = "log_lines.html")]
pub struct Moving<'l> {
    /// The newest lines.
    pub lines: &'l Lines,
}

/// The newest lines.
pub struct Lines {
    /// The oldest first.
    pub rows: Vec<Row>,
    /// How many were shown before them.
    pub before: usize,
    /// Whether no host says more.
    pub is_over: bool,
}

/// One line.
#[derive(Clone)]
pub struct Row {
    time: String,
    hostname: String,
    kind: &'static str,
    text: String,
}

impl Row {
    /// Of an entry.
    pub fn new(entry: &Entry) -> Self {
        let (time, kind, text) = match &entry.said {
            Said::Note(text) => (String::new(), "bad", text.clone()),
            Said::Said(line @ Line::Gap(_)) => (time(line), "fair", what(line)),
            Said::Said(line) => (time(line), "", what(line)),
        };
        Self {
            time,
            hostname: entry.hostname.clone(),
            kind,
            text,
        }
    }
}

#[derive(Template)]
#[template(path = "log.html")]
struct Page {
    frame: Frame,
    id: String,
    query: String,
    lines: Lines,
}

/// The page; its lines come by the stream.
pub async fn page(
    State(app): State<Arc<App>>,
    Path(order): Path<String>,
    Query(whose): Query<Whose>,
) -> Answer {
    let (order, agent): (OrderId, _) = (id(&order)?, whose.agent()?);
    app.page(move |app| {
        let session = app.desk.session()?;
        session.demand(Role::Investigator)?;
        let mut rows = Vec::new();
        let before = log_stream::now(&session, order, agent, &mut rows)?;
        show(&Page {
            frame: Frame::new(&app.gate, &session, "orders", "Live log"),
            id: order.to_string(),
            query: agent.map_or_else(String::new, |agent| format!("?host={agent}")),
            lines: Lines {
                rows,
                before,
                is_over: false,
            },
        })
    })
    .await
}

/// Its lines as a stream.
pub async fn events(
    State(app): State<Arc<App>>,
    Path(order): Path<String>,
    Query(whose): Query<Whose>,
) -> Answer {
    log_stream::stream(&app, id(&order)?, whose.agent()?)
}
