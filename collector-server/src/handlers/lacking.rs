//! How many more people must sign an order before it goes out: told with a list of orders, and asked before each handing
//! over.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use evidence::{digest::Digest, envelope::Envelope, instant::Instant};
use protocol::{
    artifacts,
    messages::OrderRow,
    name::Name,
    order::Order,
    order_check::{fewest_signers, signatures_needed},
    policy::Policy,
    profile::Profile,
};

use crate::{refusal::Refusal, state::Server, store::Scope, trust::Documents};

/// Answers kept at one time: far more than orders are on their way.
const KEPT: usize = 4_096;

/// What was found of orders on their way: the same signatures are not verified again for each of ten thousand hosts.
#[derive(Default)]
pub(crate) struct Lacking(Mutex<HashMap<(Digest, Digest, Name), bool>>);

impl Lacking {
    /// Whether hosts of this agency may not have the order yet.
    pub(super) fn is_lacking(&self, documents: &Documents, envelope: &str, agency: &Name) -> bool {
        let key = (
            Digest::of(envelope.as_bytes()),
            documents.policy_sha256,
            agency.clone(),
        );
        let held = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = held().get(&key) {
            return *found;
        }
        let of = BTreeSet::from([agency.clone()]);
        let found = lacking(envelope, &documents.policy, &of) > 0;
        let mut held = held();
        if held.len() >= KEPT {
            held.clear();
        }
        held.insert(key, found);
        found
    }
}

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
