//! How long evidence is kept: rules signed by admins, and what people are told of them.
//!
//! A rule is never edited: the next version of it for the same agency (and case) takes its place, and versions follow
//! each other without a gap, so that none is put back and none is left out unseen.

use std::fmt;

use evidence::{
    digest::Digest,
    envelope::{self, Envelope},
    ids::{AgentId, CollectionId, HoldId, OrderId},
    instant::Instant,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::DocumentError,
    name::Name,
    policy::{Policy, Role},
    version,
};

const KIND: &str = "retention rule";

/// The longest time that a rule may name: a hundred years.
pub const MAX_KEEP_DAYS: u32 = 36_500;
/// The longest reference of a case in a rule or a hold, in bytes.
pub const MAX_CASE_BYTES: usize = 1_024;
/// The longest reason, in characters.
pub const MAX_REASON_CHARS: usize = 1_000;

/// How long an agency's evidence is kept; signed by an admin of the agency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionRule {
    /// The document's format.
    pub v: u64,
    /// The deployment in which it counts.
    pub deployment: Name,
    /// Whose evidence it is about.
    pub agency: Name,
    /// The case that it is about; none: all cases of the agency that have no rule of their own, and what has no case.
    pub case: Option<String>,
    /// From 1; one more each time, for the same agency and case.
    pub version: u64,
    /// For how many days after its last part was received a collection is kept; none: for ever.
    pub keep_days: Option<u32>,
    /// Who says so: the id of a person of the policy.
    pub by: Name,
    /// When.
    pub time: Instant,
    /// Why.
    pub reason: String,
}

impl RetentionRule {
    /// Reads a rule without believing it: for who shows one.
    ///
    /// # Errors
    /// It is malformed or of an unknown version.
    pub fn read(envelope: &Envelope) -> Result<Self, DocumentError> {
        version::read(envelope, envelope::RETENTION, KIND)
    }

    /// Reads a rule that `by` has signed, an admin for its agency.
    ///
    /// # Errors
    /// It is malformed, unsound, of another deployment, or not signed by somebody who may.
    pub fn open(envelope: &Envelope, policy: &Policy) -> Result<Self, DocumentError> {
        let rule = Self::read(envelope)?;
        let is_signed = policy.is_signed_by(envelope, &rule.by, &[Role::Admin], &rule.agency);
        if !is_signed || rule.deployment != policy.deployment {
            return Err(DocumentError::NotAuthorised(KIND));
        }
        let invalid = |why: &str| Err(DocumentError::invalid(KIND, why));
        if rule.version == 0 {
            return invalid("versions begin at 1");
        }
        if rule.keep_days.is_some_and(|days| days > MAX_KEEP_DAYS) {
            return invalid("it keeps for more than a hundred years");
        }
        if !rule.case.as_deref().is_none_or(is_case) {
            return invalid("the case is empty or too long");
        }
        if rule.reason.chars().count() > MAX_REASON_CHARS {
            return invalid("the reason is too long");
        }
        Ok(rule)
    }
}

/// In a few words: which rule it is.
impl fmt::Display for RetentionRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        name(f, self.version, &self.agency, self.case.as_deref())
    }
}

/// Whether the text can be the reference of a case that a rule or a hold is about.
pub(crate) fn is_case(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_CASE_BYTES
}

fn name(
    f: &mut fmt::Formatter<'_>,
    version: u64,
    agency: &Name,
    case: Option<&str>,
) -> fmt::Result {
    write!(f, "rule {version} of {agency}")?;
    match case {
        Some(case) => write!(f, " for case {case}"),
        None => Ok(()),
    }
}

/// `POST /v1/retention`: a rule by the person who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetRetention {
    /// The message's format.
    pub v: u64,
    /// The rule's envelope.
    pub rule: String,
}

/// `GET /v1/retention`: every rule of the asker's agencies that ever was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// The message's format.
    pub v: u64,
    /// By agency, case and version.
    pub rules: Vec<RuleRow>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleRow {
    /// The rule's envelope.
    pub rule: String,
    /// When the server took it in.
    pub taken: Instant,
    /// From when on something may expire by it.
    pub counts_from: Instant,
    /// Whether no later version has taken its place.
    pub in_force: bool,
    /// The custody receipt of its `retention` leaf, JSON.
    pub receipt: String,
}

/// By which rule the stored parts of a collection are gone, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expired {
    /// When.
    pub time: Instant,
    /// The rule's agency.
    pub agency: Name,
    /// The rule's case, where it is about one.
    pub case: Option<String>,
    /// The rule's version.
    pub version: u64,
    /// Digest of the rule's payload.
    pub rule_sha256: Digest,
    /// The custody receipts of the `expired` leaves, JSON.
    pub receipts: Vec<String>,
}

/// As every program says it.
impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.time.to_rfc3339();
        let day = time.as_deref().and_then(|text| text.split('T').next());
        write!(f, "expired on {} by ", day.unwrap_or("an unknown day"))?;
        name(f, self.version, &self.agency, self.case.as_deref())
    }
}

/// `GET /v1/retention/due`: when each collection of the asker's agencies expires, and what keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Due {
    /// The message's format.
    pub v: u64,
    /// What is due first comes first; what has no date comes last.
    pub collections: Vec<DueRow>,
}

/// When one collection expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DueRow {
    /// The collection.
    pub collection: CollectionId,
    /// Who sealed it.
    pub agent: AgentId,
    /// The host's name, as it says.
    pub hostname: String,
    /// The order, where it is known.
    pub order: Option<OrderId>,
    /// The case of that order.
    pub case: Option<String>,
    /// When the last part was received.
    pub received: Instant,
    /// Whether all of it is here: what is not, does not expire.
    pub complete: bool,
    /// When it expires, where nothing keeps it; none: never.
    pub due: Option<Instant>,
    /// Digest of the rule that is in force for it.
    pub rule_sha256: Option<Digest>,
    /// The holds that keep it.
    pub holds: Vec<HoldId>,
    /// When it expired, where it did.
    pub expired: Option<Instant>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{World, at, name};

    fn rule() -> RetentionRule {
        RetentionRule {
            v: 1,
            deployment: name("lab"),
            agency: name("lab"),
            case: None,
            version: 1,
            keep_days: Some(365),
            by: name("eve"),
            time: at(0),
            reason: "the law".into(),
        }
    }

    fn opened(world: &World, change: impl FnOnce(&mut RetentionRule)) -> bool {
        let mut rule = rule();
        change(&mut rule);
        let signed = Envelope::sign_document(envelope::RETENTION, &rule, &world.eve).unwrap();
        RetentionRule::open(&signed, &world.policy).is_ok()
    }

    #[test]
    fn a_rule_is_an_admins_own_for_the_admins_agency() {
        let world = World::new();
        assert!(opened(&world, |_| {}));
        assert!(opened(&world, |r| r.keep_days = None));
        assert!(opened(&world, |r| r.case = Some("2026-1".into())));
        assert!(!opened(&world, |r| r.by = name("ann")));
        assert!(!opened(&world, |r| r.agency = name("navy")));
        assert!(!opened(&world, |r| r.deployment = name("other")));
        assert!(!opened(&world, |r| r.version = 0));
        assert!(!opened(&world, |r| r.keep_days = Some(MAX_KEEP_DAYS + 1)));
        assert!(!opened(&world, |r| r.case = Some(String::new())));
        assert!(!opened(&world, |r| r.reason = "x".repeat(1_001)));
        let by_ann = RetentionRule {
            by: name("ann"),
            ..rule()
        };
        let signed = Envelope::sign_document(envelope::RETENTION, &by_ann, &world.ann).unwrap();
        assert!(RetentionRule::open(&signed, &world.policy).is_err());
    }

    #[test]
    fn rules_and_what_they_did_are_said_in_the_same_words() {
        let mut expired = Expired {
            time: at(86_400),
            agency: name("lab"),
            case: None,
            version: 2,
            rule_sha256: Digest::of(b"rule"),
            receipts: Vec::new(),
        };
        assert_eq!(
            expired.to_string(),
            "expired on 1970-01-02 by rule 2 of lab"
        );
        expired.case = Some("2026-1".into());
        assert!(expired.to_string().ends_with("of lab for case 2026-1"));
        assert_eq!(rule().to_string(), "rule 1 of lab");
    }
}
