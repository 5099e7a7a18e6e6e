//! Approvers sign other people's orders.

use axum::{
    Extension,
    extract::{Path, State},
};
use evidence::{envelope::Envelope, ids::OrderId, instant::Instant};
use protocol::{messages::SignOrder, order::Order};

use super::{
    Answer, App, Message, json,
    orders::{check_signatures, log_approvals, status},
};
use crate::{
    access::Caller,
    refusal::Refusal,
    store::{index::Change, orders::Change as OrderChange},
};

/// `POST /v1/orders/{order}/signatures`: an approver signs another person's order.
pub(crate) async fn sign(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Message(sent): Message<SignOrder>,
) -> Answer {
    let asker = caller.person()?;
    let id: OrderId = id.parse().map_err(|_| Refusal::NotFound)?;
    let envelope = Envelope::parse(sent.order.as_bytes())
        .map_err(|e| Refusal::Malformed(format!("the order: {e}")))?;
    let held = status(&server, &asker, id).await?;
    let held = Envelope::parse(held.order.as_bytes()).map_err(Refusal::failed)?;
    if envelope.digest() != held.digest() {
        return Err(Refusal::unacceptable(
            "another order has this id. Fetch the order, and sign that one.",
        ));
    }
    let order = Order::read(&envelope)?;
    if Instant::now() >= order.expires {
        return Err(Refusal::unacceptable(
            "the order has expired. Have it made again.",
        ));
    }
    check_signatures(&server, &envelope)?;
    let documents = server.documents();
    let signers = documents.policy.signers(&envelope);
    if !signers.iter().any(|p| p.id == asker.person.id) {
        return Err(Refusal::unacceptable(
            "the order does not carry your own signature. Sign it, then send it.",
        ));
    }
    log_approvals(&server, (id, held.digest()), &envelope).await?;
    let change = OrderChange::Sign {
        order: id,
        envelope: sent.order,
    };
    server.change(Change::Order(change)).await?;
    if order.targets.open {
        server.wake.agents.ring_all();
    }
    tracing::info!(order = %id, by = %asker.person.id, "an order was approved");
    json(&status(&server, &asker, id).await?)
}
