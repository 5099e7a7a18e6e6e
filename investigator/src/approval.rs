//! How many people have signed an order, and how many must, as the agents will count.

use std::collections::BTreeSet;

use anyhow::Context as _;
use evidence::envelope::Envelope;
use protocol::{
    artifacts, messages::HostRow, name::Name, order::Order, order_check, policy::Policy,
    profile::Profile,
};
use serde::Serialize;

/// The signatures on an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// Who counts, on the host on which the fewest do.
    pub signers: Vec<Name>,
    /// How many must sign.
    pub needed: usize,
}

impl Approval {
    /// Counts the signatures of `envelope`, which is `order`, for `hosts`; an order for nobody yet counts the requester.
    ///
    /// # Errors
    /// The requester is not known any more, or the profile can't be read.
    pub fn of(
        envelope: &Envelope,
        order: &Order,
        policy: &Policy,
        hosts: &[&HostRow],
    ) -> anyhow::Result<Self> {
        let requester = policy.person(&order.requester).context(
            "The policy in force does not know the order's requester any more. Have it made again.",
        )?;
        let profile = Profile::parse(&order.profile)?;
        let agencies: BTreeSet<_> = hosts.iter().map(|h| &h.agency).collect();
        Ok(Self {
            signers: order_check::fewest_signers(envelope, requester, policy, agencies),
            needed: order_check::signatures_needed(&profile, policy, &artifacts::class_of),
        })
    }

    /// How many more people must sign.
    pub fn lacking(&self) -> usize {
        self.needed.saturating_sub(self.signers.len())
    }

    /// What is to be said of it.
    pub fn in_words(&self, order: &Order) -> String {
        let (found, needed, id) = (self.signers.len(), self.needed, order.id);
        match self.lacking() {
            0 => format!("{found} of {needed} people have signed order {id}: it goes to its hosts"),
            lacking => format!(
                "{found} of {needed} people have signed order {id}: it waits at the server until {lacking} more \
                 approve it, each with their own key: fieldseal approve {id}"
            ),
        }
    }
}
