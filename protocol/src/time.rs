//! The server's signed time over the reader's nonce, and how far the host's clock is from it.
//!
//! The courier in between can delay an answer, which widens the bound, and nothing else.

use data_encoding::HEXLOWER;
use evidence::{
    envelope::{self, Envelope},
    instant::Instant,
};
use serde::{Deserialize, Serialize};

use crate::{error::DocumentError, policy::Policy, version};

const KIND: &str = "signed time";

/// What the server signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedTime {
    /// The document's format.
    pub v: u64,
    /// The asker's nonce, hex.
    pub nonce: String,
    /// The server's clock.
    pub time: Instant,
}

impl SignedTime {
    /// Reads a time that a time key of the policy has signed over `nonce`.
    ///
    /// # Errors
    /// It is malformed, signed by another key, or answers another question.
    pub fn open(
        envelope: &Envelope,
        policy: &Policy,
        nonce: &[u8; 16],
    ) -> Result<Self, DocumentError> {
        if envelope.verify(&policy.time_keys).is_empty() {
            return Err(DocumentError::NotAuthorised(KIND));
        }
        let signed: Self = version::read(envelope, envelope::TIME, KIND)?;
        if signed.nonce != HEXLOWER.encode(nonce) {
            let what = "question";
            return Err(DocumentError::Foreign { kind: KIND, what });
        }
        Ok(signed)
    }
}

/// How far the server's clock is ahead of the host's, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockOffset {
    /// Server minus host.
    pub offset_ns: i64,
    /// The truth lies within this on either side: half of the time between question and answer.
    pub error_ns: i64,
}

impl ClockOffset {
    /// From the host's clock at the question and the time until the answer by the monotonic clock.
    ///
    /// `None` when the clocks are centuries apart.
    pub fn new(asked: Instant, waited: std::time::Duration, server: Instant) -> Option<Self> {
        let ns = |t: Instant| i128::from(t.seconds) * 1_000_000_000 + i128::from(t.ns);
        let half = i128::try_from(waited.as_nanos() / 2).ok()?;
        let offset = ns(server) - (ns(asked) + half);
        Some(Self {
            offset_ns: offset.try_into().ok()?,
            error_ns: half.try_into().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixtures::{World, at};

    #[test]
    fn only_a_time_key_answers_and_only_this_question() {
        let world = World::new();
        let signed = SignedTime {
            v: 1,
            nonce: HEXLOWER.encode(&[5; 16]),
            time: at(100),
        };
        let sign = |key| Envelope::sign_document(envelope::TIME, &signed, key).unwrap();
        let good = sign(&world.time_key);
        assert_eq!(
            SignedTime::open(&good, &world.policy, &[5; 16]).unwrap(),
            signed
        );
        assert!(SignedTime::open(&good, &world.policy, &[6; 16]).is_err());
        assert!(SignedTime::open(&sign(&world.ann), &world.policy, &[5; 16]).is_err());
    }

    #[test]
    fn the_offset_is_bounded_by_the_wait() {
        let offset = ClockOffset::new(at(100), Duration::from_secs(2), at(111)).unwrap();
        assert_eq!(offset.offset_ns, 10_000_000_000);
        assert_eq!(offset.error_ns, 1_000_000_000);
        assert_eq!(
            ClockOffset::new(at(i64::MIN), Duration::ZERO, at(i64::MAX)),
            None
        );
    }
}
