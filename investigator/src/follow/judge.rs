//! What following an order needs to know beyond the server's word: whether a refusal is the agent's own, and who must
//! still sign. What all answers are held against is read once.

use std::collections::HashMap;

use anyhow::{Context as _, ensure};
use evidence::{envelope::Envelope, ids::AgentId};
use protocol::{
    messages::{HostRow, OrderHost, OrderStatus},
    order::Order,
    policy::Policy,
};

use super::RefusalView;
use crate::{approval::Approval, refusal as notices, session::Session, trust};

/// See the module.
pub struct Judge<'a> {
    session: &'a Session,
    hosts: HashMap<AgentId, &'a HostRow>,
    /// Whoever signed an order may have left since, or have other keys.
    policies: Vec<Policy>,
}

impl<'a> Judge<'a> {
    /// For orders to `hosts`.
    ///
    /// # Errors
    /// The policies that are remembered can't be read.
    pub fn new(session: &'a Session, hosts: &'a [HostRow]) -> anyhow::Result<Self> {
        Ok(Self {
            session,
            hosts: hosts.iter().map(|host| (host.agent, host)).collect(),
            policies: trust::policies(&session.home, &session.believed)?,
        })
    }

    /// The refusal in words, if the agent's seal key has signed it for this order.
    pub fn refusal(&self, status: &OrderStatus, host: &OrderHost, notice: &str) -> RefusalView {
        let opened = || {
            let order = Envelope::parse(status.order.as_bytes())?;
            ensure!(
                self.policies.iter().any(|p| !p.signers(&order).is_empty()),
                "the order that the server shows is signed by nobody of the policy"
            );
            let row = self.hosts.get(&host.agent);
            let row = row.context("the host is not on the server's list")?;
            let trust = &self.session.seal_trust;
            notices::open(notice, host.agent, &order.digest(), &row.seal_chain, trust)
        };
        match opened() {
            Ok(notice) => RefusalView {
                signed: true,
                text: notice.refusal.to_string(),
            },
            Err(error) => RefusalView {
                signed: false,
                text: format!("{error:#}"),
            },
        }
    }

    /// How many more people must sign the order, while every host waits.
    pub fn lacking(&self, status: &OrderStatus) -> usize {
        let totals = &status.totals;
        if totals.waiting < totals.hosts {
            return 0;
        }
        let counted = || -> anyhow::Result<usize> {
            let envelope = Envelope::parse(status.order.as_bytes())?;
            let order = Order::read(&envelope)?;
            let hosts = status.hosts.iter().filter_map(|h| self.hosts.get(&h.agent));
            let hosts: Vec<_> = hosts.copied().collect();
            let policy = &self.session.believed.policy;
            Ok(Approval::of(&envelope, &order, policy, &hosts)?.lacking())
        };
        // What can't be read is refused by the hosts, in their own words.
        counted().unwrap_or(0)
    }
}
