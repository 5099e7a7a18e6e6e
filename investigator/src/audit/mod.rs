//! The custody log, leaf by leaf: who signed it, whether they may have, and whether it fits what came before.
//!
//! Nothing is taken from the server's word: the tree is recomputed from the leaves, and every
//! signature is checked against the policies that the pinned root signed.

pub mod case;
pub mod contact;
pub mod keeping;
pub mod words;

use std::collections::{BTreeMap, BTreeSet};

use evidence::{
    count,
    custody::{
        checkpoint::Checkpoint,
        event::{Action, Event, StoredPart},
        leaf_hash,
        tree::Tree,
    },
    digest::Digest,
    envelope::Envelope,
    ids::{AgentId, CollectionId, HoldId, OrderId},
    instant::Instant,
    keys::PublicKey,
};
use protocol::policy::{Person, Policy, Role};
use serde::Serialize;

/// Who signed a leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signer {
    /// The server, by a time key of a policy.
    Server,
    /// A person, by their id.
    Person(String),
    /// A kit, by its certified seal key.
    Kit,
    /// Nobody whom any policy knows.
    Unknown,
}

/// One leaf that was read.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its place in the log.
    pub index: u64,
    /// When, by the clock of whoever acted.
    pub time: Instant,
    /// Who signed it.
    pub signer: Signer,
    /// What was done.
    #[serde(flatten)]
    pub action: Action,
}

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// At which leaf; none where it is the log as a whole.
    pub index: Option<u64>,
    /// What, in words; it may quote the log, so show it inert.
    pub text: String,
}

/// Reads leaves in their order.
#[derive(Debug)]
pub struct Examiner {
    time_keys: Vec<PublicKey>,
    people: Vec<Person>,
    tree: Tree,
    rows: Vec<Row>,
    faults: Vec<Fault>,
    seen: Seen,
    withheld: u64,
}

/// What earlier leaves have said.
#[derive(Debug, Default)]
struct Seen {
    policy_version: u64,
    agents: BTreeSet<AgentId>,
    /// Identities that were met on two machines.
    cloned: BTreeSet<AgentId>,
    /// Kits' identities, and the key id that was certified for each.
    kits: BTreeMap<AgentId, Digest>,
    orders: BTreeMap<Digest, OrderId>,
    parts: BTreeMap<(CollectionId, u32, Digest), AgentId>,
    rules: BTreeSet<Digest>,
    holds: BTreeMap<HoldId, Digest>,
    /// Seal keys of hosts that waited, and whether they were let in.
    decided: BTreeMap<Digest, bool>,
}

/// What came out.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Every leaf that could be read.
    pub rows: Vec<Row>,
    /// Everything that does not fit.
    pub faults: Vec<Fault>,
    /// How many leaves there are.
    pub size: u64,
    /// Of how many of them the hash alone was shown, since they are of other agencies.
    pub withheld: u64,
    /// The root over them, recomputed.
    pub root: Digest,
    /// The tree, recomputed: it gives the proof of each leaf.
    #[serde(skip)]
    pub tree: Tree,
}

impl Examiner {
    /// Believes the signers of these policies.
    pub fn new(policies: &[Policy]) -> Self {
        let mut examiner = Self {
            time_keys: Vec::new(),
            people: Vec::new(),
            tree: Tree::default(),
            rows: Vec::new(),
            faults: Vec::new(),
            seen: Seen::default(),
            withheld: 0,
        };
        for policy in policies {
            for key in &policy.time_keys {
                if !examiner.time_keys.contains(key) {
                    examiner.time_keys.push(*key);
                }
            }
            examiner.people.extend(policy.people.iter().cloned());
        }
        examiner
    }

    /// How many leaves have been read.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The next leaf.
    pub fn leaf(&mut self, leaf: &[u8]) {
        let index = self.tree.push(leaf_hash(leaf));
        match Event::read(leaf) {
            Err(error) => self.fault(index, error.to_string()),
            Ok((envelope, event)) => {
                let signer = self.check_signer(index, &envelope, &event.action);
                self.check_fits(index, &event.action);
                self.rows.push(Row {
                    index,
                    time: event.time,
                    signer,
                    action: event.action,
                });
            }
        }
    }

    /// The next leaf, of which the server shows the hash alone: it is of another agency.
    pub fn withheld(&mut self, hash: Digest) {
        self.tree.push(hash);
        self.withheld += 1;
    }

    fn fault(&mut self, index: u64, text: impl Into<String>) {
        let (index, text) = (Some(index), text.into());
        self.faults.push(Fault { index, text });
    }

    /// Who signed, and whether such an event is theirs to sign.
    fn check_signer(&mut self, index: u64, envelope: &Envelope, action: &Action) -> Signer {
        if let Action::KitUsed { agent, key, .. } = action {
            let is_certified = self.seen.kits.get(agent) == Some(&key.key_id());
            if is_certified && !envelope.verify(&[*key]).is_empty() {
                return Signer::Kit;
            }
            self.fault(
                index,
                "it is not signed by a key that was certified for that kit",
            );
            return Signer::Unknown;
        }
        if !envelope.verify(&self.time_keys).is_empty() {
            if role_for(action).is_some() {
                self.fault(index, "the server signed what only a person may say");
            }
            return Signer::Server;
        }
        let signed = |p: &&Person| !envelope.verify(&[p.signing_key]).is_empty();
        let found: Vec<&Person> = self.people.iter().filter(signed).collect();
        let Some(person) = found.first() else {
            self.fault(
                index,
                "it is signed by nobody whom a policy of the deployment knows",
            );
            return Signer::Unknown;
        };
        let (id, name) = (person.id.to_string(), person.id.clone());
        let may = match (role_for(action), action) {
            (Some(role), _) => found.iter().any(|p| p.roles.contains(&role)),
            // Nothing is known of a later program's events but that somebody known signed.
            (None, Action::Unknown) => true,
            (None, _) => false,
        };
        if !may {
            self.fault(
                index,
                format!("{name} signed what the policy does not let them say"),
            );
        }
        Signer::Person(id)
    }

    /// Whether it fits what earlier leaves have said.
    fn check_fits(&mut self, index: u64, action: &Action) {
        let seen = &mut self.seen;
        let problem = match action {
            Action::PolicyPublished { version, .. } => {
                let grows = *version > seen.policy_version;
                seen.policy_version = seen.policy_version.max(*version);
                (!grows).then_some("a policy was published that is not newer than the one before")
            }
            Action::Admitted { seal_key, .. } => {
                let twice = seen.decided.insert(*seal_key, true).is_some();
                twice.then_some("a host that waited was decided on a second time")
            }
            Action::TurnedAway { seal_key, .. } => {
                let twice = seen.decided.insert(*seal_key, false).is_some();
                twice.then_some("a host that waited was decided on a second time")
            }
            Action::Enrolled { seal_key, .. } if seen.decided.get(seal_key) == Some(&false) => {
                Some("a host was enrolled that an admin had turned away")
            }
            Action::Enrolled {
                agent, forked_from, ..
            } => {
                let is_strange = forked_from.is_some_and(|origin| !seen.cloned.contains(&origin));
                let is_new = seen.agents.insert(*agent);
                let twice = (!is_new).then_some("an agent was enrolled a second time under its id");
                twice.or(is_strange.then_some(
                    "an agent was enrolled in the place of one that the log does not know as cloned",
                ))
            }
            Action::Cloned { agent } => {
                seen.cloned.insert(*agent);
                let known = seen.agents.contains(agent);
                (!known).then_some("it speaks of an agent that was never enrolled")
            }
            Action::KitCertified {
                agent, seal_key, ..
            } => {
                seen.kits.insert(*agent, *seal_key);
                let is_new = seen.agents.insert(*agent);
                (!is_new).then_some("a kit was certified under the id of another agent")
            }
            Action::KitUsed { order_sha256, .. } => {
                let known = seen.orders.contains_key(order_sha256);
                (!known).then_some("a kit was used on an order that the log does not know")
            }
            Action::Renewed { agent, .. }
            | Action::Revoked { agent, .. }
            | Action::Removed { agent, .. } => {
                let known = seen.agents.contains(agent);
                (!known).then_some("it speaks of an agent that was never enrolled")
            }
            Action::Ordered {
                order,
                order_sha256,
            } => {
                let twice = seen.orders.insert(*order_sha256, *order).is_some();
                twice.then_some("an order was taken in a second time")
            }
            Action::Approved {
                order,
                order_sha256,
                ..
            }
            | Action::Cancelled {
                order,
                order_sha256,
                ..
            }
            | Action::Halted {
                order,
                order_sha256,
            }
            | Action::Lapsed {
                order,
                order_sha256,
            } => {
                let known = seen.orders.get(order_sha256) == Some(order);
                (!known).then_some("it speaks of an order that the log does not know")
            }
            Action::Refused {
                agent,
                order_sha256,
                ..
            } => {
                let known = seen.agents.contains(agent) && seen.orders.contains_key(order_sha256);
                (!known).then_some("it speaks of an agent or an order that the log does not know")
            }
            Action::Received { part, agent, .. } => {
                let known = seen.agents.contains(agent);
                let twice = seen.parts.insert(key(part), *agent).is_some();
                let twice = twice.then_some("a part was received a second time");
                twice.or((!known).then_some("a part is by an agent that was never enrolled"))
            }
            Action::Fetched { part, .. }
            | Action::Verified { part, .. }
            | Action::Quarantined { part } => {
                let known = seen.parts.contains_key(&key(part));
                (!known).then_some("it speaks of a part that was never received")
            }
            Action::Retention { rule_sha256, .. } => {
                let is_new = seen.rules.insert(*rule_sha256);
                (!is_new).then_some("a retention rule came into force a second time")
            }
            Action::Held {
                hold, hold_sha256, ..
            } => {
                let twice = seen.holds.insert(*hold, *hold_sha256).is_some();
                twice.then_some("a hold was placed a second time")
            }
            Action::HoldLifted {
                hold, hold_sha256, ..
            } => {
                let known = seen.holds.get(hold) == Some(hold_sha256);
                (!known).then_some("a hold was lifted that was never placed")
            }
            Action::Expired {
                collection,
                parts,
                rule_sha256,
            } => {
                let from = (*collection, 0, Digest([0; 32]));
                let held = seen.parts.range(from..);
                let held = held.take_while(|((of, ..), _)| of == collection);
                let held: BTreeSet<_> = held.map(|((.., digest), _)| digest).collect();
                let unknown = !parts.iter().all(|part| held.contains(part));
                let unruled = !seen.rules.contains(rule_sha256);
                let unknown = unknown.then_some("a part expired that was never received");
                unknown
                    .or(unruled.then_some("evidence expired by a rule that the log does not know"))
            }
            _ => None,
        };
        if let Some(problem) = problem {
            self.fault(index, problem);
        }
    }

    /// Holds the tree against what the log's key has signed: now, and whenever it was seen before.
    pub fn finish(mut self, now: &Checkpoint, before: Option<&Checkpoint>) -> Outcome {
        let mut whole = |text: String| self.faults.push(Fault { index: None, text });
        for (which, checkpoint) in [("newest", Some(now)), ("remembered", before)] {
            let Some(checkpoint) = checkpoint else {
                continue;
            };
            match self.tree.root_at(checkpoint.size) {
                Some(root) if root == checkpoint.root => {}
                Some(_) => whole(format!(
                    "the leaves do not give the root that the {which} checkpoint signs for {}: \
                     they were changed, or others are shown",
                    leaves(checkpoint.size)
                )),
                None => whole(format!(
                    "the {which} checkpoint signs for {}, and the server shows no more than {}",
                    leaves(checkpoint.size),
                    self.tree.size()
                )),
            }
        }
        Outcome {
            size: self.tree.size(),
            root: self.tree.root(),
            withheld: self.withheld,
            rows: self.rows,
            faults: self.faults,
            tree: self.tree,
        }
    }
}

/// The role whose holder must sign; none for what the server says.
fn role_for(action: &Action) -> Option<Role> {
    match action {
        Action::Revoked { .. } | Action::Removed { .. } => Some(Role::Admin),
        Action::Verified { .. } => Some(Role::Investigator),
        _ => None,
    }
}

fn key(part: &StoredPart) -> (CollectionId, u32, Digest) {
    (part.collection, part.part, part.stored_sha256)
}

fn leaves(size: u64) -> String {
    count::of(size, "leaf", "leaves")
}

#[cfg(test)]
mod tests;
