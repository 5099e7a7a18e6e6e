//! The agent of the example, which judges orders: what it holds, and what it says when one thing is changed.

use std::collections::BTreeSet;

use evidence::{
    envelope::{self, Envelope},
    ids::AgentId,
    instant::Instant,
};
use protocol::{
    order::Order,
    order_check::{Refusal, Situation, check},
    policy::{Class, Policy},
    profile,
    target::{Subject, TargetList, TargetProof},
};

use super::keys;
use crate::samples::{ORDER, agents, at, name, order, policy, root, signed_time, token};

/// The agent that is asked.
pub(super) const AGENT: AgentId = AgentId::from_bytes([2; 16]);

/// What its token certified.
pub(super) fn subject() -> Subject {
    Subject {
        id: AGENT,
        agency: name("lab"),
        labels: token().labels,
        os: name("linux"),
        arch: name("x86_64"),
    }
}

/// What the agent of the example knows: two artifacts.
fn class_of(artifact: &str) -> Option<Class> {
    match artifact {
        "processes" => Some(Class::Triage),
        "logs" => Some(Class::Files),
        _ => None,
    }
}

/// What the agent holds when it is handed an order.
pub(super) struct Host {
    pub(super) policy: Policy,
    pub(super) now: Instant,
    pub(super) is_used: bool,
    pub(super) proof: Option<TargetProof>,
}

impl Host {
    pub(super) fn new() -> Self {
        Self {
            policy: policy(),
            now: at(0),
            is_used: false,
            proof: TargetList::new(agents()).prove(&AGENT),
        }
    }

    /// Who has signed an order that is obeyed, or why it is not.
    pub(super) fn judge(&self, envelope: &Envelope) -> Result<Vec<String>, Refusal> {
        let used = self.is_used.then_some(ORDER).into_iter().collect();
        let situation = Situation {
            policy: &self.policy,
            root: &root(),
            subject: &subject(),
            kit: None,
            now: self.now,
            highest_signed: Some(signed_time().time),
            used: &used,
            cancelled: &BTreeSet::new(),
            class_of: &class_of,
        };
        let accepted = check(envelope, self.proof.as_ref(), &situation)?;
        Ok(accepted.signers.iter().map(ToString::to_string).collect())
    }
}

/// The order as Ann signs it.
pub(super) fn signed(order: &Order) -> Envelope {
    Envelope::sign_document(envelope::ORDER, order, &keys::ann()).unwrap()
}

/// A change to order or host, in words, and the order as it is then signed and judged.
pub(super) fn cases() -> Vec<(&'static str, Host, Envelope)> {
    let good = signed(&order());
    let host = Host::new;
    let changed = |change: fn(&mut Order)| {
        let mut order = order();
        change(&mut order);
        signed(&order)
    };
    let mut twice = good.clone();
    twice.add_signature(&keys::ann());
    let forged = Envelope::sign_document(envelope::ORDER, &order(), &keys::bob()).unwrap();
    let later = Host {
        now: at(86_400),
        ..host()
    };
    let mut newer = policy();
    newer.version = 4;
    vec![
        ("Bob alone has signed", host(), forged),
        (
            "the host has policy 4",
            Host {
                policy: newer,
                ..host()
            },
            good.clone(),
        ),
        (
            "the proof is left out",
            Host {
                proof: None,
                ..host()
            },
            good.clone(),
        ),
        ("the host's clock is a day later", later, good.clone()),
        (
            "the order was used",
            Host {
                is_used: true,
                ..host()
            },
            good,
        ),
        (
            "the profile has a line more than its digest",
            host(),
            changed(|o| o.profile.push_str("# more\n")),
        ),
        ("Ann has signed twice", host(), twice),
        (
            "the profile names `logs`, of class `files`",
            host(),
            changed(|o| {
                o.profile = o.profile.replace("processes", "logs");
                o.profile_digest = profile::digest(&o.profile);
            }),
        ),
        (
            "one recipient of the vault is left out",
            host(),
            changed(|o| o.recipients.truncate(1)),
        ),
    ]
}
