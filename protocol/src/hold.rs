//! Legal holds: what they cover does not expire, whatever a retention rule says.
//!
//! A hold is never edited. It is lifted by an admin of the agency who is not the person that placed it, so that it takes
//! two people to let evidence go that one of them wanted to be kept.

use evidence::{
    digest::Digest,
    envelope::{self, Envelope},
    ids::{CollectionId, HoldId, HostId, OrderId},
    instant::Instant,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::DocumentError,
    name::Name,
    policy::{Policy, Role},
    retention::{MAX_REASON_CHARS, is_case},
    version,
};

const KIND: &str = "hold";
const LIFT: &str = "lifting of the hold";

/// The roles of which one may place a hold.
pub const MAY_HOLD: [Role; 3] = [Role::Investigator, Role::Approver, Role::Admin];

/// Keeps an agency's evidence; signed by an investigator, approver or admin of the agency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// The document's format.
    pub v: u64,
    /// The hold.
    pub id: HoldId,
    /// The deployment in which it counts.
    pub deployment: Name,
    /// Whose evidence it keeps.
    pub agency: Name,
    /// Which evidence of the agency, what is still to come included.
    pub covers: Covers,
    /// Who says so: the id of a person of the policy.
    pub by: Name,
    /// When.
    pub time: Instant,
    /// The legal basis.
    pub reason: String,
}

/// What a hold keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum Covers {
    /// All that was collected for a case.
    Case {
        /// The case's reference.
        case: String,
    },
    /// All that was collected on an order.
    Order {
        /// The order.
        order: OrderId,
    },
    /// All that was collected from a host, by whichever agent.
    Host {
        /// The host, as it says.
        host: HostId,
    },
    /// One collection.
    Collection {
        /// The collection.
        collection: CollectionId,
    },
}

impl Covers {
    /// The kind and the subject, as text.
    pub fn parts(&self) -> (&'static str, String) {
        match self {
            Self::Case { case } => ("case", case.clone()),
            Self::Order { order } => ("order", order.to_string()),
            Self::Host { host } => ("host", host.to_string()),
            Self::Collection { collection } => ("collection", collection.to_string()),
        }
    }
}

impl Hold {
    /// Reads a hold without believing it: for who shows one.
    ///
    /// # Errors
    /// It is malformed or of an unknown version.
    pub fn read(envelope: &Envelope) -> Result<Self, DocumentError> {
        version::read(envelope, envelope::HOLD, KIND)
    }

    /// Reads a hold that `by` has signed, who must be more than an auditor, for its agency.
    ///
    /// # Errors
    /// It is malformed, unsound, of another deployment, or not signed by somebody who may.
    pub fn open(envelope: &Envelope, policy: &Policy) -> Result<Self, DocumentError> {
        let hold = Self::read(envelope)?;
        let is_signed = policy.is_signed_by(envelope, &hold.by, &MAY_HOLD, &hold.agency);
        if !is_signed || hold.deployment != policy.deployment {
            return Err(DocumentError::NotAuthorised(KIND));
        }
        let invalid = |why: &str| Err(DocumentError::invalid(KIND, why));
        if matches!(&hold.covers, Covers::Case { case } if !is_case(case)) {
            return invalid("the case is empty or too long");
        }
        if !is_reason(&hold.reason) {
            return invalid("it names no legal basis, or one that is too long");
        }
        Ok(hold)
    }
}

/// Ends a hold; signed by an admin of its agency who did not place it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldLift {
    /// The document's format.
    pub v: u64,
    /// The deployment in which it counts.
    pub deployment: Name,
    /// The hold that ends.
    pub hold: HoldId,
    /// Digest of its payload.
    pub hold_sha256: Digest,
    /// Who says so: the id of a person of the policy.
    pub by: Name,
    /// When.
    pub time: Instant,
    /// Why.
    pub reason: String,
}

impl HoldLift {
    /// Reads a lifting without believing it: for who shows one.
    ///
    /// # Errors
    /// It is malformed or of an unknown version.
    pub fn read(envelope: &Envelope) -> Result<Self, DocumentError> {
        version::read(envelope, envelope::HOLD_LIFT, LIFT)
    }

    /// Reads the lifting of `hold`, whose digest is `hold_sha256`, by somebody who may lift it.
    ///
    /// # Errors
    /// It is malformed, about another hold, of another deployment, or not signed by somebody who may.
    pub fn open(
        envelope: &Envelope,
        policy: &Policy,
        hold: &Hold,
        hold_sha256: Digest,
    ) -> Result<Self, DocumentError> {
        let lift = Self::read(envelope)?;
        if lift.hold != hold.id || lift.hold_sha256 != hold_sha256 {
            let what = "hold";
            return Err(DocumentError::Foreign { kind: LIFT, what });
        }
        let is_signed = policy.is_signed_by(envelope, &lift.by, &[Role::Admin], &hold.agency);
        if !is_signed || lift.deployment != policy.deployment || lift.by == hold.by {
            return Err(DocumentError::NotAuthorised(LIFT));
        }
        if !is_reason(&lift.reason) {
            let why = "it gives no reason, or one that is too long";
            return Err(DocumentError::invalid(LIFT, why));
        }
        Ok(lift)
    }
}

fn is_reason(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= MAX_REASON_CHARS
}

/// `POST /v1/holds`: a hold by the person who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceHold {
    /// The message's format.
    pub v: u64,
    /// The hold's envelope.
    pub hold: String,
}

/// `POST /v1/holds/HOLD/lift`: a lifting by the person who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiftHold {
    /// The message's format.
    pub v: u64,
    /// The lifting's envelope.
    pub lift: String,
}

/// `GET /v1/holds`: every hold of the asker's agencies that ever was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holds {
    /// The message's format.
    pub v: u64,
    /// The newest first.
    pub holds: Vec<HoldRow>,
}

/// One hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldRow {
    /// The hold's envelope.
    pub hold: String,
    /// When the server took it in.
    pub placed: Instant,
    /// The custody receipt of its `held` leaf, JSON.
    pub receipt: String,
    /// The envelope of its lifting, where it was lifted.
    pub lift: Option<String>,
    /// When that was.
    pub lifted: Option<Instant>,
    /// How many collections it keeps now, or would if it were not lifted.
    pub collections: u32,
}

#[cfg(test)]
mod tests {
    use evidence::keys::SigningKey;

    use super::*;
    use crate::fixtures::{World, at, name};

    fn hold(by: &str) -> Hold {
        Hold {
            v: 1,
            id: HoldId::from_bytes([1; 16]),
            deployment: name("lab"),
            agency: name("lab"),
            covers: Covers::Case {
                case: "2026-1".into(),
            },
            by: name(by),
            time: at(0),
            reason: "4 Gs 12/26".into(),
        }
    }

    fn held(world: &World, hold: &Hold, key: &SigningKey) -> bool {
        let signed = Envelope::sign_document(envelope::HOLD, hold, key).unwrap();
        Hold::open(&signed, &world.policy).is_ok()
    }

    #[test]
    fn a_hold_is_placed_by_who_is_more_than_an_auditor_and_says_by_what_right() {
        let world = World::new();
        assert!(held(&world, &hold("ann"), &world.ann));
        assert!(held(&world, &hold("bob"), &world.bob));
        assert!(held(&world, &hold("eve"), &world.eve));
        assert!(!held(&world, &hold("ann"), &world.bob), "another's name");
        let with = |change: fn(&mut Hold)| {
            let mut hold = hold("ann");
            change(&mut hold);
            held(&world, &hold, &world.ann)
        };
        assert!(!with(|h| h.agency = name("navy")));
        assert!(!with(|h| h.deployment = name("other")));
        assert!(!with(|h| h.reason = " ".into()));
        assert!(!with(|h| h.covers = Covers::Case {
            case: String::new()
        }));
        let json = serde_json::to_string(&hold("ann")).unwrap();
        let more = json.replace(r#""what":"case""#, r#""what":"case","x":0"#);
        assert!(serde_json::from_str::<Hold>(&more).is_err());
    }

    #[test]
    fn a_hold_is_lifted_by_an_admin_who_did_not_place_it() {
        let world = World::new();
        let lifted = |placed: &str, by: &str, key: &SigningKey, about: &Hold| {
            let sha256 = Digest::of(placed.as_bytes());
            let lift = HoldLift {
                v: 1,
                deployment: name("lab"),
                hold: about.id,
                hold_sha256: sha256,
                by: name(by),
                time: at(1),
                reason: "the case is closed".into(),
            };
            let signed = Envelope::sign_document(envelope::HOLD_LIFT, &lift, key).unwrap();
            HoldLift::open(&signed, &world.policy, &hold(placed), sha256).is_ok()
        };
        assert!(lifted("ann", "eve", &world.eve, &hold("ann")));
        assert!(!lifted("ann", "bob", &world.bob, &hold("ann")), "no admin");
        assert!(!lifted("ann", "ann", &world.ann, &hold("ann")), "no admin");
        assert!(!lifted("eve", "eve", &world.eve, &hold("eve")), "her own");
        assert!(!lifted("ann", "eve", &world.ann, &hold("ann")), "forged");
        let other = Hold {
            id: HoldId::from_bytes([2; 16]),
            ..hold("ann")
        };
        assert!(!lifted("ann", "eve", &world.eve, &other));
    }
}
