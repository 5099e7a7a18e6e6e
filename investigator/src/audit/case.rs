//! The leaves that concern one case: its orders, its collections, and the agents that made them.

use std::collections::BTreeSet;

use evidence::{
    custody::event::Action,
    digest::Digest,
    ids::{AgentId, CollectionId, HoldId, OrderId},
};

use super::Row;

/// What a case consists of, to show its leaves alone.
#[derive(Debug, Default)]
pub struct CaseFilter {
    /// Its orders.
    pub orders: BTreeSet<OrderId>,
    /// Its collections.
    pub collections: BTreeSet<CollectionId>,
    /// The agents that it concerns.
    pub agents: BTreeSet<AgentId>,
    /// The retention rules that are, or were, in force for its collections.
    pub rules: BTreeSet<Digest>,
    /// The holds that keep its collections.
    pub holds: BTreeSet<HoldId>,
}

impl CaseFilter {
    /// The rows that concern the case.
    pub fn choose(&self, rows: Vec<Row>) -> Vec<Row> {
        let mut digests = BTreeSet::new();
        for row in &rows {
            if let Action::Ordered {
                order,
                order_sha256,
            } = row.action
                && self.orders.contains(&order)
            {
                digests.insert(order_sha256);
            }
        }
        let concerns = |row: &Row| match &row.action {
            Action::Ordered { order, .. }
            | Action::Approved { order, .. }
            | Action::Cancelled { order, .. }
            | Action::Halted { order, .. }
            | Action::Lapsed { order, .. } => self.orders.contains(order),
            Action::Refused { order_sha256, .. } => digests.contains(order_sha256),
            Action::Enrolled { agent, .. }
            | Action::Renewed { agent, .. }
            | Action::Cloned { agent }
            | Action::KitCertified { agent, .. }
            | Action::Removed { agent, .. }
            | Action::Revoked { agent, .. } => self.agents.contains(agent),
            Action::Received { part, .. }
            | Action::Fetched { part, .. }
            | Action::Verified { part, .. }
            | Action::Quarantined { part } => self.collections.contains(&part.collection),
            Action::Expired { collection, .. }
            | Action::KitUsed { collection, .. }
            | Action::Imported { collection, .. }
            | Action::LogRead { collection, .. } => self.collections.contains(collection),
            Action::Retention { rule_sha256, .. } => self.rules.contains(rule_sha256),
            Action::Held { hold, .. } | Action::HoldLifted { hold, .. } => {
                self.holds.contains(hold)
            }
            _ => false,
        };
        rows.into_iter().filter(concerns).collect()
    }
}
