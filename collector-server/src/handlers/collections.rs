//! What is stored, as far as the asker may see it.

use axum::{
    Extension,
    extract::{Query, State},
};
use evidence::ids::OrderId;
use protocol::{messages::Collections, version::VERSION};
use serde::Deserialize;

use super::{Answer, App, json};
use crate::{access::Caller, refusal::Refusal};

/// Which ones.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    order: Option<OrderId>,
}

/// `GET /v1/collections`.
pub(crate) async fn list(
    State(server): App,
    Extension(caller): Extension<Caller>,
    which: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let asker = caller.person()?;
    let Query(which) = which.map_err(|e| Refusal::Malformed(e.body_text()))?;
    let collections = server.index.collections(&asker.scope, which.order).await?;
    json(&Collections {
        v: VERSION,
        collections,
    })
}
