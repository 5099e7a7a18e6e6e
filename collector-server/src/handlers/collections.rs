//! What is stored, as far as the asker may see it.

use axum::{
    Extension,
    extract::{Query, State},
};
use evidence::ids::{CollectionId, OrderId};
use protocol::{messages::Collections, version::VERSION};
use serde::Deserialize;

use super::{Answer, App, PAGE, cut, json};
use crate::{access::Caller, refusal::Refusal};

/// Which ones.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    order: Option<OrderId>,
    after_collection: Option<CollectionId>,
}

/// `GET /v1/collections`.
pub(crate) async fn list(
    State(server): App,
    Extension(caller): Extension<Caller>,
    which: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let asker = caller.person()?;
    let Query(which) = which.map_err(|e| Refusal::Malformed(e.body_text()))?;
    let (order, beyond) = (which.order, which.after_collection);
    let rows = server
        .index
        .collections(&asker.scope, order, beyond, PAGE + 1)
        .await?;
    let mut collections = rows.ok_or(Refusal::NotFound)?;
    let more = cut(&mut collections);
    json(&Collections {
        v: VERSION,
        collections,
        more,
    })
}
