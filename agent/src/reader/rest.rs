//! How long a collection still takes: a reckoning that says how it is meant, or says nothing.
//!
//! It knows how many files were found and are not dealt with yet, and how fast they were dealt with of late. While a walk
//! goes on, or artifacts are to come, that is the least that is left, and told as such. Nothing is reckoned from
//! nothing: too little seen, or a run that stands still, has no number. It has no clock of its own.

use std::time::Duration;

use protocol::messages::{Bound, Rest};

/// No pace is taken over less time than this.
const STEP: Duration = Duration::from_secs(1);
/// So long the pace of a moment counts.
const MEMORY: Duration = Duration::from_secs(10);
/// No number before so much was seen.
const LEAST_SEEN: Duration = Duration::from_secs(3);
const LEAST_SETTLED: u64 = 10;
/// A run that stands still for so long has no pace.
const STANDSTILL: Duration = Duration::from_secs(30);
/// How much of a new reckoning is believed at once.
const TRUST: f64 = 0.3;

/// What is known at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Since the run began.
    pub(super) at: Duration,
    /// Files that are dealt with.
    pub(super) settled: u64,
    /// Files that were found and are not dealt with.
    pub(super) waiting: u64,
    /// Whether every artifact has said all.
    pub(super) is_all_known: bool,
    /// How much of the limit on time is left, where there is one.
    pub(super) limit: Option<Duration>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reckoning {
    before: Option<(Duration, u64)>,
    seen: Duration,
    settled: u64,
    still: Duration,
    files_per_second: f64,
    told: Option<Told>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    at: Duration,
    seconds: f64,
    bound: Bound,
}

impl Reckoning {
    /// What is left, as far as it can be said.
    pub(super) fn rest(&mut self, look: Look) -> Option<Rest> {
        self.keep_pace(look);
        let reckoned = self.reckon(look);
        self.told = reckoned.map(|(seconds, bound)| self.smooth(look.at, seconds, bound));
        let limit = look.limit.map(|left| left.as_secs());
        match (self.told, limit) {
            (Some(told), limit) => Some(Rest {
                seconds: whole(told.seconds).min(limit.unwrap_or(u64::MAX)),
                bound: told.bound,
            }),
            (None, Some(seconds)) => Some(Rest {
                seconds,
                bound: Bound::AtMost,
            }),
            (None, None) => None,
        }
    }

    fn keep_pace(&mut self, look: Look) {
        let (at, settled) = *self.before.get_or_insert((look.at, look.settled));
        let took = look.at.saturating_sub(at);
        if took < STEP {
            return;
        }
        let done = look.settled.saturating_sub(settled);
        let now = done as f64 / took.as_secs_f64();
        // The mean at first; later the more of the old, the shorter the new one was seen.
        let memory = MEMORY.min(self.seen + took).as_secs_f64();
        let weight = 1.0 - (-took.as_secs_f64() / memory).exp();
        self.files_per_second += match self.seen.is_zero() {
            true => now,
            false => weight * (now - self.files_per_second),
        };
        self.before = Some((look.at, look.settled));
        self.seen += took;
        self.settled += done;
        self.still = match done {
            0 => self.still + took,
            _ => Duration::ZERO,
        };
    }

    fn reckon(&self, look: Look) -> Option<(f64, Bound)> {
        if look.is_all_known && look.waiting == 0 {
            return Some((0.0, Bound::About));
        }
        let has_pace = self.seen >= LEAST_SEEN
            && self.settled >= LEAST_SETTLED
            && self.still < STANDSTILL
            && self.files_per_second > 0.0;
        if !has_pace || look.waiting == 0 {
            return None;
        }
        let bound = match look.is_all_known {
            true => Bound::About,
            false => Bound::AtLeast,
        };
        Some((look.waiting as f64 / self.files_per_second, bound))
    }

    /// Goes gently from what was told to what is reckoned now. What is meant otherwise begins anew.
    fn smooth(&self, at: Duration, seconds: f64, bound: Bound) -> Told {
        let before = self.told.filter(|told| told.bound == bound);
        let seconds = match before {
            Some(told) if seconds > 0.0 => {
                // What is the least grows while it is worked off: it is not expected to fall.
                let gone = match bound {
                    Bound::About => at.saturating_sub(told.at).as_secs_f64(),
                    Bound::AtLeast | Bound::AtMost => 0.0,
                };
                let expected = (told.seconds - gone).max(0.0);
                expected + TRUST * (seconds - expected)
            }
            _ => seconds,
        };
        Told { at, seconds, bound }
    }
}

/// Seconds, rounded up: what is not over is not 0.
fn whole(seconds: f64) -> u64 {
    // Saturates: a number that fits no u64 is as good as endless.
    seconds.max(0.0).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at_s: u64, settled: u64, waiting: u64, is_all_known: bool) -> Look {
        Look {
            at: Duration::from_secs(at_s),
            settled,
            waiting,
            is_all_known,
            limit: None,
        }
    }

    fn about(seconds: u64) -> Option<Rest> {
        let bound = Bound::About;
        Some(Rest { seconds, bound })
    }

    #[test]
    fn a_steady_run_counts_down_to_nothing() {
        let mut reckoning = Reckoning::default();
        for at in 0..=60 {
            let rest = reckoning.rest(look(at, at * 10, 600 - at * 10, true));
            match at {
                // Nothing is made of nothing.
                0..=2 => assert_eq!(rest, None, "{at}"),
                _ => assert_eq!(rest, about(60 - at), "{at}"),
            }
        }
        assert_eq!(reckoning.rest(look(61, 600, 0, true)), about(0));
    }

    #[test]
    fn while_a_walk_goes_on_it_is_the_least() {
        let mut reckoning = Reckoning::default();
        for at in 0..=10 {
            let rest = reckoning.rest(look(at, at * 10, 200, false));
            if at >= 3 {
                let rest = rest.unwrap();
                assert_eq!((rest.seconds, rest.bound), (20, Bound::AtLeast));
            }
        }
        // The walk has found all, and that was more: from here on it is meant otherwise, and begins anew.
        assert_eq!(reckoning.rest(look(11, 110, 890, true)), about(89));
    }

    #[test]
    fn what_waits_for_artifacts_to_come_has_no_number() {
        let mut reckoning = Reckoning::default();
        for at in 0..=10 {
            assert_eq!(reckoning.rest(look(at, at * 10, 0, false)), None);
        }
    }

    #[test]
    fn a_slow_tail_makes_it_longer_bit_by_bit_and_never_shorter_than_the_truth_for_long() {
        let mut reckoning = Reckoning::default();
        let (mut settled, mut last) = (0, None);
        for at in 0..=400_u64 {
            // 90 files a second, and the last 100 one by one.
            settled = (settled + if settled < 900 { 90 } else { 1 }).min(1000);
            let rest = reckoning.rest(look(at, settled, 1000 - settled, true));
            let (Some(rest), Some(before)) = (rest, last) else {
                last = rest.or(last);
                continue;
            };
            let jump = rest.seconds.saturating_sub(before.seconds);
            assert!(jump <= 20, "{before:?} to {rest:?} at {at}");
            if settled > 960 {
                let truth = 1000 - settled;
                assert!(rest.seconds.abs_diff(truth) <= 12, "{rest:?}, not {truth}");
            }
            last = Some(rest);
        }
        assert_eq!(last, about(0));
    }

    #[test]
    fn a_run_that_stands_still_has_no_number_and_one_that_goes_on_has_one_again() {
        let mut reckoning = Reckoning::default();
        for at in 0..=20 {
            reckoning.rest(look(at, at * 10, 1000 - at * 10, true));
        }
        let mut last = about(80);
        for at in 21..=60 {
            let rest = reckoning.rest(look(at, 200, 800, true));
            let least = last.map_or(0, |l| l.seconds.saturating_sub(1));
            assert!(rest.is_none_or(|r| r.seconds >= least), "{last:?} {rest:?}");
            last = rest;
        }
        assert_eq!(last, None);
        assert!(reckoning.rest(look(61, 210, 790, true)).is_some());
    }

    #[test]
    fn the_limit_on_time_bounds_it_and_is_told_where_nothing_else_is_known() {
        let mut reckoning = Reckoning::default();
        let mut with = |at: u64, settled, waiting, left| {
            reckoning.rest(Look {
                limit: Some(Duration::from_secs(left)),
                ..look(at, settled, waiting, true)
            })
        };
        let first = with(0, 0, 1000, 60).unwrap();
        assert_eq!((first.seconds, first.bound), (60, Bound::AtMost));
        for at in 1..=10 {
            let rest = with(at, at * 2, 1000, 60 - at).unwrap();
            assert!(rest.seconds <= 60 - at);
        }
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_harms_nothing() {
        let mut reckoning = Reckoning::default();
        for at in [5, 5, 3, 9, 1, 30, 30] {
            let rest = reckoning.rest(look(at, at, u64::MAX, true));
            assert!(rest.is_none_or(|r| r.bound == Bound::About));
        }
    }
}
