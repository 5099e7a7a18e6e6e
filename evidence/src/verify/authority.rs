//! On whose authority a part was made: the policy, by whom it is signed, and the order under it.
//!
//! The documents belong to the protocol; here only the fields that a verdict rests on are read, and
//! fields that this version does not know are passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::verdict::{Code, Findings};
use crate::{
    custody::note::LogKey,
    digest::Digest,
    envelope::{self, Envelope, EnvelopeError},
    ids::OrderId,
    instant::Instant,
    keys::PublicKey,
    records::CollectionRecord,
    seal::Trust,
};

const POLICY: &str = "policy.json";
const ORDER: &str = "order.json";
/// The version of policies, orders and roots that is read here.
const VERSION: u64 = 1;

/// A root document is not one to trust.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// It can't be read.
    #[error("the root document can't be read. Give the file root.json of the deployment.")]
    Malformed(#[from] EnvelopeError),
    /// A later version.
    #[error("the root document has the format {0}, which is not known here. Use a newer program.")]
    UnknownVersion(u64),
    /// Its own keys have not signed it.
    #[error(
        "the root document is signed by {found} of its keys, and it demands {needed}. Get it again from its source."
    )]
    BelowThreshold {
        /// Valid signatures.
        found: usize,
        /// Its threshold.
        needed: usize,
    },
}

/// A root document that its reader trusts: which keys, and how many of them, sign policies.
#[derive(Debug, Clone, Deserialize)]
pub struct Root {
    v: u64,
    version: u64,
    deployment: String,
    keys: Vec<PublicKey>,
    threshold: usize,
}

impl Root {
    /// Reads the root document that somebody names as trusted; it must be signed by its own threshold.
    ///
    /// # Errors
    /// It is malformed, of an unknown version, or signed by too few of its keys.
    pub fn open(json: &[u8]) -> Result<Self, RootError> {
        let envelope = Envelope::parse(json)?;
        let root: Self = envelope.document(envelope::ROOT)?;
        if root.v != VERSION {
            return Err(RootError::UnknownVersion(root.v));
        }
        let (found, needed) = (envelope.verify(&root.keys).len(), root.threshold.max(1));
        if found < needed {
            return Err(RootError::BelowThreshold { found, needed });
        }
        Ok(root)
    }
}

/// Somebody whom a policy knows.
#[derive(Debug, Clone, Deserialize)]
struct Person {
    id: String,
    name: String,
    roles: Vec<String>,
    signing_key: PublicKey,
    recipient: String,
}

/// A policy, as far as a verdict needs it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Policy {
    v: u64,
    version: u64,
    root_version: u64,
    deployment: String,
    expires: Instant,
    people: Vec<Person>,
    thresholds: BTreeMap<String, usize>,
    vaults: BTreeMap<String, Vec<String>>,
    log_key: String,
    time_keys: Vec<PublicKey>,
}

impl Policy {
    /// The custody log's key.
    pub(super) fn log_key(&self) -> Option<LogKey> {
        LogKey::parse(&self.log_key).ok()
    }

    /// Whether the server has signed.
    pub(super) fn is_by_server(&self, envelope: &Envelope) -> bool {
        !envelope.verify(&self.time_keys).is_empty()
    }

    /// Whether an admin has signed.
    pub(super) fn is_by_admin(&self, envelope: &Envelope) -> bool {
        let admins = self.people.iter().filter(|p| p.has_role("admin"));
        let keys: Vec<_> = admins.map(|p| p.signing_key).collect();
        !envelope.verify(&keys).is_empty()
    }

    /// Whether evidence may be encrypted to `recipient`.
    fn knows_recipient(&self, recipient: &str) -> bool {
        let mut vaults = self.vaults.values().flatten();
        vaults.any(|one| one == recipient) || self.people.iter().any(|p| p.recipient == recipient)
    }

    fn person(&self, key_id: Digest) -> Option<&Person> {
        self.people
            .iter()
            .find(|p| p.signing_key.key_id() == key_id)
    }
}

impl Person {
    fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|one| one == role)
    }
}

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

/// Whose signature makes a policy count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Anchors<'a> {
    pub(super) trust: &'a Trust,
    pub(super) roots: &'a [Root],
}

impl Anchors<'_> {
    fn is_empty(self) -> bool {
        self.trust.is_empty() && self.roots.is_empty()
    }

    /// Why the policy in `envelope` does not count; `None` where it does.
    fn fault(self, envelope: &Envelope, policy: &Policy) -> Option<String> {
        if self.roots.is_empty() {
            let signed = envelope.verify(&self.trust.keys());
            return signed
                .is_empty()
                .then(|| "The trusted root's key has not signed it.".to_owned());
        }
        let wanted = self.roots.iter().find(|r| r.version == policy.root_version);
        let Some(root) = wanted else {
            return Some(format!(
                "It is of version {} of the root, which was not given.",
                policy.root_version
            ));
        };
        if root.deployment != policy.deployment {
            return Some("It is of another deployment than the root's.".to_owned());
        }
        let (found, needed) = (envelope.verify(&root.keys).len(), root.threshold.max(1));
        (found < needed)
            .then(|| format!("{found} of the root's keys have signed it; {needed} must."))
    }
}

/// Reads policies that were given beside the evidence; only such as a trusted root has signed count.
pub(super) fn given(
    policies: &[Vec<u8>],
    anchors: Anchors<'_>,
    findings: &mut Findings,
) -> Vec<Policy> {
    let mut read = Vec::new();
    for json in policies {
        match open_policy(json, anchors) {
            Ok((policy, _)) => read.push(policy),
            Err(why) => findings.add(Code::PolicyUntrusted, "the policy that was given", why),
        }
    }
    read
}

/// The policy, and whether a trusted root stands behind it; without any root nobody can say.
fn open_policy(json: &[u8], anchors: Anchors<'_>) -> Result<(Policy, bool), String> {
    let envelope = Envelope::parse(json).map_err(|e| e.to_string())?;
    let policy: Policy = envelope
        .document(envelope::POLICY)
        .map_err(|e| with_cause(&e))?;
    if policy.v != VERSION {
        return Err(format!("It has version {}, unknown here.", policy.v));
    }
    if anchors.is_empty() {
        return Ok((policy, false));
    }
    match anchors.fault(&envelope, &policy) {
        Some(why) => Err(why),
        None => Ok((policy, true)),
    }
}

fn with_cause(error: &EnvelopeError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error} ({cause})"))
}

/// Checks the policy and the order that a part holds against the roots and collection.json.
pub(super) fn check(
    policy: &[u8],
    order: &[u8],
    record: &CollectionRecord,
    anchors: Anchors<'_>,
    findings: &mut Findings,
) -> Authority {
    let mut authority = Authority::default();
    if !policy.is_empty() {
        match open_policy(policy, anchors) {
            Ok((policy, trusted)) => {
                if !order.is_empty() {
                    authority.ordered = check_order(order, &policy, trusted, record, findings);
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
    record: &CollectionRecord,
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
    compare(&order, policy, record, findings);
    check_span(&order, policy, record, findings);
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
    // Which class an order falls into only the agent knows; no class demands less than this.
    let needed = policy.thresholds.values().copied().min().unwrap_or(1);
    let people: Vec<_> = signed.iter().filter_map(|id| policy.person(*id)).collect();
    let counting = |p: &&&Person| p.id == order.requester || p.has_role("approver");
    let found = people.iter().filter(counting).count();
    if found < needed {
        let text = format!("{found} of those who may have signed it; the policy demands {needed}.");
        findings.add(Code::OrderUnsigned, ORDER, text);
    }
    people.iter().map(|p| p.name.clone()).collect()
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

/// Evidence is encrypted to those whom the order names; anybody else could read it unasked.
pub(super) fn check_recipients(
    recipients: &[String],
    authority: &Authority,
    findings: &mut Findings,
) {
    let Some(ordered) = &authority.ordered else {
        return;
    };
    for one in recipients {
        let known = authority
            .policies
            .first()
            .is_some_and(|p| p.knows_recipient(one));
        if !ordered.recipients.contains(one) || !known {
            let text = format!("{one} is not among the recipients of the order and the policy.");
            findings.add(Code::RecipientForeign, "statement", text);
        }
    }
}
