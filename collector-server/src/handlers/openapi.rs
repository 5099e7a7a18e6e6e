//! The description of every URL for programs: OpenAPI 3.1.
//!
//! It is made from the router's table and PROTOCOL.md's, lies beside the source, and a test says when it no longer fits.

use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse as _, Response},
};

/// The document as it is served.
pub(crate) const DOCUMENT: &[u8] = include_bytes!("../../openapi.json");

/// `GET /v1/openapi.json`.
pub(crate) async fn show() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
