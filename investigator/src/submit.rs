//! Hands a signed order in, and believes that it is in the custody log only when that is proven.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use evidence::{
    custody::event::{Action, Event},
    envelope::Envelope,
};
use protocol::{
    messages::{HostRow, Logged, SubmitOrder},
    order::Order,
    version::VERSION,
};

use crate::session::Session;

/// Keeps a copy, hands the order in, and checks that the custody log holds it; gives its leaf.
///
/// # Errors
/// The copy can't be written, the server does not take the order, or its receipt does not prove it.
pub fn order(
    session: &Session,
    order: &Order,
    envelope: &Envelope,
    hosts: &[&HostRow],
) -> anyhow::Result<u64> {
    let json = envelope.to_json()?;
    session
        .home
        .remember(&format!("orders/{}.json", order.id), &json)?;
    let targets: BTreeSet<_> = hosts.iter().map(|h| h.agent).collect();
    let Logged { receipt, .. } = session.remote.submit_order(&SubmitOrder {
        v: VERSION,
        order: String::from_utf8(json).context("The order is not text.")?,
        targets: targets.into_iter().collect(),
    })?;
    let proven = session.prove_logged(&receipt)?;
    let (leaf, event) = Event::read(&proven.leaf)?;
    let said = Action::Ordered {
        order: order.id,
        order_sha256: envelope.digest(),
    };
    let by_server = !leaf.verify(&session.believed.policy.time_keys).is_empty();
    ensure!(
        by_server && event.action == said,
        "The server gave a receipt for something else. Tell its operator."
    );
    Ok(proven.index)
}
