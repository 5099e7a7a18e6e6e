//! What Prometheus may ask: counts and gauges, on loopback only; no names, no ids.

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
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{state::Server, store::survey::Survey};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByStatus {
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByWhat {
    what: &'static str,
}

/// The server's counts.
pub struct Metrics {
    registry: Registry,
    requests: Family<ByStatus, Counter>,
    polling: Gauge,
    parts: Counter,
    part_bytes: Counter,
    /// Parts handed out.
    pub fetched: Counter,
    /// Collections that expired since the server began.
    pub expired: Counter,
    /// Whether nothing expires, because the clock is not believed.
    pub clock_doubted: Gauge,
    kept: Family<ByWhat, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("fieldseal");
        let (requests, polling, clock_doubted) =
            (Family::default(), Gauge::default(), Gauge::default());
        let [parts, part_bytes, fetched, expired] = [(); 4].map(|()| Counter::default());
        let kept = Family::default();
        registry.register("requests", "Requests answered, by status", requests.clone());
        registry.register(
            "agents_polling",
            "Agents that wait for an order now",
            polling.clone(),
        );
        registry.register("parts_received", "Parts that became durable", parts.clone());
        registry.register(
            "part_bytes_received",
            "Bytes of such parts",
            part_bytes.clone(),
        );
        registry.register("parts_fetched", "Parts handed out", fetched.clone());
        registry.register("expired", "Collections that expired", expired.clone());
        registry.register(
            "clock_doubted",
            "1 while nothing expires, because the clock leapt and nobody confirmed it",
            clock_doubted.clone(),
        );
        registry.register("kept", "What the index holds now", kept.clone());
        Self {
            registry,
            requests,
            polling,
            parts,
            part_bytes,
            fetched,
            expired,
            clock_doubted,
            kept,
        }
    }
}

impl Metrics {
    /// Counts a part that became durable.
    pub fn received(&self, bytes: u64) {
        self.parts.inc();
        self.part_bytes.inc_by(bytes);
    }

    /// Counts an agent that waits, until the value is dropped.
    pub fn agent_polls(&self) -> Polling<'_> {
        self.polling.inc();
        Polling(&self.polling)
    }

    fn survey(&self, survey: &Survey) {
        for (what, count) in survey.counts() {
            let gauge = self.kept.get_or_create(&ByWhat { what });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

/// An agent that waits.
pub struct Polling<'m>(&'m Gauge);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.dec();
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
pub fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/metrics", get(show))
        .with_state(server)
}

async fn show(State(server): State<Arc<Server>>) -> Response {
    let failed = StatusCode::INTERNAL_SERVER_ERROR;
    match server.index.survey().await {
        Ok(survey) => server.metrics.survey(&survey),
        Err(_) => return failed.into_response(),
    }
    let mut text = String::new();
    if encode(&mut text, &server.metrics.registry).is_err() {
        return failed.into_response();
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], text).into_response()
}
