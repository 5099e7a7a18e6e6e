//! The few files that pages load, compiled in.

use axum::{
    http::header,
    response::{IntoResponse as _, Response},
};

const STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");
const ICON: &str = include_str!("assets/icon.svg");

/// The style of all pages.
pub async fn style() -> Response {
    file("text/css; charset=utf-8", STYLE)
}

/// The script of all pages.
pub async fn script() -> Response {
    file("text/javascript; charset=utf-8", SCRIPT)
}

/// The picture in the browser's tab.
pub async fn icon() -> Response {
    file("image/svg+xml", ICON)
}

fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
