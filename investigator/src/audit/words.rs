//! A custody leaf in one line for people, inert.

use std::collections::BTreeMap;

use evidence::{
    count,
    custody::event::{Action, Outcome, StoredPart},
    digest::Digest,
    ids::AgentId,
};
use protocol::policy::Policy;

use super::{Row, Signer};
use crate::inert::inert;

/// Names for what leaves hold as ids and keys only.
#[derive(Debug, Default)]
pub struct Names {
    /// Hosts' names by agent.
    pub hosts: BTreeMap<AgentId, String>,
    /// People's ids by signing key.
    pub people: BTreeMap<Digest, String>,
}

impl Names {
    /// Knows the people of these policies.
    pub fn of(policies: &[Policy]) -> Self {
        let people = policies.iter().flat_map(|p| &p.people);
        Self {
            hosts: BTreeMap::new(),
            people: people
                .map(|p| (p.signing_key.key_id(), p.id.to_string()))
                .collect(),
        }
    }

    fn host(&self, agent: &AgentId) -> String {
        match self.hosts.get(agent) {
            Some(name) => format!("{} ({agent})", inert(name)),
            None => agent.to_string(),
        }
    }

    /// The person with this signing key, inert.
    pub fn person(&self, key: &Digest) -> String {
        match self.people.get(key) {
            Some(id) => inert(id),
            None => format!("the unknown key {key}"),
        }
    }
}

/// The leaf in one line.
pub fn line(row: &Row, names: &Names) -> String {
    let time = row.time.to_rfc3339();
    let time = time
        .as_deref()
        .and_then(|t| t.split('.').next())
        .unwrap_or("?");
    format!(
        "{:>6}  {time}Z  {:<12}  {}",
        row.index,
        who(&row.signer),
        what(&row.action, names)
    )
}

/// Who signed, inert.
pub fn who(signer: &Signer) -> String {
    match signer {
        Signer::Server => "server".to_owned(),
        Signer::Person(id) => inert(id),
        Signer::Kit => "the kit".to_owned(),
        Signer::Unknown => "NOBODY KNOWN".to_owned(),
    }
}

/// What was done, inert.
pub fn what(action: &Action, names: &Names) -> String {
    match action {
        Action::PolicyPublished { version, .. } => format!("policy {version} is in force"),
        Action::Enrolled {
            agent,
            forked_from: Some(origin),
            ..
        } => format!(
            "{} has an identity of its own, {agent}, in the place of {origin}, which was cloned",
            names.host(agent)
        ),
        Action::Enrolled { agent, .. } => format!("{} was enrolled", names.host(agent)),
        Action::Admitted {
            host,
            seal_key,
            by_key,
            ..
        } => format!(
            "{host}, which waited with the seal key {seal_key}, was let in by {}",
            names.person(by_key)
        ),
        Action::TurnedAway {
            host,
            seal_key,
            by_key,
            ..
        } => format!(
            "{host}, which waited with the seal key {seal_key}, was turned away by {}",
            names.person(by_key)
        ),
        Action::Cloned { agent } => format!(
            "the identity {agent} of {} was met on two machines",
            names.host(agent)
        ),
        Action::Renewed {
            agent,
            seal_key,
            tls_key,
        } => {
            let which = match (seal_key, tls_key) {
                (Some(_), Some(_)) => "seal and TLS",
                (Some(_), None) => "seal",
                _ => "TLS",
            };
            format!("{}: {which} certificate renewed", names.host(agent))
        }
        Action::Revoked {
            agent,
            invalid_from,
        } => format!(
            "{} was revoked, seals count no more from {}",
            names.host(agent),
            invalid_from
                .to_rfc3339()
                .unwrap_or_else(|| "a time far away".into())
        ),
        Action::Removed { agent, .. } => format!("{} was removed", names.host(agent)),
        Action::Ordered { order, .. } => format!("order {order} was taken in"),
        Action::Approved { order, by_key, .. } => {
            format!("order {order} was signed by one more person, with the key {by_key}")
        }
        Action::Cancelled { order, by_key, .. } => {
            format!("order {order} was cancelled by {}", names.person(by_key))
        }
        Action::Halted { order, .. } => {
            format!("order {order} stopped by itself: too many of its hosts failed")
        }
        Action::Lapsed { order, .. } => {
            format!("the time of order {order} was up: nothing more begins on it")
        }
        Action::KitCertified { kit, by_key, .. } => {
            format!("kit {kit} was certified for {}", names.person(by_key))
        }
        Action::KitUsed {
            kit, collection, ..
        } => format!("kit {kit} collected {collection} on a host without network"),
        Action::Imported { collection, .. } => format!("{collection} was brought in by hand"),
        Action::Refused {
            agent,
            order_sha256,
            ..
        } => {
            format!(
                "{} refused the order with digest {order_sha256}",
                names.host(agent)
            )
        }
        Action::Received {
            part,
            agent,
            size_bytes,
            ..
        } => {
            format!(
                "{} received, {} by {}",
                name(part),
                count::of(*size_bytes, "byte", "bytes"),
                names.host(agent)
            )
        }
        Action::Fetched { part, by_key } => {
            format!("{} handed out to {}", name(part), names.person(by_key))
        }
        Action::LogRead { collection, by_key } => format!(
            "the live log of {collection} handed out to {}",
            names.person(by_key)
        ),
        Action::Verified { part, outcome } => {
            let found = match outcome {
                Outcome::Genuine => "genuine and complete",
                Outcome::GenuineWithGaps => "genuine, with reservations",
                Outcome::NotGenuine => "NOT GENUINE",
            };
            format!("{} checked: {found}", name(part))
        }
        Action::Quarantined { part } => format!("{} set apart as not genuine", name(part)),
        Action::Retention {
            rule_sha256,
            version,
            by_key,
        } => format!(
            "retention rule {version} with digest {rule_sha256} was set by {}",
            names.person(by_key)
        ),
        Action::Held { hold, by_key, .. } => {
            format!("hold {hold} was placed by {}", names.person(by_key))
        }
        Action::HoldLifted { hold, by_key, .. } => {
            format!("hold {hold} was lifted by {}", names.person(by_key))
        }
        Action::Expired {
            collection,
            parts,
            rule_sha256,
        } => format!(
            "{} of {collection} expired by the retention rule with digest {rule_sha256}",
            count::of(parts.len() as u64, "part", "parts")
        ),
        _ => "an event of a later program".to_owned(),
    }
}

fn name(part: &StoredPart) -> String {
    format!("part {} of {}", part.part, part.collection)
}
