//! What Prometheus may ask: counts of requests by status, on loopback only.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse as _, Response},
    routing::get,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByStatus {
    status: u16,
}

/// The server's counts.
pub struct Metrics {
    registry: Registry,
    requests: Family<ByStatus, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let (mut registry, requests) = (Registry::default(), Family::default());
        registry.register(
            "fieldseal_requests",
            "Requests answered, by status",
            requests.clone(),
        );
        Self { registry, requests }
    }
}

/// Counts every answer of the routes below it.
pub async fn count(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let label = ByStatus {
        status: response.status().as_u16(),
    };
    metrics.requests.get_or_create(&label).inc();
    response
}

/// `/metrics`, for the loopback listener.
pub fn router(metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/metrics", get(show))
        .with_state(metrics)
}

async fn show(State(metrics): State<Arc<Metrics>>) -> Response {
    let mut text = String::new();
    if encode(&mut text, &metrics.registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], text).into_response()
}
