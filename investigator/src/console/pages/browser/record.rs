//! One record whole, with what each field means, and where in the evidence it stands.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::Uri};

use super::{Desk, at, link};
use crate::{
    case::read::{Record, Value},
    console::{
        app::App,
        problem::Problem,
        view::{Answer, Frame, show},
    },
};

#[derive(Template)]
#[template(path = "record.html")]
struct Page {
    frame: Frame,
    case: String,
    record: Record,
    fields: Vec<(String, String, String)>,
    empty: Vec<String>,
    table: String,
    content: Option<String>,
}

/// The page.
pub async fn page(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    at(app, uri, record).await
}

fn record(app: &App, desk: &Desk) -> Answer {
    let (source, row) = (desk.fields.get("source"), desk.fields.get("row"));
    let nothing = || Problem::not_found("There is no such record. See its table.");
    let row: i64 = row.parse().map_err(|_| nothing())?;
    let record = desk.database.record(source, row)?.ok_or_else(nothing)?;
    let (mut fields, mut empty) = (Vec::new(), Vec::new());
    for (info, value) in &record.fields {
        match value {
            Value::Null => empty.push(info.name.clone()),
            value => fields.push((info.name.clone(), info.about.clone(), value.to_text())),
        }
    }
    let has_content = source == "files" && desk.database.content(row)?.is_some();
    let id = row.to_string();
    show(&Page {
        frame: desk.frame(app, "Record"),
        case: desk.case.clone(),
        table: link("/case/table", &[("case", &desk.case), ("source", source)]),
        content: has_content.then(|| link("/case/content", &[("case", &desk.case), ("row", &id)])),
        record,
        fields,
        empty,
    })
}
