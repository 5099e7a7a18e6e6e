//! The last errors, each once: when it was first and last met, how often, and whether it is over.

use evidence::instant::Instant;
use protocol::{
    health::{ERRORS_MAX, TEXT_BYTES_MAX, fitting},
    messages::ErrorSeen,
};
use serde::{Deserialize, Serialize};

/// What is no matter of the way to the server is over when it was not met for so long: nobody tells its end.
const STANDS_SECONDS: i64 = 3600;

/// The last few, the newest at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Errors(Vec<ErrorSeen>);

impl Errors {
    /// An error is met; says whether it did not stand already.
    pub(super) fn met(&mut self, text: &str, way: bool, now: Instant) -> bool {
        let text = fitting(text, TEXT_BYTES_MAX);
        let is_same = |e: &ErrorSeen| e.way == way && is_alike(&e.text, &text);
        let place = self.0.iter().position(is_same);
        let before = place.map(|at| self.0.remove(at));
        let is_new = before.as_ref().is_none_or(|before| before.over);
        if self.0.len() >= ERRORS_MAX {
            // What still stands is kept before what is over.
            self.0
                .remove(self.0.iter().position(|e| e.over).unwrap_or(0));
        }
        self.0.push(ErrorSeen {
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
            // One of a clock that was ahead would stand until that time comes.
            error.over |= error.way || !(0..STANDS_SECONDS).contains(&age);
        }
    }

    /// The newest that is not over.
    pub(super) fn standing(&self) -> Option<&ErrorSeen> {
        self.0.iter().rev().find(|error| !error.over)
    }

    /// All of them, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &ErrorSeen> {
        self.0.iter().rev()
    }
}

/// Whether two texts say the same but for their figures, which change with each time: free bytes, numbers of parts.
fn is_alike(one: &str, other: &str) -> bool {
    let words = |text: &str| {
        text.split(|c: char| c.is_ascii_digit())
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    words(one) == words(other)
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
            let letter = char::from(b'a' + (number % 26) as u8).to_string();
            errors.met(&letter.repeat(5000 + number as usize), true, at(number));
        }
        assert_eq!(errors.newest_first().count(), ERRORS_MAX);
        assert!(
            errors
                .newest_first()
                .all(|e| e.text.len() <= TEXT_BYTES_MAX)
        );
        assert!(errors.standing().unwrap().text.starts_with('v'));
    }

    #[test]
    fn figures_make_no_other_error_and_what_stands_outlives_what_is_over() {
        let mut errors = Errors::default();
        assert!(errors.met("no room: 17 bytes are free", false, at(1)));
        assert!(!errors.met("no room: 5 bytes are free", false, at(2)));
        errors.met("no route", true, at(2));
        errors.answered(at(3));
        for letter in 'a'..='g' {
            errors.met(&letter.to_string(), false, at(4));
        }
        let texts: Vec<_> = errors.newest_first().map(|e| e.text.as_str()).collect();
        assert_eq!(texts.len(), ERRORS_MAX);
        assert_eq!(texts.last(), Some(&"no room: 5 bytes are free"));
        // The clock was ahead when they were met.
        errors.answered(at(-1));
        assert_eq!(errors.standing(), None);
    }
}
