//! Agents say how they fare, for whoever looks after many hosts. No decision rests on it.

use axum::{Extension, extract::State, http::StatusCode, response::IntoResponse as _};
use evidence::instant::Instant;
use protocol::{
    health::{ERRORS_MAX, FACT_BYTES_MAX, TEXT_BYTES_MAX},
    messages::AgentHealth,
};

use super::{Answer, App, Message};
use crate::{
    access::Caller,
    refusal::Refusal,
    store::{agents::Change as AgentChange, index::Change},
};

/// `POST /v1/agent/health`.
pub(crate) async fn take(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Message(sent): Message<AgentHealth>,
) -> Answer {
    let agent = caller.agent()?.id;
    server.saw(agent);
    // Two machines would tell of one host by turns.
    if server.index.is_cloned(agent).await? {
        return Err(Refusal::Cloned);
    }
    let health = sent.health;
    let facts = [&health.hostname, &health.system, &health.agent_version];
    let told = [&health.problem, &health.reader_walls, &health.courier_walls];
    let is_long = |text: &Option<String>| {
        let text = text.as_ref();
        text.is_some_and(|text| text.len() > TEXT_BYTES_MAX)
    };
    if facts.iter().any(|f| f.len() > FACT_BYTES_MAX) || told.into_iter().any(is_long) {
        return Err(Refusal::Malformed("a text is too long".into()));
    }
    let mut texts = health.errors.iter().map(|error| &error.text);
    if health.errors.len() > ERRORS_MAX || texts.any(|t| t.len() > FACT_BYTES_MAX) {
        let why = "too many errors, or one that is too long";
        return Err(Refusal::Malformed(why.into()));
    }
    let change = AgentChange::Health {
        agent,
        health,
        told: Instant::now(),
    };
    server.change(Change::Agent(change)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
