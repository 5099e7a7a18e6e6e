//! How many more people must sign an order before it goes out: told with a list of orders.

use std::collections::BTreeSet;

use evidence::{envelope::Envelope, instant::Instant};
use protocol::{
    artifacts,
    messages::OrderRow,
    name::Name,
    order::Order,
    order_check::{fewest_signers, signatures_needed},
    policy::Policy,
    profile::Profile,
};

use crate::{refusal::Refusal, state::Server, store::Scope};

/// Fills in [`OrderRow::lacking`] of the orders that may still go out.
pub(super) async fn note(
    server: &Server,
    scope: &Scope,
    orders: &mut [OrderRow],
) -> Result<(), Refusal> {
    let (documents, now) = (server.documents(), Instant::now());
    for row in orders {
        let is_over = row.cancelled || row.halted.is_some() || row.expires <= now;
        // Who has settled, has been handed it.
        if is_over || row.settled > 0 {
            continue;
        }
        let held = server.index.envelope(row.order, row.order_sha256).await?;
        let agencies = server.index.agencies_of(row.order, scope).await?;
        let agencies: BTreeSet<_> = agencies.into_iter().collect();
        row.lacking = held.map_or(0, |held| lacking(&held, &documents.policy, &agencies));
    }
    Ok(())
}

/// On the host on which the fewest count. An order that nobody could read lacks nobody: its hosts refuse it.
fn lacking(envelope: &str, policy: &Policy, agencies: &BTreeSet<Name>) -> u32 {
    let read = || {
        let envelope = Envelope::parse(envelope.as_bytes()).ok()?;
        let order = Order::read(&envelope).ok()?;
        let profile = Profile::parse(&order.profile).ok()?;
        let requester = policy.person(&order.requester)?;
        let needed = signatures_needed(&profile, policy, &artifacts::class_of);
        let counted = fewest_signers(&envelope, requester, policy, agencies).len();
        Some(needed.saturating_sub(counted))
    };
    read().map_or(0, |lacking| u32::try_from(lacking).unwrap_or(u32::MAX))
}
