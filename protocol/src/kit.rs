//! Kits: a seal key, an order and a program on a stick, for hosts that no network reaches.
//!
//! A kit is an identity like an agent's, with a seal key certified when it is built and no TLS key. Its order names that
//! key, so that no other can seal on it, and is good for one kit alone.

pub mod layout;

use std::collections::BTreeSet;

use evidence::{
    digest::Digest,
    envelope::{self, Envelope},
    field::Field,
    ids::{AgentId, CollectionId, KitId},
    instant::Instant,
    keys::PublicKey,
    records::HostIdentity,
    wrap::Recipient,
};
use serde::{Deserialize, Serialize};

use crate::{
    enrolment::HostFacts, error::DocumentError, name::Name, order::Order, policy::Policy, version,
};

/// A kit's order is good for so many collections at most.
pub const USES_MOST: u32 = 10_000;
/// A kit's order names so many hosts at most.
pub const HOSTS_MOST: usize = 10_000;
/// The longest name of a host in an order.
const HOST_BYTES: usize = 255;

/// What an order says of the kit that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KitTerms {
    /// The kit.
    pub kit: KitId,
    /// Key id of the kit's seal key.
    pub key: Digest,
    /// The agency whose hosts it is for.
    pub agency: Name,
    /// Names or machine ids of hosts; any host of the agency where it is empty.
    pub hosts: BTreeSet<String>,
    /// How many collections are taken in; the server counts.
    pub uses: u32,
}

impl KitTerms {
    /// Whether a host is meant.
    pub fn include(&self, host: &HostIdentity) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|named| host.is_called(named))
    }

    /// Whether the terms are within the limits.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn validate(&self) -> Result<(), &'static str> {
        if !(1..=USES_MOST).contains(&self.uses) {
            return Err("a kit has 1 to 10,000 uses");
        }
        if self.hosts.len() > HOSTS_MOST {
            return Err("a kit's order names at most 10,000 hosts");
        }
        let is_name = |h: &String| !h.is_empty() && h.len() <= HOST_BYTES;
        if !self.hosts.iter().all(is_name) {
            return Err("a host's name has 1 to 255 bytes");
        }
        Ok(())
    }
}

/// What a kit is made of (`kit.json`), signed by whoever asked for its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kit {
    /// The document's format.
    pub v: u64,
    /// The kit.
    pub id: KitId,
    /// The identity by which it seals.
    pub agent: AgentId,
    /// The deployment.
    pub deployment: Name,
    /// Digest of the order's payload.
    pub order_sha256: Digest,
    /// Who built it: the order's requester.
    pub builder: Name,
    /// When.
    pub built: Instant,
    /// Seal certificate and issuing chain, PEM.
    pub seal_chain: String,
    /// Receipt of the custody event `kit_certified`.
    pub certified: String,
    /// Whom the record of a use is encrypted to, beside the order's recipients: the server's intake.
    pub intake: Recipient,
    /// SHA-256 of the kit's SHA256SUMS, which names every file but itself and `kit.json`.
    pub sums_sha256: Digest,
}

impl Kit {
    /// Reads what a kit is made of, which the requester of `order` must have signed.
    ///
    /// # Errors
    /// It is malformed, forged, of another deployment, or for another order.
    pub fn open(
        envelope: &Envelope,
        policy: &Policy,
        (order, order_sha256): (&Order, Digest),
    ) -> Result<Self, DocumentError> {
        const KIND: &str = "kit";
        let kit: Self = version::read(envelope, envelope::KIT, KIND)?;
        let signed = policy
            .signers(envelope)
            .iter()
            .any(|p| p.id == order.requester && p.id == kit.builder);
        if !signed {
            return Err(DocumentError::NotAuthorised(KIND));
        }
        let foreign = |what| DocumentError::Foreign { kind: KIND, what };
        if kit.deployment != policy.deployment {
            return Err(foreign("deployment"));
        }
        let named = order.kit.as_ref().map(|terms| terms.kit);
        if kit.order_sha256 != order_sha256 || named != Some(kit.id) {
            return Err(foreign("order"));
        }
        Ok(kit)
    }
}

/// One use of a kit, signed by its seal key; on the stick it is encrypted to the server's intake and the vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KitUse {
    /// The document's format.
    pub v: u64,
    /// The kit.
    pub kit: KitId,
    /// The identity by which it seals.
    pub agent: AgentId,
    /// What was collected.
    pub collection: CollectionId,
    /// Digest of the order's payload.
    pub order_sha256: Digest,
    /// Which host, as it names itself.
    pub host: HostFacts,
    /// When it was begun, by the host's clock.
    pub host_time: Instant,
    /// What the person at the host said.
    pub field: Field,
}

impl KitUse {
    /// Reads a use that the kit's seal key has signed.
    ///
    /// # Errors
    /// It is malformed or signed by another key.
    pub fn open(envelope: &Envelope, seal_key: &PublicKey) -> Result<Self, DocumentError> {
        const KIND: &str = "use of a kit";
        if envelope.verify(&[*seal_key]).is_empty() {
            return Err(DocumentError::NotAuthorised(KIND));
        }
        version::read(envelope, envelope::KIT_USE, KIND)
    }
}

/// `POST /v1/kits`: asks for a certificate for a kit's seal key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertifyKit {
    /// The message's format.
    pub v: u64,
    /// The kit, by an id that its builder made.
    pub kit: KitId,
    /// The agency whose hosts it is for.
    pub agency: Name,
    /// CSR for the seal key, PEM.
    pub seal_csr: String,
}

/// The answer to [`CertifyKit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertifiedKit {
    /// The message's format.
    pub v: u64,
    /// The identity by which the kit seals: its order is for this one.
    pub agent: AgentId,
    /// Seal certificate and issuing chain, PEM.
    pub seal_chain: String,
    /// Receipt of the custody event `kit_certified`.
    pub receipt: String,
    /// The server's intake.
    pub intake: Recipient,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_known_by_name_or_machine_id_and_terms_have_limits() {
        let mut terms = KitTerms {
            kit: KitId::from_bytes([1; 16]),
            key: Digest::of(b"key"),
            agency: "lab".parse().unwrap(),
            hosts: BTreeSet::new(),
            uses: 1,
        };
        let host = |name: &str, id: Option<&str>| HostIdentity {
            hostname: name.to_owned(),
            os: "linux".to_owned(),
            os_version: None,
            kernel: None,
            arch: "x86_64".to_owned(),
            machine_id: id.map(str::to_owned),
            hardware: None,
        };
        assert!(terms.include(&host("any", None)) && terms.validate().is_ok());
        terms.hosts = ["Web-1".to_owned(), "0a1b".to_owned()].into();
        assert!(terms.include(&host("web-1", None)));
        assert!(terms.include(&host("other", Some("0A1B"))));
        assert!(!terms.include(&host("other", None)) && !terms.include(&host("", None)));
        terms.uses = 0;
        assert!(terms.validate().is_err());
        (terms.uses, terms.hosts) = (1, [String::new()].into());
        assert!(terms.validate().is_err());
    }
}
