//! One collected file's bytes, a few KiB at a time, as hex and as text. They are decrypted for the page and kept nowhere.

use std::{fmt::Write as _, sync::Arc};

use askama::Template;
use axum::{extract::State, http::Uri};

use super::{Desk, at, link};
use crate::{
    commands::files,
    console::{
        app::App,
        problem::Problem,
        view::{Answer, Frame, number, show},
    },
};

/// Bytes on a page.
const A_PAGE: u64 = 4096;
/// Bytes on a line of hex.
const A_LINE: usize = 16;

#[derive(Template)]
#[template(path = "content.html")]
struct Page {
    frame: Frame,
    path: String,
    record: String,
    sha256: Option<String>,
    size: Option<String>,
    from: String,
    to: String,
    hex: Vec<String>,
    text: Vec<String>,
    before: Option<String>,
    next: Option<String>,
}

/// The page.
pub async fn page(State(app): State<Arc<App>>, uri: Uri) -> Answer {
    at(app, uri, content).await
}

fn content(app: &App, desk: &Desk) -> Answer {
    let nothing = || Problem::not_found("The bytes of this file are not in the evidence.");
    let row: i64 = desk.fields.get("row").parse().map_err(|_| nothing())?;
    let from: u64 = desk.fields.get("from").parse().unwrap_or(0);
    let found = desk.database.content(row)?.ok_or_else(nothing)?;
    let identities = files::identities(&desk.session.keys.identity_path())?;
    let bytes = found.range(&identities, from, A_PAGE)?;
    let record = desk.database.record("files", row)?.ok_or_else(nothing)?;
    let path = record.fields.iter().find(|(info, _)| info.name == "path");
    let id = row.to_string();
    let to = from + bytes.len() as u64;
    let page = |from: u64| {
        let from = from.to_string();
        link(
            "/case/content",
            &[("case", &desk.case), ("row", &id), ("from", &from)],
        )
    };
    let is_more = match found.size_bytes {
        Some(size) => to < size && !bytes.is_empty(),
        None => bytes.len() as u64 == A_PAGE,
    };
    show(&Page {
        frame: desk.frame(app, "Bytes of a file"),
        path: path.map(|(_, value)| value.to_text()).unwrap_or_default(),
        record: link(
            "/case/record",
            &[("case", &desk.case), ("source", "files"), ("row", &id)],
        ),
        sha256: found.sha256.clone(),
        size: found.size_bytes.map(number),
        from: number(from),
        to: number(to),
        hex: hex(from, &bytes),
        text: String::from_utf8_lossy(&bytes)
            .lines()
            .map(str::to_owned)
            .collect(),
        before: (from > 0).then(|| page(from.saturating_sub(A_PAGE))),
        next: is_more.then(|| page(to)),
    })
}

/// Lines of offset, bytes and what of them is ASCII.
fn hex(from: u64, bytes: &[u8]) -> Vec<String> {
    let line = |(at, chunk): (usize, &[u8])| {
        let mut text = format!("{:08x} ", from + (at * A_LINE) as u64);
        for place in 0..A_LINE {
            let gap = if place == A_LINE / 2 { " " } else { "" };
            let _infallible = match chunk.get(place) {
                Some(byte) => write!(text, "{gap} {byte:02x}"),
                None => write!(text, "{gap}   "),
            };
        }
        let shown = chunk.iter().map(|byte| match byte {
            0x20..0x7f => char::from(*byte),
            _ => '.',
        });
        text + "  " + &shown.collect::<String>()
    };
    bytes.chunks(A_LINE).enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_has_a_line_for_sixteen_bytes() {
        let lines = hex(4096, b"<script>\x1b[2J\xff..89a");
        assert_eq!(lines.len(), 2);
        assert_eq!(
            lines[0],
            "00001000  3c 73 63 72 69 70 74 3e  1b 5b 32 4a ff 2e 2e 38  <script>.[2J...8"
        );
        assert!(lines[1].starts_with("00001010  39 61 ") && lines[1].ends_with("  9a"));
    }
}
