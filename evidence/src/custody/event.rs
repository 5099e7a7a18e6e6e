//! What a custody leaf says: one thing that was done, to which evidence, by whom.
//!
//! A leaf is a DSSE envelope signed by whoever acted: the server by a time key of the
//! policy, people by their signing key, an agent by its seal key. It holds ids and digests, no names and
//! no paths. Unknown fields and unknown events are passed over, so that older tools read newer
//! logs; an unknown version is named and refused.

use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    envelope::{self, Envelope, EnvelopeError},
    ids::{AgentId, CollectionId, HoldId, HostId, KitId, OrderId},
    instant::Instant,
    keys::{PublicKey, SigningKey},
};

/// The version written and read here.
pub const VERSION: u64 = 1;

/// A leaf is not a custody event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The envelope or its JSON is broken, or of another kind.
    #[error("the custody leaf can't be read. Fetch it again from the server.")]
    Envelope(#[from] EnvelopeError),
    /// A later version.
    #[error(
        "the custody leaf has version {0}, and this program reads version {VERSION}. Use a newer program."
    )]
    UnknownVersion(u64),
}

/// One leaf's document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// [`VERSION`].
    pub v: u64,
    /// When, by the clock of whoever acted.
    pub time: Instant,
    /// What was done.
    #[serde(flatten)]
    pub action: Action,
}

/// What the investigator's tool found in a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Genuine; nothing is missing.
    Genuine,
    /// Genuine, with gaps or parts missing.
    GenuineWithGaps,
    /// Not genuine: the part goes into quarantine.
    NotGenuine,
}

/// One stored part: the key under which intake keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPart {
    /// The collection.
    pub collection: CollectionId,
    /// The part's number, from 1.
    pub part: u32,
    /// SHA-256 of the file as stored (the ciphertext).
    pub stored_sha256: Digest,
}

/// What was done. A key is named by the SHA-256 of its SubjectPublicKeyInfo.
///
/// Names are part of the format: do not rename.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// The deployment began, or a new policy is in force (signed by the server).
    PolicyPublished {
        /// Digest of the policy's payload.
        policy_sha256: Digest,
        /// Its version.
        version: u64,
    },
    /// A host was enrolled (signed by the server).
    Enrolled {
        /// The new agent.
        agent: AgentId,
        /// The host, as it names itself.
        host: HostId,
        /// Digest of the deployment token's payload.
        token_sha256: Digest,
        /// The reader's key.
        seal_key: Digest,
        /// The courier's key.
        tls_key: Digest,
        /// The cloned identity that it came from, whose seal key asked for it; none where a token let it in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        forked_from: Option<AgentId>,
    },
    /// An admin let a host in that a token had held (signed by the server; the word carries the admin's signature).
    Admitted {
        /// The host, as it names itself.
        host: HostId,
        /// The reader's key.
        seal_key: Digest,
        /// Digest of the word's payload.
        admission_sha256: Digest,
        /// The signing key.
        by_key: Digest,
    },
    /// An admin turned a host away that a token had held (signed by the server; the word carries the admin's signature).
    TurnedAway {
        /// The host, as it names itself.
        host: HostId,
        /// The reader's key.
        seal_key: Digest,
        /// Digest of the word's payload.
        admission_sha256: Digest,
        /// The signing key.
        by_key: Digest,
    },
    /// One identity was met on two machines: it is given no more orders (signed by the server).
    Cloned {
        /// The identity.
        agent: AgentId,
    },
    /// Certificates were renewed, perhaps for new keys (signed by the server).
    Renewed {
        /// The agent.
        agent: AgentId,
        /// The seal key certified now, where one was asked for.
        seal_key: Option<Digest>,
        /// The TLS key certified now, where one was asked for.
        tls_key: Option<Digest>,
    },
    /// An agent's certificates count no more (signed by an admin).
    Revoked {
        /// The agent.
        agent: AgentId,
        /// Seals made from then on are refused.
        invalid_from: Instant,
    },
    /// A host is looked after no more: a revocation that is nobody's fault (signed by an admin).
    Removed {
        /// The agent.
        agent: AgentId,
        /// Seals made from then on are refused.
        invalid_from: Instant,
        /// Digest of the reason's text, which the server keeps.
        reason_sha256: Digest,
    },
    /// An order was taken in (signed by the server; the order carries its own signatures).
    Ordered {
        /// The order.
        order: OrderId,
        /// Digest of its payload.
        order_sha256: Digest,
    },
    /// One more person's signature was added to an order (signed by the server; the order carries the signature).
    Approved {
        /// The order.
        order: OrderId,
        /// Digest of its payload.
        order_sha256: Digest,
        /// The signing key.
        by_key: Digest,
    },
    /// Somebody stopped an order (signed by the server; the cancellation carries that person's signature).
    Cancelled {
        /// The order.
        order: OrderId,
        /// Digest of its payload.
        order_sha256: Digest,
        /// Digest of the cancellation's payload.
        cancel_sha256: Digest,
        /// The signing key.
        by_key: Digest,
    },
    /// An order stopped by itself, since too many of its hosts had failed (signed by the server).
    Halted {
        /// The order.
        order: OrderId,
        /// Digest of its payload.
        order_sha256: Digest,
    },
    /// An order's time is up: agents begin nothing on it any more (signed by the server).
    Lapsed {
        /// The order.
        order: OrderId,
        /// Digest of its payload.
        order_sha256: Digest,
    },
    /// A kit's seal key was certified (signed by the server).
    KitCertified {
        /// The identity by which the kit seals.
        agent: AgentId,
        /// The kit.
        kit: KitId,
        /// Key id of its seal key.
        seal_key: Digest,
        /// The signing key of the person for whom.
        by_key: Digest,
    },
    /// A kit was used on a host without network (signed by the kit's seal key, imported later).
    KitUsed {
        /// The identity by which the kit seals.
        agent: AgentId,
        /// The kit.
        kit: KitId,
        /// What was collected.
        collection: CollectionId,
        /// Digest of the order's payload.
        order_sha256: Digest,
        /// Digest of the payload of the use's own document: host, operator, place, times.
        use_sha256: Digest,
        /// The kit's seal key, which signs this; the server certified it by its key id.
        key: PublicKey,
    },
    /// Evidence was brought in by hand (signed by the server).
    Imported {
        /// What was collected.
        collection: CollectionId,
        /// Digest of what the server keeps of it: who brought it, and from where.
        handed_in_sha256: Digest,
    },
    /// An agent refused an order (signed by the server; the notice carries the agent's signature).
    Refused {
        /// Who refused.
        agent: AgentId,
        /// Digest of the order's payload.
        order_sha256: Digest,
        /// Digest of the refusal's payload.
        notice_sha256: Digest,
    },
    /// A part is durable and its statement holds (signed by the server).
    Received {
        /// Which part.
        #[serde(flatten)]
        part: StoredPart,
        /// Who sealed it.
        agent: AgentId,
        /// How long the stored file is.
        size_bytes: u64,
        /// Digest of the statement's payload.
        statement_sha256: Digest,
    },
    /// A part was handed out (signed by the server).
    Fetched {
        /// Which part.
        #[serde(flatten)]
        part: StoredPart,
        /// The signing key of the person whom it was handed to.
        by_key: Digest,
    },
    /// Pieces of the log of a collection were handed out while it ran (signed by the server).
    LogRead {
        /// The collection.
        collection: CollectionId,
        /// The signing key of the person whom they were handed to.
        by_key: Digest,
    },
    /// A part was checked whole, contents included (signed by the investigator).
    Verified {
        /// Which part.
        #[serde(flatten)]
        part: StoredPart,
        /// What was found.
        outcome: Outcome,
    },
    /// A part was set apart (signed by the server).
    Quarantined {
        /// Which part.
        #[serde(flatten)]
        part: StoredPart,
    },
    /// A retention rule is in force (signed by the server; the rule carries an admin's signature).
    Retention {
        /// Digest of the rule's payload.
        rule_sha256: Digest,
        /// Its version.
        version: u64,
        /// The signing key.
        by_key: Digest,
    },
    /// A legal hold was placed (signed by the server; the hold carries a person's signature).
    Held {
        /// The hold.
        hold: HoldId,
        /// Digest of its payload.
        hold_sha256: Digest,
        /// The signing key.
        by_key: Digest,
    },
    /// A legal hold was lifted (signed by the server; the lifting carries an admin's signature).
    HoldLifted {
        /// The hold.
        hold: HoldId,
        /// Digest of its payload.
        hold_sha256: Digest,
        /// Digest of the lifting's payload.
        lift_sha256: Digest,
        /// The signing key.
        by_key: Digest,
    },
    /// A collection has expired: its stored parts are deleted (signed by the server).
    Expired {
        /// The collection.
        collection: CollectionId,
        /// SHA-256 of each part as it was stored.
        parts: Vec<Digest>,
        /// Digest of the retention rule by which.
        rule_sha256: Digest,
    },
    /// An event of a later program.
    #[serde(other)]
    Unknown,
}

impl Action {
    /// Whose certificates count no more, and seals from when on, where this says so.
    pub fn revokes(&self) -> Option<(AgentId, Instant)> {
        match self {
            Self::Revoked {
                agent,
                invalid_from,
            }
            | Self::Removed {
                agent,
                invalid_from,
                ..
            } => Some((*agent, *invalid_from)),
            _ => None,
        }
    }
}

impl Event {
    /// The signed leaf for `action`.
    ///
    /// # Errors
    /// It can't be written as JSON, which it can.
    pub fn sign(
        action: Action,
        time: Instant,
        key: &SigningKey,
    ) -> Result<Envelope, EnvelopeError> {
        let event = Self {
            v: VERSION,
            time,
            action,
        };
        Envelope::sign_document(envelope::CUSTODY, &event, key)
    }

    /// Reads a leaf; who signed it is the caller's question.
    ///
    /// # Errors
    /// It is malformed, of another kind, or of an unknown version.
    pub fn read(leaf: &[u8]) -> Result<(Envelope, Self), EventError> {
        #[derive(Deserialize)]
        struct Head {
            v: u64,
        }
        let envelope = Envelope::parse(leaf)?;
        let Head { v } = envelope.document(envelope::CUSTODY)?;
        if v != VERSION {
            return Err(EventError::UnknownVersion(v));
        }
        let event = envelope.document(envelope::CUSTODY)?;
        Ok((envelope, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(payload: &str) -> Vec<u8> {
        let key = SigningKey::generate().unwrap();
        let envelope = Envelope::sign(envelope::CUSTODY, payload.into(), &key);
        envelope.to_json().unwrap()
    }

    #[test]
    fn a_signed_leaf_reads_back_flat() {
        let key = SigningKey::generate().unwrap();
        let action = Action::Fetched {
            part: StoredPart {
                collection: CollectionId::from_bytes([3; 16]),
                part: 2,
                stored_sha256: Digest::of(b"x"),
            },
            by_key: key.public().key_id(),
        };
        let time = Instant { seconds: 7, ns: 0 };
        let envelope = Event::sign(action.clone(), time, &key).unwrap();
        let json: serde_json::Value = serde_json::from_slice(envelope.payload()).unwrap();
        assert_eq!(json["event"], "fetched");
        assert_eq!(json["part"], 2);
        let (read, event) = Event::read(&envelope.to_json().unwrap()).unwrap();
        assert_eq!(event.action, action);
        assert!(!read.verify(&[key.public()]).is_empty());
    }

    #[test]
    fn later_events_are_passed_over_and_later_versions_refused() {
        let time = "1970-01-01T00:00:07.000000000Z";
        let later = signed(&format!(
            r#"{{"v":1,"time":"{time}","event":"sold","to":1}}"#
        ));
        assert_eq!(Event::read(&later).unwrap().1.action, Action::Unknown);
        let newer = signed(&format!(r#"{{"v":2,"time":"{time}","event":"fetched"}}"#));
        assert!(matches!(
            Event::read(&newer),
            Err(EventError::UnknownVersion(2))
        ));
        let twice = signed(&format!(
            r#"{{"v":1,"v":1,"time":"{time}","event":"sold"}}"#
        ));
        assert!(Event::read(&twice).is_err());
    }
}
