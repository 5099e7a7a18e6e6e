//! The order that a part was made on: who signed it, and whether collection.json says of it what it says.

use serde::{Deserialize, Serialize};

use super::{
    authority::{Anchors, Person, Policy, VERSION, open_policy, with_cause},
    verdict::{Code, Findings},
};
use crate::{
    digest::Digest,
    envelope::{self, Envelope},
    ids::{KitId, OrderId},
    instant::Instant,
    records::CollectionRecord,
};

const POLICY: &str = "policy.json";
const ORDER: &str = "order.json";

/// Roles as policies write them.
const INVESTIGATOR: &str = "investigator";
const APPROVER: &str = "approver";

/// An order, as far as a verdict needs it.
#[derive(Debug, Clone, Deserialize)]
struct Order {
    v: u64,
    id: OrderId,
    deployment: String,
    policy_version: u64,
    profile: String,
    profile_digest: Digest,
    not_before: Instant,
    expires: Instant,
    case: String,
    requester: String,
    reason: String,
    recipients: Vec<String>,
    #[serde(default)]
    kit: Option<KitTerms>,
}

/// What an order says of the kit that it is for, as far as a verdict needs it.
#[derive(Debug, Clone, Deserialize)]
struct KitTerms {
    kit: KitId,
    key: Digest,
    agency: String,
    hosts: Vec<String>,
}

/// What the order and the policy say, for reports.
#[derive(Debug, Clone, Serialize)]
pub struct Ordered {
    /// Who asked, by the name for people in the policy.
    pub requester: String,
    /// Who signed, the requester included, by the names for people in the policy.
    pub signers: Vec<String>,
    /// Why.
    pub reason: String,
    /// From when it could be begun.
    pub not_before: Instant,
    /// Until when it could be begun.
    pub expires: Instant,
    /// The deployment.
    pub deployment: String,
    /// The policy's version.
    pub policy_version: u64,
    /// Whether a trusted root has signed the policy.
    pub policy_trusted: bool,
    #[serde(skip)]
    pub(super) recipients: Vec<String>,
}

/// What a part was made under, and whose word counts for what lies beside it.
#[derive(Debug, Default)]
pub(super) struct Authority {
    /// The part's own policy first, then those that were given.
    pub(super) policies: Vec<Policy>,
    /// The order, where it holds.
    pub(super) ordered: Option<Ordered>,
}

/// Checks the policy and the order that a part holds against the roots and collection.json.
pub(super) fn check(
    policy: &[u8],
    order: &[u8],
    (record, sealed_by): (&CollectionRecord, Option<Digest>),
    anchors: Anchors<'_>,
    findings: &mut Findings,
) -> Authority {
    let mut authority = Authority::default();
    if !policy.is_empty() {
        match open_policy(policy, anchors) {
            Ok((policy, trusted)) => {
                if !order.is_empty() {
                    let sealed = (record, sealed_by);
                    authority.ordered = check_order(order, &policy, trusted, sealed, findings);
                }
                authority.policies.push(policy);
            }
            Err(why) => findings.add(Code::PolicyUntrusted, POLICY, why),
        }
    } else if !order.is_empty() {
        let text = "The part holds no policy, so nobody can say who may sign an order.";
        findings.add(Code::OrderUnsigned, ORDER, text);
    }
    if order.is_empty() && record.order.is_some() {
        findings.add(Code::OrderMismatch, ORDER, "collection.json names one.");
    }
    authority
}

fn check_order(
    json: &[u8],
    policy: &Policy,
    policy_trusted: bool,
    (record, sealed_by): (&CollectionRecord, Option<Digest>),
    findings: &mut Findings,
) -> Option<Ordered> {
    let read = Envelope::parse(json).and_then(|envelope| {
        let order: Order = envelope.document(envelope::ORDER)?;
        Ok((envelope, order))
    });
    let (envelope, order) = match read {
        Ok(read) => read,
        Err(error) => {
            findings.add(Code::OrderMismatch, ORDER, with_cause(&error));
            return None;
        }
    };
    if order.v != VERSION {
        let text = format!("The order has version {}.", order.v);
        findings.add(Code::VersionUnknown, ORDER, text);
        return None;
    }
    let signers = check_signers(&envelope, &order, policy, record, findings);
    check_mandate(&envelope, &order, policy, findings);
    check_named_recipients(&order, policy, findings);
    compare(&order, policy, record, findings);
    check_span(&order, policy, record, findings);
    check_kit(&order, record, sealed_by, findings);
    let requester = policy.people.iter().find(|p| p.id == order.requester);
    Some(Ordered {
        requester: requester.map_or(order.requester, |p| p.name.clone()),
        signers,
        reason: order.reason,
        not_before: order.not_before,
        expires: order.expires,
        deployment: policy.deployment.clone(),
        policy_version: policy.version,
        policy_trusted,
        recipients: order.recipients,
    })
}

/// Requester and signers of collection.json really signed; gives the names of all who did.
fn check_signers(
    envelope: &Envelope,
    order: &Order,
    policy: &Policy,
    record: &CollectionRecord,
    findings: &mut Findings,
) -> Vec<String> {
    let keys: Vec<_> = policy.people.iter().map(|p| p.signing_key).collect();
    let signed = envelope.verify(&keys);
    let requester = policy.people.iter().find(|p| p.id == order.requester);
    match requester {
        Some(person) if signed.contains(&person.signing_key.key_id()) => {}
        _ => {
            let text = "Whom it names as its requester has not signed it, or is not in the policy.";
            findings.add(Code::OrderUnsigned, ORDER, text);
        }
    }
    for named in record.requester.iter().chain(&record.signers) {
        if !signed.contains(&named.key_sha256) {
            let text = format!(
                "collection.json says that {} signed it; that key has not, or is not in the policy.",
                named.name
            );
            findings.add(Code::OrderUnsigned, ORDER, text);
        }
    }
    let key_of = |person: &Person| person.signing_key.key_id();
    if record.requester.as_ref().map(|p| p.key_sha256) != requester.map(key_of) {
        let text = "collection.json names another requester than the order.";
        findings.add(Code::OrderMismatch, ORDER, text);
    }
    let people = signed.iter().filter_map(|id| policy.person(*id));
    people.map(|p| p.name.clone()).collect()
}

/// Requester and approvers by the agent's own rules (`order_check` of the protocol).
///
/// What the archive does not tell is the host's agency, and which class its artifacts have: so the
/// rules must hold for one of the agencies that it can be, and for the smallest of the thresholds.
fn check_mandate(envelope: &Envelope, order: &Order, policy: &Policy, findings: &mut Findings) {
    let keys: Vec<_> = policy.people.iter().map(|p| p.signing_key).collect();
    let signed = envelope.verify(&keys);
    let people: Vec<_> = signed.iter().filter_map(|id| policy.person(*id)).collect();
    for person in &people {
        let id = person.signing_key.key_id().to_string();
        let times = envelope.signatures().iter().filter(|s| s.key_id == id);
        if times.count() > 1 {
            let text = format!("{} has signed it more than once.", person.name);
            findings.add(Code::OrderUnsigned, ORDER, text);
        }
    }
    // Who has not signed, or is unknown, is told already.
    let Some(requester) = people.iter().find(|p| p.id == order.requester) else {
        return;
    };
    let approvers = |agency: &str| {
        let others = people.iter().filter(|p| p.id != requester.id);
        others.filter(|p| p.may(APPROVER, agency)).count()
    };
    let of_kit = |agency: &&str| (order.kit.as_ref()).is_none_or(|terms| terms.agency == **agency);
    let agencies = policy.agencies_of(&order.recipients).filter(of_kit);
    let allowed = agencies.filter(|agency| requester.may(INVESTIGATOR, agency));
    let Some(found) = allowed.map(|agency| 1 + approvers(agency)).max() else {
        let text = format!(
            "{} is not an investigator of any agency whose vault can open the evidence.",
            requester.name
        );
        findings.add(Code::OrderUnsigned, ORDER, text);
        return;
    };
    let needed = policy.thresholds.values().copied().min().unwrap_or(1);
    if found < needed {
        let text = format!("{found} of those who may have signed it; the policy demands {needed}.");
        findings.add(Code::OrderUnsigned, ORDER, text);
    }
}

/// An agent obeys no order that names somebody as a recipient who is neither the requester nor a vault of
/// the requester's agencies.
fn check_named_recipients(order: &Order, policy: &Policy, findings: &mut Findings) {
    let Some(requester) = policy.people.iter().find(|p| p.id == order.requester) else {
        return;
    };
    for one in &order.recipients {
        if !policy.lets_encrypt(requester, one) {
            let text = format!("The order names {one}, which is not the requester's to name.");
            findings.add(Code::RecipientForeign, ORDER, text);
        }
    }
}

/// collection.json says of the order what the order says.
fn compare(order: &Order, policy: &Policy, record: &CollectionRecord, findings: &mut Findings) {
    let profile = record.profile.as_ref().map(|p| p.sha256);
    for (what, same) in [
        ("order", record.order == Some(order.id)),
        (
            "case",
            record.case.as_deref().unwrap_or_default() == order.case,
        ),
        ("profile", profile == Some(order.profile_digest)),
        (
            "text of the profile",
            Digest::of(order.profile.as_bytes()) == order.profile_digest,
        ),
        (
            "version of the policy",
            order.policy_version == policy.version,
        ),
        ("deployment", order.deployment == policy.deployment),
    ] {
        if !same {
            let text = format!("The {what} is not that of the order.");
            findings.add(Code::OrderMismatch, ORDER, text);
        }
    }
}

/// The agent begins no collection once the order or the policy has ended, by its own clock at the least.
fn check_span(order: &Order, policy: &Policy, record: &CollectionRecord, findings: &mut Findings) {
    for (what, end) in [("order", order.expires), ("policy", policy.expires)] {
        if record.started >= end {
            let text = format!("The {what} had ended when the collection was begun.");
            findings.add(Code::OrderExpired, ORDER, text);
        }
    }
}

/// A kit's order is for one seal key and the hosts that it names; what was sealed in says by which kit it was.
fn check_kit(
    order: &Order,
    record: &CollectionRecord,
    sealed_by: Option<Digest>,
    findings: &mut Findings,
) {
    let terms = match (&order.kit, &record.field) {
        (None, None) => return,
        (Some(terms), Some(field)) if terms.kit == field.kit => terms,
        _ => {
            let text = "The order and collection.json do not name the same kit.";
            findings.add(Code::KitMismatch, ORDER, text);
            return;
        }
    };
    if sealed_by.is_some_and(|key| key != terms.key) {
        let text = "It is sealed by another key than the one that the order names.";
        findings.add(Code::KitMismatch, ORDER, text);
    }
    let identity = &record.host_identity;
    if !terms.hosts.is_empty() && !terms.hosts.iter().any(|named| identity.is_called(named)) {
        let text = format!("The order does not name the host {}.", identity.hostname);
        findings.add(Code::KitMismatch, ORDER, text);
    }
}

/// Evidence is encrypted to those whom the order names; anybody else could read it unasked.
pub(super) fn check_recipients(
    recipients: &[String],
    authority: &Authority,
    findings: &mut Findings,
) {
    let Some(ordered) = &authority.ordered else {
        return;
    };
    for (at, one) in recipients.iter().enumerate() {
        if !ordered.recipients.contains(one) {
            let text = format!("{one} is not among the recipients of the order.");
            findings.add(Code::RecipientForeign, "statement", text);
        }
        // The number of those whom the file is encrypted to is held against this list.
        if recipients[..at].contains(one) {
            let text = format!("It lists {one} twice.");
            findings.add(Code::RecipientForeign, "statement", text);
        }
    }
}
