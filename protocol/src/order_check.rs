//! Whether an agent obeys an order: one pure function, every reason to refuse a variant.
//!
//! The signatures come first; nothing of a document that nobody signed is acted on.

use std::collections::BTreeSet;

use evidence::{
    digest::Digest, envelope::Envelope, ids::OrderId, instant::Instant, wrap::Recipient,
};
use serde::{Deserialize, Serialize};

use crate::{
    name::Name,
    order::Order,
    policy::{Class, Person, Policy, Role},
    profile::{self, Profile},
    root::Root,
    target::{Subject, TargetProof},
};

/// Why an order is not obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case", deny_unknown_fields)]
pub enum Refusal {
    /// It is no order that this agent understands.
    #[error("the order is malformed: {why}. Make it again with a program of this version.")]
    Malformed {
        /// What is wrong.
        why: String,
    },
    /// The requester has not signed it, or is nobody whom the policy knows.
    #[error("the order is forged: its requester has not signed it. Find out where it comes from.")]
    Forged,
    /// The requester is known but may not order this.
    #[error(
        "{person} may not request orders for this host. Ask for the role or agency in the policy."
    )]
    NotAuthorised {
        /// The requester.
        person: Name,
    },
    /// Too few people agree.
    #[error("{found} of {needed} people have signed the order. Have it approved.")]
    BelowThreshold {
        /// How many count.
        found: usize,
        /// How many must.
        needed: usize,
    },
    /// Somebody signed twice to count for two.
    #[error("{person} has signed the order twice. Have another person approve it.")]
    SamePersonTwice {
        /// Who.
        person: Name,
    },
    /// The requester signed a second time, as approver.
    #[error("the requester has signed as approver too. Have another person approve it.")]
    RequesterAsApprover,
    /// Its time, or the policy's, is over.
    #[error("the {what} has expired. Sign a new one.")]
    Expired {
        /// `order` or `policy`.
        what: String,
    },
    /// Its time has not come.
    #[error("the order is not valid yet. Wait, or compare the host's clock.")]
    NotYetValid,
    /// It was used before.
    #[error("the order was used before. Sign a new one.")]
    Replayed,
    /// Somebody cancelled it.
    #[error("the order was cancelled. Sign a new one if it is wanted after all.")]
    Cancelled,
    /// It is meant for other hosts.
    #[error("the order is not meant for this host. Add the host to its targets.")]
    ForeignTarget,
    /// It was signed for another deployment.
    #[error("the order belongs to another deployment. Send it there.")]
    ForeignDeployment,
    /// It was signed under another policy, or the policy under another root.
    #[error(
        "the order was signed under policy {found}, and this host has {held}. Let it fetch the policy, or sign again."
    )]
    UnknownPolicyVersion {
        /// The order's.
        found: u64,
        /// The host's.
        held: u64,
    },
    /// The profile's text is not the one whose digest was signed.
    #[error("the profile in the order does not fit its digest. Make the order again.")]
    WrongProfileDigest,
    /// The profile can't be used.
    #[error("the order's profile can't be used: {why}. Correct the profile.")]
    BadProfile {
        /// What is wrong.
        why: String,
    },
    /// A recipient is neither of the vault nor the requester's.
    #[error("the order encrypts to a recipient that the policy does not know. Use the policy's.")]
    RecipientsNotInPolicy,
    /// A recipient of the vault is left out.
    #[error("the order leaves out a recipient of the agency's vault. Name them all.")]
    VaultLeftOut,
}

/// All that the decision rests on, besides the order.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The policy in force, read by [`Policy::open`].
    pub policy: &'a Policy,
    /// The root in force.
    pub root: &'a Root,
    /// The agent itself.
    pub subject: &'a Subject,
    /// Key id of its seal key, where it is a kit's identity.
    pub kit: Option<Digest>,
    /// The host's clock.
    pub now: Instant,
    /// The highest time that the server signed, if any: the host's clock may be behind it.
    pub highest_signed: Option<Instant>,
    /// Orders that were obeyed before.
    pub used: &'a BTreeSet<OrderId>,
    /// Orders that were cancelled.
    pub cancelled: &'a BTreeSet<OrderId>,
    /// The class of an artifact in the agent's registry; `None` when it doesn't know it.
    pub class_of: &'a dyn Fn(&str) -> Option<Class>,
}

/// An order that is to be obeyed.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The order.
    pub order: Order,
    /// The digest of its payload.
    pub digest: Digest,
    /// The profile with the order's parameters.
    pub profile: Profile,
    /// Who signed it, the requester first.
    pub signers: Vec<Name>,
    /// Artifacts that this agent doesn't know: each becomes a gap.
    pub unknown_artifacts: Vec<Name>,
}

/// Decides whether `envelope` is an order that this agent obeys.
///
/// # Errors
/// The reason to refuse.
pub fn check(
    envelope: &Envelope,
    proof: Option<&TargetProof>,
    situation: &Situation<'_>,
) -> Result<Accepted, Refusal> {
    check_as(Time::First, envelope, proof, situation)
}

/// Decides whether an order that was obeyed may make a further collection: by the policy that is in force now, which
/// may have come after the one that the order names; and nothing but that it was used before is passed over.
///
/// # Errors
/// The reason to refuse.
pub fn check_again(
    envelope: &Envelope,
    proof: Option<&TargetProof>,
    situation: &Situation<'_>,
) -> Result<Accepted, Refusal> {
    check_as(Time::Further, envelope, proof, situation)
}

/// Whether an order is to be obeyed for the first time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Time {
    First,
    Further,
}

fn check_as(
    time: Time,
    envelope: &Envelope,
    proof: Option<&TargetProof>,
    situation: &Situation<'_>,
) -> Result<Accepted, Refusal> {
    let policy = situation.policy;
    let order = Order::read(envelope).map_err(|e| Refusal::Malformed { why: e.to_string() })?;
    let requester = check_requester(envelope, &order, policy)?;
    check_belongs(time, &order, situation)?;
    if !order.targets.include(situation.subject, proof) {
        return Err(Refusal::ForeignTarget);
    }
    check_kit(&order, situation)?;
    if !requester.may(Role::Investigator, &situation.subject.agency) {
        let person = requester.id.clone();
        return Err(Refusal::NotAuthorised { person });
    }
    check_time(&order, situation)?;
    if situation.cancelled.contains(&order.id) {
        return Err(Refusal::Cancelled);
    }
    if time == Time::First && situation.used.contains(&order.id) {
        return Err(Refusal::Replayed);
    }
    let profile = check_profile(&order)?;
    check_signed_once(envelope, policy, requester)?;
    let signers = check_threshold(envelope, requester, &profile, situation)?;
    check_recipients(&order, requester, situation)?;
    let unknown = |name: &&Name| (situation.class_of)(name.as_str()).is_none();
    let chosen = profile.artifacts.iter().map(|a| &a.name);
    Ok(Accepted {
        unknown_artifacts: chosen.filter(unknown).cloned().collect(),
        digest: envelope.digest(),
        order,
        profile,
        signers,
    })
}

/// The requester, who must be known and have signed.
fn check_requester<'p>(
    envelope: &Envelope,
    order: &Order,
    policy: &'p Policy,
) -> Result<&'p Person, Refusal> {
    let requester = policy.person(&order.requester).ok_or(Refusal::Forged)?;
    if envelope.verify(&[requester.signing_key]).is_empty() {
        return Err(Refusal::Forged);
    }
    Ok(requester)
}

fn check_belongs(time: Time, order: &Order, situation: &Situation<'_>) -> Result<(), Refusal> {
    let (policy, root) = (situation.policy, situation.root);
    if order.deployment != policy.deployment || policy.deployment != root.deployment {
        return Err(Refusal::ForeignDeployment);
    }
    let is_known = match time {
        Time::First => order.policy_version == policy.version,
        Time::Further => order.policy_version <= policy.version,
    };
    if !is_known || policy.root_version != root.version {
        return Err(Refusal::UnknownPolicyVersion {
            found: order.policy_version,
            held: policy.version,
        });
    }
    let nonce = data_encoding::HEXLOWER.decode(order.nonce.as_bytes());
    if nonce.map_or(true, |bytes| bytes.len() != 16) {
        let why = "its nonce is not 128 bits in hex".to_owned();
        return Err(Refusal::Malformed { why });
    }
    Ok(())
}

/// An order for a kit is obeyed by that kit alone, and a kit obeys no other.
fn check_kit(order: &Order, situation: &Situation<'_>) -> Result<(), Refusal> {
    let malformed = |why: &str| Refusal::Malformed { why: why.into() };
    match (&order.kit, situation.kit) {
        (None, None) => Ok(()),
        (Some(terms), Some(key))
            if terms.key == key && terms.agency == situation.subject.agency =>
        {
            terms.validate().map_err(malformed)?;
            match order.recurrence {
                Some(_) => Err(malformed(
                    "a kit's order makes no further collections by itself",
                )),
                None => Ok(()),
            }
        }
        _ => Err(Refusal::ForeignTarget),
    }
}

/// Judged by the later of the host's clock and the highest signed time.
fn check_time(order: &Order, situation: &Situation<'_>) -> Result<(), Refusal> {
    let now = situation
        .highest_signed
        .map_or(situation.now, |t| t.max(situation.now));
    let expired = |what: &str| Refusal::Expired {
        what: what.to_owned(),
    };
    if now >= situation.policy.expires {
        return Err(expired("policy"));
    }
    if now >= order.expires {
        return Err(expired("order"));
    }
    if now < order.not_before {
        return Err(Refusal::NotYetValid);
    }
    Ok(())
}

fn check_profile(order: &Order) -> Result<Profile, Refusal> {
    if profile::digest(&order.profile) != order.profile_digest {
        return Err(Refusal::WrongProfileDigest);
    }
    Profile::parse(&order.profile)
        .and_then(|profile| order.parameters.apply(profile))
        .and_then(|profile| {
            if let Some(recurrence) = &order.recurrence {
                recurrence.validate(&profile)?;
            }
            Ok(profile)
        })
        .map_err(|e| Refusal::BadProfile { why: e.to_string() })
}

/// A second signature by the same hand is an attempt to count for two, and is said.
fn check_signed_once(
    envelope: &Envelope,
    policy: &Policy,
    requester: &Person,
) -> Result<(), Refusal> {
    for person in policy.signers(envelope) {
        let id = person.signing_key.key_id().to_string();
        let signatures = envelope.signatures().iter();
        if signatures.filter(|s| s.key_id == id).count() < 2 {
            continue;
        }
        if person.id == requester.id {
            return Err(Refusal::RequesterAsApprover);
        }
        let person = person.id.clone();
        return Err(Refusal::SamePersonTwice { person });
    }
    Ok(())
}

/// How many people must sign an order for `profile`: as many as the widest class in it wants.
pub fn signatures_needed(
    profile: &Profile,
    policy: &Policy,
    class_of: &dyn Fn(&str) -> Option<Class>,
) -> usize {
    let classes = profile.artifacts.iter();
    let classes = classes.filter_map(|a| class_of(a.name.as_str()));
    // A class without threshold can't be in a sound policy; if it were, nobody could order it.
    classes
        .map(|class| policy.thresholds.get(&class).copied().unwrap_or(usize::MAX))
        .max()
        .unwrap_or(1)
}

/// The requester and the approvers for `agency`, each once.
pub fn counted_signers(
    envelope: &Envelope,
    requester: &Person,
    policy: &Policy,
    agency: &Name,
) -> Vec<Name> {
    let approves = |p: &&Person| p.id != requester.id && p.may(Role::Approver, agency);
    let approvers = policy.signers(envelope).into_iter().filter(approves);
    let approvers = approvers.map(|p| p.id.clone());
    std::iter::once(requester.id.clone())
        .chain(approvers)
        .collect()
}

/// [`counted_signers`] for the agency for which the fewest count; the requester alone where no agency is known yet.
pub fn fewest_signers<'a>(
    envelope: &Envelope,
    requester: &Person,
    policy: &Policy,
    agencies: impl IntoIterator<Item = &'a Name>,
) -> Vec<Name> {
    let agencies = agencies.into_iter();
    let counted = agencies.map(|agency| counted_signers(envelope, requester, policy, agency));
    let fewest = counted.min_by_key(Vec::len);
    fewest.unwrap_or_else(|| vec![requester.id.clone()])
}

/// The requester and the approvers, who must be as many as the widest class wants.
fn check_threshold(
    envelope: &Envelope,
    requester: &Person,
    profile: &Profile,
    situation: &Situation<'_>,
) -> Result<Vec<Name>, Refusal> {
    let policy = situation.policy;
    let signers = counted_signers(envelope, requester, policy, &situation.subject.agency);
    let needed = signatures_needed(profile, policy, situation.class_of);
    let found = signers.len();
    if found < needed {
        return Err(Refusal::BelowThreshold { found, needed });
    }
    Ok(signers)
}

/// The whole vault of the host's agency; beyond it only vaults of the requester's agencies and the requester.
fn check_recipients(
    order: &Order,
    requester: &Person,
    situation: &Situation<'_>,
) -> Result<(), Refusal> {
    let vaults = &situation.policy.vaults;
    let own = vaults.get(&situation.subject.agency);
    let own = own
        .filter(|v| !v.is_empty())
        .ok_or(Refusal::RecipientsNotInPolicy)?;
    let of_agencies = || {
        requester
            .agencies
            .iter()
            .filter_map(|a| vaults.get(a))
            .flatten()
    };
    let known = |r: &Recipient| *r == requester.recipient || of_agencies().any(|v| v == r);
    if !order.recipients.iter().all(known) {
        return Err(Refusal::RecipientsNotInPolicy);
    }
    if !own.iter().all(|v| order.recipients.contains(v)) {
        return Err(Refusal::VaultLeftOut);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
