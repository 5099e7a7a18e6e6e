//! Orders, cancellations and refusals: the documents. Whether an order is obeyed stands in `order_check`.

use evidence::{
    digest::Digest,
    envelope::{self, Envelope},
    ids::{AgentId, OrderId},
    instant::Instant,
    wrap::Recipient,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::DocumentError,
    kit::KitTerms,
    name::Name,
    order_check::Refusal,
    policy::{Policy, Role},
    profile::Parameters,
    recurrence::Recurrence,
    target::Targets,
    version,
};

/// What an investigator asks of hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The document's format.
    pub v: u64,
    /// The order.
    pub id: OrderId,
    /// The deployment in which it counts.
    pub deployment: Name,
    /// The policy under which it was signed.
    pub policy_version: u64,
    /// The profile's YAML text.
    pub profile: String,
    /// SHA-256 of that text.
    pub profile_digest: Digest,
    /// What the order adds to the profile.
    pub parameters: Parameters,
    /// Whom it is meant for.
    pub targets: Targets,
    /// Not to be obeyed before.
    pub not_before: Instant,
    /// Not to be begun after.
    pub expires: Instant,
    /// 128 random bits in hex, so that no two orders have the same digest.
    pub nonce: String,
    /// The case's reference.
    pub case: String,
    /// Who asks: the id of a person of the policy.
    pub requester: Name,
    /// Why.
    pub reason: String,
    /// Whom the evidence is encrypted to: the agency's vault, and the requester's own if wanted.
    pub recipients: Vec<Recipient>,
    /// The digest of the order that this one continues.
    pub predecessor: Option<Digest>,
    /// How it goes out to many hosts; all at once where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// How it goes on making collections; one collection where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrence: Option<Recurrence>,
    /// The kit that it is for; none where it is for agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kit: Option<KitTerms>,
}

/// How an order goes out: the server's to keep to, and in the order so that whoever signs it sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// So many hosts get it in a minute, at times that are spread by chance; 0 all at once.
    #[serde(default)]
    pub hosts_per_minute: u32,
    /// It stops by itself once a larger share of the hosts that have answered has failed, in percent; 0 never.
    #[serde(default)]
    pub stop_past_failed_percent: u8,
}

impl Order {
    /// Reads an order without believing it: for who shows or routes one.
    ///
    /// # Errors
    /// It is malformed or of an unknown version.
    pub fn read(envelope: &Envelope) -> Result<Self, DocumentError> {
        version::read(envelope, envelope::ORDER, "order")
    }
}

/// Stops an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// The document's format.
    pub v: u64,
    /// The deployment in which it counts.
    pub deployment: Name,
    /// The order that is to stop.
    pub order: OrderId,
    /// Digest of its payload.
    pub order_digest: Digest,
    /// When the order expires: until then the cancellation is kept.
    pub expires: Instant,
    /// Who says so: the id of a person of the policy.
    pub by: Name,
    /// When.
    pub time: Instant,
    /// Why.
    pub reason: String,
}

impl Cancel {
    /// Reads a cancellation without believing it: for who shows or routes one.
    ///
    /// # Errors
    /// It is malformed or of an unknown version.
    pub fn read(envelope: &Envelope) -> Result<Self, DocumentError> {
        version::read(envelope, envelope::CANCEL, "cancellation")
    }

    /// Reads a cancellation that `by` has signed, who must be more than an auditor, for `agency`.
    ///
    /// # Errors
    /// It is malformed, of another deployment, or not signed by somebody who may.
    pub fn open(
        envelope: &Envelope,
        policy: &Policy,
        agency: &Name,
    ) -> Result<Self, DocumentError> {
        const MAY: [Role; 3] = [Role::Investigator, Role::Approver, Role::Admin];
        let cancel = Self::read(envelope)?;
        let signed = policy.is_signed_by(envelope, &cancel.by, &MAY, agency);
        if signed && cancel.deployment == policy.deployment {
            Ok(cancel)
        } else {
            Err(DocumentError::NotAuthorised("cancellation"))
        }
    }
}

/// An agent's signed answer to an order that it doesn't obey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusalNotice {
    /// The document's format.
    pub v: u64,
    /// The digest of the order's payload as received.
    pub order_digest: Digest,
    /// The digest of all that was handed over ([`crate::messages::HandedOrder::digest`]): which copy of the order this
    /// is about.
    pub handed_digest: Digest,
    /// The order's id, where it could be read.
    pub order: Option<OrderId>,
    /// Who refuses.
    pub agent: AgentId,
    /// When, by the host's clock.
    pub time: Instant,
    /// Why.
    pub refusal: Refusal,
}

impl RefusalNotice {
    /// Reads a refusal that the agent's seal key has signed.
    ///
    /// # Errors
    /// It is malformed or signed by another key.
    pub fn open(
        envelope: &Envelope,
        seal_key: &evidence::keys::PublicKey,
    ) -> Result<Self, DocumentError> {
        if envelope.verify(&[*seal_key]).is_empty() {
            return Err(DocumentError::NotAuthorised("refusal"));
        }
        version::read(envelope, envelope::REFUSAL, "refusal")
    }
}
