//! What is said again and again, and only once an hour.

use std::time::{Duration, Instant as Moment};

const EVERY: Duration = Duration::from_secs(3600);

/// When something was last said.
#[derive(Debug, Default)]
pub struct Seldom {
    said: Option<Moment>,
}

impl Seldom {
    /// Whether it is to be said `now`; it is said then.
    pub fn is_due(&mut self, now: Moment) -> bool {
        let is_due = self
            .said
            .is_none_or(|at| now.saturating_duration_since(at) >= EVERY);
        if is_due {
            self.said = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_and_then_once_an_hour() {
        let (mut seldom, begun) = (Seldom::default(), Moment::now());
        let minutes = (0..=180).map(|minute| begun + Duration::from_secs(60 * minute));
        let said: Vec<Moment> = minutes.filter(|now| seldom.is_due(*now)).collect();
        let hour = |count: u32| begun + EVERY * count;
        assert_eq!(said, [hour(0), hour(1), hour(2), hour(3)]);
    }
}
