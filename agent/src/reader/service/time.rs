//! The server's signed time: asked for before anything is judged, done without where it doesn't come.

use std::time::Instant as Moment;

use evidence::records::Clock;

use super::{Service, ServiceError, TIME_WAIT};
use crate::link::{FromReader, FromSpool, LinkError};
use crate::reader::{follow::keep, signed_time::Question, state::Change};

impl Service {
    /// Asks for the server's time, and goes on without it where it doesn't come soon.
    pub(super) fn ask_time(&mut self) -> Result<Option<Clock>, ServiceError> {
        let question = Question::new((self.clock)())?;
        let nonce = question.nonce();
        if self.questions.len() == 8 {
            self.questions.pop_front();
        }
        self.questions.push_back(question);
        let ask = FromReader::AskTime {
            nonce: nonce.clone(),
        };
        match self.conversation.ask_until(&ask, Moment::now() + TIME_WAIT) {
            Ok((FromSpool::Time { signed, .. }, _)) => self.time_told(&nonce, signed.as_deref()),
            Ok(_) | Err(LinkError::GivenUp) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn time_told(
        &mut self,
        nonce: &str,
        signed: Option<&str>,
    ) -> Result<Option<Clock>, ServiceError> {
        let place = self.questions.iter().position(|q| q.nonce() == nonce);
        let (Some(place), Some(signed)) = (place, signed) else {
            return Ok(None);
        };
        let Some(question) = self.questions.remove(place) else {
            return Ok(None);
        };
        let answer = match question.answered(signed, &self.trust.policy) {
            Ok(answer) => answer,
            Err(error) => {
                self.journal
                    .warning(&format!("a signed time does not hold: {error}"));
                return Ok(None);
            }
        };
        let higher = self.known().known().highest_signed < Some(answer.time);
        if higher {
            keep(&self.state, Change::SignedTime { time: answer.time })?;
        }
        self.measured = answer.clock.or(self.measured);
        Ok(answer.clock)
    }
}
