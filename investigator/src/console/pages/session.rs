//! The end of the console, by its own button.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};

use crate::console::{app::App, problem};

/// Ends it.
pub async fn end(State(app): State<Arc<App>>) -> Response {
    app.end.notify_one();
    problem::farewell(StatusCode::OK)
}
