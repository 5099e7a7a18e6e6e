//! The last errors, each once: when it was first and last met, how often, and whether it is over.

use evidence::instant::Instant;
use protocol::health::{ERRORS_MAX, TEXT_BYTES_MAX, fitting};
use serde::{Deserialize, Serialize};

/// What is no matter of the way to the server is over when it was not met for so long: nobody tells its end.
const STANDS_SECONDS: i64 = 3600;

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenError {
    /// What, for people.
    pub text: String,
    /// Whether it is about the server, or the way to it: such an error is over once the server answers.
    pub way: bool,
    /// When it was first met.
    pub first: Instant,
    /// When it was last met.
    pub last: Instant,
    /// How often.
    pub times: u32,
    /// Whether it is over.
    pub over: bool,
}

/// The last few, the newest at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Errors(Vec<SeenError>);

impl Errors {
    /// An error is met; says whether it did not stand already.
    pub(super) fn met(&mut self, text: &str, way: bool, now: Instant) -> bool {
        let text = fitting(text, TEXT_BYTES_MAX);
        let place = self.0.iter().position(|e| e.text == text && e.way == way);
        let before = place.map(|at| self.0.remove(at));
        let is_new = before.as_ref().is_none_or(|before| before.over);
        if self.0.len() >= ERRORS_MAX {
            self.0.remove(0);
        }
        self.0.push(SeenError {
            first: before.as_ref().map_or(now, |before| before.first),
            times: before.map_or(0, |before| before.times).saturating_add(1),
            last: now,
            over: false,
            text,
            way,
        });
        is_new
    }

    /// The server has answered.
    pub(super) fn answered(&mut self, now: Instant) {
        for error in &mut self.0 {
            let age = now.seconds.saturating_sub(error.last.seconds);
            error.over |= error.way || age >= STANDS_SECONDS;
        }
    }

    /// The newest that is not over.
    pub(super) fn standing(&self) -> Option<&SeenError> {
        self.0.iter().rev().find(|error| !error.over)
    }

    /// All of them, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &SeenError> {
        self.0.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Instant {
        Instant { seconds, ns: 0 }
    }

    #[test]
    fn an_answer_ends_what_is_about_the_way_and_nothing_else() {
        let mut errors = Errors::default();
        assert!(errors.met("no disk", false, at(1)));
        assert!(errors.met("no route", true, at(2)));
        assert!(!errors.met("no route", true, at(3)), "the same once more");
        assert_eq!(errors.standing().unwrap().text, "no route");
        errors.answered(at(60));
        assert_eq!(errors.standing().unwrap().text, "no disk");
        errors.answered(at(1 + STANDS_SECONDS));
        assert_eq!(errors.standing(), None);
        let told: Vec<_> = errors.newest_first().collect();
        assert!(told.iter().all(|e| e.over));
        assert_eq!(
            (told[0].first, told[0].last, told[0].times),
            (at(2), at(3), 2)
        );
        assert!(errors.met("no route", true, at(70)), "it is back");
        assert_eq!(errors.standing().unwrap().times, 3);
    }

    #[test]
    fn they_are_few_and_short() {
        let mut errors = Errors::default();
        for number in 0..100 {
            errors.met(&format!("{number} {}", "x".repeat(5000)), true, at(number));
        }
        assert_eq!(errors.newest_first().count(), ERRORS_MAX);
        assert!(
            errors
                .newest_first()
                .all(|e| e.text.len() <= TEXT_BYTES_MAX)
        );
        assert!(errors.standing().unwrap().text.starts_with("99 "));
    }
}
