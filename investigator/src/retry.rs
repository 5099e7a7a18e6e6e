//! An order once more, for the hosts on which it came to no good end.

use std::{collections::HashSet, time::Duration};

use evidence::{digest::Digest, ids::OrderId};
use protocol::{
    messages::{HostRow, HostState, OrderHost},
    order::Order,
};

use crate::{draft::Wish, exit::misuse, session::Session, shown, span::Span, targets::Chosen};

/// Why an order is made again, where nobody says it better.
pub const REASON: &str = "retry of the hosts that failed";

/// An order that was made before, and how it fared.
pub struct Before {
    /// The order.
    pub order: Order,
    /// Its digest: the new order names it.
    pub digest: Digest,
    fared: Vec<OrderHost>,
}

impl Before {
    /// Asks the server for it.
    ///
    /// # Errors
    /// The server does not know the order, or it is not what it should be.
    pub fn get(session: &Session, id: OrderId) -> anyhow::Result<Self> {
        let status = session.remote.order(id, 0, Duration::ZERO)?;
        let (envelope, order) = shown::order(&status.order, id, &session.believed.policy)?;
        Ok(Self {
            order,
            digest: envelope.digest(),
            fared: status.hosts,
        })
    }

    /// The hosts that failed and that can still be asked.
    ///
    /// # Errors
    /// There is none.
    pub fn failed<'h>(&self, all: &'h [HostRow]) -> anyhow::Result<Vec<&'h HostRow>> {
        let fared = self.fared.iter().filter(|h| failed(h));
        let fared: HashSet<_> = fared.map(|h| h.agent).collect();
        let again = |h: &&HostRow| h.is_target() && fared.contains(&h.agent);
        let hosts: Vec<_> = all.iter().filter(again).collect();
        if hosts.is_empty() {
            return Err(misuse(
                "No host of this order failed that could be asked again. See `fieldseal watch`.",
            ));
        }
        Ok(hosts)
    }

    /// The same once more, for `hosts`.
    pub fn wish<'h>(&self, hosts: Vec<&'h HostRow>, reason: &str, expires: Span) -> Wish<'h> {
        let before = self.order.clone();
        Wish {
            profile: before.profile,
            paths: before.parameters.paths,
            scope: before.parameters.scope,
            chosen: Chosen {
                hosts,
                // How the first order chose; the list alone counts.
                expression: before.targets.expression,
            },
            open: false,
            case: before.case,
            reason: reason.to_owned(),
            expires,
            predecessor: Some(self.digest),
            rollout: before.rollout,
            recurrence: before.recurrence,
            // What a kit could not do it can be asked for again, by whoever holds it.
            kit: None,
        }
    }
}

/// Whether an order came to no good end on a host.
pub fn failed(host: &OrderHost) -> bool {
    match host.state {
        HostState::Refused
        | HostState::Expired
        | HostState::Cancelled
        | HostState::Halted
        | HostState::Removed
        | HostState::Cloned => true,
        HostState::Delivered => host.ended_early.is_some(),
        HostState::Waiting
        | HostState::Standing
        | HostState::Watching
        | HostState::Running
        | HostState::Cancelling => false,
    }
}
