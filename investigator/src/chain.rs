//! Orders that continue others: retries, and what was ordered from a hunt's hits.

use evidence::ids::OrderId;
use protocol::messages::OrderRow;

/// The order, and those that continue it, each after the one that it continues.
pub fn with_retries(all: &[OrderRow], first: OrderId) -> Vec<OrderId> {
    let mut chain = vec![first];
    let mut at = 0;
    while let Some(order) = chain.get(at) {
        let digest = all
            .iter()
            .find(|o| o.order == *order)
            .map(|o| o.order_sha256);
        let continues = |o: &&OrderRow| digest.is_some() && o.predecessor == digest;
        let more: Vec<_> = all.iter().filter(continues).map(|o| o.order).collect();
        chain.extend(
            more.into_iter()
                .filter(|o| !chain.contains(o))
                .collect::<Vec<_>>(),
        );
        at += 1;
    }
    chain
}

/// The order that this one continues, where the person may see it.
pub fn before(all: &[OrderRow], order: OrderId) -> Option<&OrderRow> {
    let digest = all.iter().find(|o| o.order == order)?.predecessor?;
    all.iter().find(|o| o.order_sha256 == digest)
}
