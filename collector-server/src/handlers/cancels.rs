//! People stop orders.
//!
//! The cancellation is signed by the person and judged again by every agent: the server can withhold it, not make one.

use axum::{
    Extension,
    extract::{Path, State},
};
use evidence::{custody::event::Action, envelope::Envelope, ids::OrderId};
use protocol::{
    messages::{CancelOrder, Logged},
    name::Name,
    order::{Cancel, Order},
    version::VERSION,
};

use super::{Answer, App, Message, json};
use crate::{
    access::Caller,
    refusal::Refusal,
    store::{Scope, index::Change, orders::Change as OrderChange},
};

/// The longest reason, in characters.
const MAX_REASON_CHARS: usize = 1_000;

/// `POST /v1/orders/{order}/cancel`.
pub(crate) async fn cancel(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Message(sent): Message<CancelOrder>,
) -> Answer {
    let asker = caller.person()?;
    let id: OrderId = id.parse().map_err(|_| Refusal::NotFound)?;
    let who = (&asker.scope, &asker.person.id);
    let held = server.index.visible(id, who).await?;
    let held =
        Envelope::parse(held.ok_or(Refusal::NotFound)?.as_bytes()).map_err(Refusal::failed)?;
    let order = Order::read(&held)?;
    let envelope = Envelope::parse(sent.cancel.as_bytes())
        .map_err(|e| Refusal::Malformed(format!("the cancellation: {e}")))?;
    let said = Cancel::read(&envelope)?;
    check(&said, (id, &held, &order))?;
    let documents = server.documents();
    let speaks_for = |agency: &&Name| Cancel::open(&envelope, &documents.policy, agency).is_ok();
    let agencies: Vec<_> = asker
        .person
        .agencies
        .iter()
        .filter(speaks_for)
        .cloned()
        .collect();
    if agencies.is_empty() || said.by != asker.person.id {
        return Err(Refusal::Denied(
            "The cancellation is not your own, or you may cancel for no agency. Sign it with your own key.",
        ));
    }
    let cancelled = Action::Cancelled {
        order: id,
        order_sha256: held.digest(),
        cancel_sha256: envelope.digest(),
        by_key: asker.person.signing_key.key_id(),
    };
    let receipt = server.custody.log(cancelled).await?;
    let change = OrderChange::Cancel {
        order: id,
        cancel: sent.cancel,
        agencies: Scope::of(agencies),
    };
    server.change(Change::Order(change)).await?;
    tracing::info!(order = %id, by = %asker.person.id, "an order was cancelled");
    json(&Logged {
        v: VERSION,
        receipt,
    })
}

/// Whether the cancellation is about the order that is held here, and worth anything.
fn check(said: &Cancel, (id, held, order): (OrderId, &Envelope, &Order)) -> Result<(), Refusal> {
    if said.order != id || said.order_digest != held.digest() || said.expires != order.expires {
        return Err(Refusal::unacceptable(
            "the cancellation is about another order. Fetch the order, and cancel that one.",
        ));
    }
    if said.reason.chars().count() > MAX_REASON_CHARS {
        return Err(Refusal::Malformed("the reason is too long".into()));
    }
    Ok(())
}
