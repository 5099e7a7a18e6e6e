//! Whom a custody leaf is about, and whether a person may see it: as for hosts, orders and parts, by agency.

use std::collections::HashMap;

use evidence::{
    custody::event::Action,
    digest::Digest,
    ids::{AgentId, CollectionId, HoldId, OrderId},
};
use protocol::name::Name;
use sqlx::query_scalar;

use super::{
    index::{Index, IndexError},
    scope::Scope,
};

/// Whose a leaf is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum About {
    /// The whole deployment's: policies, and what a later program logged.
    All,
    /// A host's agency's.
    Agent(AgentId),
    /// Of the agencies whose hosts the order is for, and of its requester.
    Order(OrderId),
    /// Of the agency of the agent whose collection it is.
    Collection(CollectionId),
    /// Of the rule's agency.
    Rule(Digest),
    /// Of the hold's agency.
    Hold(HoldId),
    /// Of the agency of the host that waited with this seal key.
    Pending(Digest),
}

impl About {
    /// Whose the leaf of this action is.
    pub fn of(action: &Action) -> Self {
        match action {
            Action::Enrolled { agent, .. }
            | Action::Renewed { agent, .. }
            | Action::Revoked { agent, .. }
            | Action::Removed { agent, .. }
            | Action::Cloned { agent }
            | Action::KitCertified { agent, .. }
            | Action::Refused { agent, .. } => Self::Agent(*agent),
            Action::Ordered { order, .. }
            | Action::Approved { order, .. }
            | Action::Cancelled { order, .. }
            | Action::Halted { order, .. }
            | Action::Lapsed { order, .. } => Self::Order(*order),
            Action::Received { part, .. }
            | Action::Fetched { part, .. }
            | Action::Verified { part, .. }
            | Action::Quarantined { part } => Self::Collection(part.collection),
            Action::Expired { collection, .. }
            | Action::KitUsed { collection, .. }
            | Action::Imported { collection, .. }
            | Action::LogRead { collection, .. } => Self::Collection(*collection),
            Action::Retention { rule_sha256, .. } => Self::Rule(*rule_sha256),
            Action::Held { hold, .. } | Action::HoldLifted { hold, .. } => Self::Hold(*hold),
            Action::Admitted { seal_key, .. } | Action::TurnedAway { seal_key, .. } => {
                Self::Pending(*seal_key)
            }
            _ => Self::All,
        }
    }
}

/// What one person may see; it asks the index about each thing once.
pub struct Sight<'i> {
    index: &'i Index,
    scope: &'i Scope,
    person: &'i Name,
    known: HashMap<About, bool>,
}

impl<'i> Sight<'i> {
    /// The sight of this person.
    pub fn of(index: &'i Index, scope: &'i Scope, person: &'i Name) -> Self {
        Self {
            index,
            scope,
            person,
            known: HashMap::new(),
        }
    }

    /// Whether the person may see a leaf about this.
    ///
    /// # Errors
    /// The database failed.
    pub async fn holds(&mut self, about: About) -> Result<bool, IndexError> {
        if let Some(known) = self.known.get(&about) {
            return Ok(*known);
        }
        let found = match about {
            About::All => true,
            About::Agent(id) => self.finds(AGENT, id.to_string()).await?,
            About::Order(id) => self.finds(ORDER, id.to_string()).await?,
            About::Collection(id) => self.finds(COLLECTION, id.to_string()).await?,
            About::Rule(sha256) => self.finds(RULE, sha256.to_string()).await?,
            About::Hold(id) => self.finds(HOLD, id.to_string()).await?,
            About::Pending(key) => self.finds(PENDING, key.to_string()).await?,
        };
        self.known.insert(about, found);
        Ok(found)
    }

    async fn finds(&self, question: &'static str, id: String) -> Result<bool, IndexError> {
        let found: Option<i64> = query_scalar(question)
            .bind(id)
            .bind(self.scope.json())
            .bind(self.person.as_str())
            .fetch_optional(&self.index.reader)
            .await?;
        Ok(found.is_some())
    }
}

const AGENT: &str = "SELECT 1 FROM agents \
    WHERE id = ?1 AND agency IN (SELECT value FROM json_each(?2)) AND ?3 IS NOT NULL";
const ORDER: &str = "SELECT 1 FROM orders o WHERE o.id = ?1 AND (o.requester = ?3 OR EXISTS \
    (SELECT 1 FROM order_hosts h JOIN agents a ON a.id = h.agent WHERE h.order_id = o.id \
    AND a.agency IN (SELECT value FROM json_each(?2))))";
const RULE: &str = "SELECT 1 FROM retention_rules \
    WHERE sha256 = ?1 AND agency IN (SELECT value FROM json_each(?2)) AND ?3 IS NOT NULL";
const HOLD: &str = "SELECT 1 FROM holds \
    WHERE id = ?1 AND agency IN (SELECT value FROM json_each(?2)) AND ?3 IS NOT NULL";
const PENDING: &str = "SELECT 1 FROM pending \
    WHERE seal_key = ?1 AND agency IN (SELECT value FROM json_each(?2)) AND ?3 IS NOT NULL";
const COLLECTION: &str = "SELECT 1 FROM (SELECT agent FROM collections WHERE id = ?1 \
    UNION ALL SELECT agent FROM order_hosts WHERE collection = ?1) c JOIN agents a ON a.id = c.agent \
    WHERE a.agency IN (SELECT value FROM json_each(?2)) AND ?3 IS NOT NULL";
