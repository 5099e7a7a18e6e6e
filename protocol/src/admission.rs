//! Hosts that a token holds until an admin lets them in: the admin's signed word, and who waits.

use evidence::{
    digest::Digest,
    envelope::{self, Envelope},
    ids::HostId,
    instant::Instant,
};
use serde::{Deserialize, Serialize};

use crate::{
    enrolment::HostFacts,
    error::DocumentError,
    name::Name,
    policy::{Policy, Role},
    version,
};

const KIND: &str = "word on a host that waits";

/// What an admin says of a host that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may enrol.
    Approved,
    /// It may not.
    Rejected,
}

/// Lets a host in that waits, or turns it away; signed by an admin of its agency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    /// The document's format.
    pub v: u64,
    /// The deployment in which it counts.
    pub deployment: Name,
    /// The agency that the host wants to belong to.
    pub agency: Name,
    /// The host, as it calls itself.
    pub host: HostId,
    /// The SHA-256 of the seal key's SubjectPublicKeyInfo: what tells the host from others.
    pub seal_key: Digest,
    /// What is said.
    pub verdict: Verdict,
    /// Who says so: the id of a person of the policy.
    pub by: Name,
    /// When.
    pub time: Instant,
}

impl Admission {
    /// Reads a word without believing it: for who shows one.
    ///
    /// # Errors
    /// It is malformed or of an unknown version.
    pub fn read(envelope: &Envelope) -> Result<Self, DocumentError> {
        version::read(envelope, envelope::ADMISSION, KIND)
    }

    /// Reads a word that `by` has signed, an admin of the agency.
    ///
    /// # Errors
    /// It is malformed, of another deployment, or not signed by somebody who may.
    pub fn open(envelope: &Envelope, policy: &Policy) -> Result<Self, DocumentError> {
        let word = Self::read(envelope)?;
        let is_signed = policy.is_signed_by(envelope, &word.by, &[Role::Admin], &word.agency);
        match is_signed && word.deployment == policy.deployment {
            true => Ok(word),
            false => Err(DocumentError::NotAuthorised(KIND)),
        }
    }
}

/// `POST /v1/enrol`, 202: the host waits for an admin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentHeld {
    /// The message's format.
    pub v: u64,
    /// The key by which the host is known to the admin.
    pub seal_key: Digest,
    /// Since when it waits.
    pub since: Instant,
}

/// A host that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PendingHost {
    /// The SHA-256 of its seal key.
    pub seal_key: Digest,
    /// The agency, by its token.
    pub agency: Name,
    /// The labels, by its token.
    pub labels: Vec<Name>,
    /// The token's id.
    pub token: String,
    /// What it says of itself; nobody has checked it.
    pub host: HostFacts,
    /// The address that the server saw.
    pub address: String,
    /// When it first asked.
    pub since: Instant,
    /// When it last asked.
    pub asked: Instant,
    /// When its token ends, and the wait with it.
    pub expires: Instant,
}

/// `GET /v1/hosts/pending`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PendingHosts {
    /// The message's format.
    pub v: u64,
    /// Those of the person's agencies, who waits longest first.
    pub hosts: Vec<PendingHost>,
}

/// `POST /v1/hosts/pending`: a word by the person who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecideHost {
    /// The message's format.
    pub v: u64,
    /// The envelope of an [`Admission`].
    pub admission: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{World, at};

    #[test]
    fn only_an_admin_of_the_agency_lets_hosts_in() {
        let world = World::new();
        let word = Admission {
            v: 1,
            deployment: "lab".parse().unwrap(),
            agency: "lab".parse().unwrap(),
            host: HostId::from_bytes([3; 16]),
            seal_key: Digest::of(b"key"),
            verdict: Verdict::Approved,
            by: "eve".parse().unwrap(),
            time: at(1),
        };
        let open = |word: &Admission, key| {
            let signed = Envelope::sign_document(envelope::ADMISSION, word, key).unwrap();
            Admission::open(&signed, &world.policy)
        };
        assert_eq!(open(&word, &world.eve).unwrap(), word);
        assert!(open(&word, &world.ann).is_err());
        let by_ann = Admission {
            by: "ann".parse().unwrap(),
            ..word.clone()
        };
        assert!(open(&by_ann, &world.ann).is_err());
        let of_navy = Admission {
            agency: "navy".parse().unwrap(),
            ..word.clone()
        };
        assert!(open(&of_navy, &world.eve).is_err());
        let elsewhere = Admission {
            deployment: "other".parse().unwrap(),
            ..word
        };
        assert!(open(&elsewhere, &world.eve).is_err());
    }
}
