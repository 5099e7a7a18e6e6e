//! The server's signed time: how far the host's clock is from it, and that no order outlives it.
//!
//! The courier in between is not believed: it can only be late, which widens the bound.

use std::time::Duration;

use data_encoding::HEXLOWER;
use evidence::{envelope::Envelope, instant::Instant, records::Clock};
use protocol::{
    error::DocumentError,
    policy::Policy,
    time::{ClockOffset, SignedTime},
};

/// A question on its way.
#[derive(Debug, Clone)]
pub struct Question {
    nonce: [u8; 16],
    asked: Instant,
    since: std::time::Instant,
}

impl Question {
    /// A fresh one, at `now` by the host's clock.
    ///
    /// # Errors
    /// No random numbers.
    pub fn new(now: Instant) -> Result<Self, getrandom::Error> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        Ok(Self {
            nonce,
            asked: now,
            since: std::time::Instant::now(),
        })
    }

    /// The nonce as the link carries it.
    pub fn nonce(&self) -> String {
        HEXLOWER.encode(&self.nonce)
    }

    /// What the answer `signed`, that has just come, says.
    ///
    /// # Errors
    /// No time key of the policy has signed it over this nonce.
    pub fn answered(&self, signed: &str, policy: &Policy) -> Result<Answer, DocumentError> {
        self.judged(signed, policy, self.since.elapsed())
    }

    fn judged(
        &self,
        signed: &str,
        policy: &Policy,
        waited: Duration,
    ) -> Result<Answer, DocumentError> {
        let envelope = Envelope::parse(signed.as_bytes())?;
        let time = SignedTime::open(&envelope, policy, &self.nonce)?.time;
        let clock = ClockOffset::new(self.asked, waited, time).map(|offset| Clock {
            // The protocol has server minus host, the archive host minus server.
            offset_ms: -(offset.offset_ns / 1_000_000),
            bound_ms: offset.error_ns.unsigned_abs().div_ceil(1_000_000) + 1,
            measured: self.asked,
        });
        Ok(Answer { time, clock })
    }
}

/// What the server's time told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The server's time.
    pub time: Instant,
    /// The clock against it; none where the two are centuries apart.
    pub clock: Option<Clock>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::testing::{World, at};

    #[test]
    fn a_late_answer_widens_the_bound_and_another_key_tells_nothing() {
        let world = World::new();
        let question = Question::new(at(100)).unwrap();
        let signed = world.signed_time(&question.nonce(), at(98));
        let answer = question
            .judged(&signed, &world.policy, Duration::from_secs(2))
            .unwrap();
        let clock = answer.clock.unwrap();
        assert_eq!((clock.offset_ms, clock.bound_ms), (3000, 1001));
        assert_eq!(answer.time, at(98));
        let other = Question::new(at(100)).unwrap();
        assert!(other.answered(&signed, &world.policy).is_err());
        assert!(question.answered(&signed, &World::new().policy).is_err());
    }
}
