//! Orders that are signed once and make many collections of a host: standing ones by the clock, watches by what changes.
//!
//! Both end: with the order, by a cancellation, or with the last capture that they allow. When a capture of a standing
//! order is due is reckoned here, from the order and the host alone, so that everybody can reckon it again.

use std::collections::BTreeSet;

use evidence::{digest::Digest, ids::AgentId, instant::Instant};
use serde::{Deserialize, Serialize};

use crate::profile::{Profile, ProfileError};

/// No standing order collects more often.
pub const EVERY_LEAST_S: u64 = 60;
/// Nor less often than once in a year.
pub const EVERY_MOST_S: u64 = 366 * DAY_S as u64;
/// No watch waits longer for quiet.
pub const SETTLE_MOST_S: u64 = 3600;
/// No watch captures more often in an hour.
pub const PER_HOUR_MOST: u32 = 360;
/// No order makes more collections of one host.
pub const CAPTURES_MOST: u32 = 10_000;
/// No watch names more paths.
pub const WATCHED_MOST: usize = 256;
/// What never is quiet is captured after so many times the settle time.
pub const RESTLESS: u64 = 12;

const DAY_S: i64 = 86_400;
const DAY_MINUTES: u32 = 1440;
/// Hosts begin at different times within so much of a capture's room.
const SPREAD_MOST_S: i64 = 3600;
/// 1970 began on a Thursday; weeks are reckoned from a Monday.
const FIRST_DAY: i64 = 3;

/// How an order goes on making collections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Recurrence {
    /// By the clock.
    Standing {
        /// One collection in each such stretch of time, reckoned from the order's `not_before`.
        every_seconds: u64,
        /// Only then; at any time where it is left out.
        window: Option<Window>,
        /// So many at most.
        captures: u32,
    },
    /// When something of the order's paths changes or appears.
    Watch {
        /// So long nothing may have changed there before it is captured.
        settle_seconds: u64,
        /// So many in an hour at most; what changes meanwhile waits.
        per_hour: u32,
        /// So many at most.
        captures: u32,
    },
}

/// Stretches of the week, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The days on which it opens; every day where empty.
    pub days: BTreeSet<Day>,
    /// The minute of the day at which it opens.
    pub from_minute: u32,
    /// How long it stays open; past midnight too.
    pub minutes: u32,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "a day is a day")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// All of them, Monday first.
pub const WEEK: [Day; 7] = [
    Day::Monday,
    Day::Tuesday,
    Day::Wednesday,
    Day::Thursday,
    Day::Friday,
    Day::Saturday,
    Day::Sunday,
];

/// One turn of a standing order on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Its number, from 0 at the order's `not_before`.
    pub number: u64,
    /// From when on the host captures.
    pub due: Instant,
    /// From then on it is too late for this turn.
    pub end: Instant,
}

impl Recurrence {
    /// Whether it makes sense with `profile`, the order's parameters in it.
    ///
    /// # Errors
    /// A number is out of its bounds, or a watch has no paths.
    pub fn validate(&self, profile: &Profile) -> Result<(), ProfileError> {
        let invalid = |why: &str| Err(ProfileError::Invalid(why.to_owned()));
        let captures = match self {
            Self::Standing {
                every_seconds,
                window,
                captures,
            } => {
                if !(EVERY_LEAST_S..=EVERY_MOST_S).contains(every_seconds) {
                    return invalid("a standing order recurs every minute to every 366 days");
                }
                window.as_ref().map_or(Ok(()), Window::validate)?;
                captures
            }
            Self::Watch {
                settle_seconds,
                per_hour,
                captures,
            } => {
                if !(1..=SETTLE_MOST_S).contains(settle_seconds) {
                    return invalid("a watch waits 1 to 3,600 seconds for quiet");
                }
                if !(1..=PER_HOUR_MOST).contains(per_hour) {
                    return invalid("a watch captures 1 to 360 times in an hour");
                }
                if profile.paths.is_empty() || profile.paths.len() > WATCHED_MOST {
                    return invalid("a watch names 1 to 256 paths");
                }
                captures
            }
        };
        match (1..=CAPTURES_MOST).contains(captures) {
            true => Ok(()),
            false => invalid("an order makes 1 to 10,000 collections of a host"),
        }
    }

    /// How many collections of one host it makes at most.
    pub fn captures(&self) -> u32 {
        match self {
            Self::Standing { captures, .. } | Self::Watch { captures, .. } => *captures,
        }
    }
}

impl Window {
    fn validate(&self) -> Result<(), ProfileError> {
        let is_good = self.from_minute < DAY_MINUTES && (1..=DAY_MINUTES).contains(&self.minutes);
        match is_good {
            true => Ok(()),
            false => Err(ProfileError::Invalid(
                "a window opens at minute 0 to 1,439 of a day, for 1 to 1,440 minutes".to_owned(),
            )),
        }
    }

    fn opens_on(&self, day: i64) -> bool {
        let weekday = (day + FIRST_DAY).rem_euclid(7);
        let day = usize::try_from(weekday).ok().and_then(|d| WEEK.get(d));
        self.days.is_empty() || day.is_some_and(|day| self.days.contains(day))
    }

    /// The first stretch of it that ends after `from`, cut to `[from, until)`; seconds since 1970.
    fn within(&self, from: i64, until: i64) -> Option<(i64, i64)> {
        // One that opened the day before may still be open.
        let mut day = from.div_euclid(DAY_S) - 1;
        while day * DAY_S < until {
            let opens = day * DAY_S + i64::from(self.from_minute) * 60;
            let closes = opens + i64::from(self.minutes) * 60;
            let (start, end) = (opens.max(from), closes.min(until));
            if self.opens_on(day) && start < end {
                return Some((start, end));
            }
            day += 1;
        }
        None
    }
}

/// What the turns of a standing order hang on.
#[derive(Debug, Clone, Copy)]
pub struct Turns<'o> {
    /// Where they begin: the order's `not_before`.
    pub begin: Instant,
    /// How long each is.
    pub every_seconds: u64,
    /// When it may be.
    pub window: Option<&'o Window>,
    /// What spreads the hosts: a number of the host's own ([`spread`]).
    pub spread: u64,
}

/// A host's own number for an order: the same at each reckoning, and another for each host and order.
pub fn spread(agent: AgentId, order_sha256: Digest) -> u64 {
    let text = format!("fieldseal-spread-1\n{agent}\n{order_sha256}");
    let digest = Digest::of(text.as_bytes()).0;
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

impl Turns<'_> {
    /// The number of the turn that `at` lies in; none before the first.
    pub fn number_at(&self, at: Instant) -> Option<u64> {
        let since = at.seconds.checked_sub(self.begin.seconds)?;
        Some(u64::try_from(since).ok()? / self.every_seconds.max(1))
    }

    /// One turn; none where no window opens in it.
    pub fn turn(&self, number: u64) -> Option<Turn> {
        let every = i64::try_from(self.every_seconds).ok()?;
        let place = i64::try_from(number).ok()?.checked_mul(every)?;
        let from = self.begin.seconds.checked_add(place)?;
        let until = from.checked_add(every)?;
        let (start, end) = match self.window {
            Some(window) => window.within(from, until)?,
            None => (from, until),
        };
        // At most half of the room, so that the last host has time left as well.
        let room = ((end - start) / 2).clamp(1, SPREAD_MOST_S).unsigned_abs();
        let later = i64::try_from(self.spread % room).unwrap_or(0);
        let at = |seconds| Instant { seconds, ns: 0 };
        Some(Turn {
            number,
            due: at(start + later),
            end: at(end),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-28, a Saturday, at midnight.
    const SATURDAY: i64 = 1_795_824_000;
    const HOUR: i64 = 3600;

    fn at(seconds: i64) -> Instant {
        Instant { seconds, ns: 0 }
    }

    fn turns(begin: i64, every: i64, window: Option<&Window>) -> Turns<'_> {
        Turns {
            begin: at(begin),
            every_seconds: every.unsigned_abs(),
            window,
            spread: 0,
        }
    }

    fn night() -> Window {
        Window {
            days: BTreeSet::from([Day::Saturday]),
            from_minute: 22 * 60,
            minutes: 6 * 60,
        }
    }

    #[test]
    fn turns_follow_each_other_without_a_window() {
        let turns = turns(1000, 600, None);
        assert_eq!(turns.number_at(at(999)), None);
        assert_eq!(turns.number_at(at(1599)), Some(0));
        assert_eq!(turns.number_at(at(1600)), Some(1));
        let one = turns.turn(1).unwrap();
        assert_eq!((one.due, one.end), (at(1600), at(2200)));
    }

    #[test]
    fn a_window_over_midnight_is_one_stretch() {
        let window = night();
        let week = turns(SATURDAY, 7 * DAY_S, Some(&window));
        let first = week.turn(0).unwrap();
        assert_eq!(first.due, at(SATURDAY + 22 * HOUR));
        assert_eq!(first.end, at(SATURDAY + 28 * HOUR));
        assert_eq!(
            week.turn(1).unwrap().due,
            at(SATURDAY + 7 * DAY_S + 22 * HOUR)
        );
        // A week that begins on Sunday at one: what is left of the night that is open then.
        let late = turns(SATURDAY + 25 * HOUR, 7 * DAY_S, Some(&window));
        let rest = late.turn(0).unwrap();
        assert_eq!(rest.due, at(SATURDAY + 25 * HOUR));
        assert_eq!(rest.end, at(SATURDAY + 28 * HOUR));
    }

    #[test]
    fn a_turn_in_which_no_window_opens_is_none() {
        let window = night();
        let days = turns(SATURDAY, DAY_S, Some(&window));
        let due: Vec<_> = (0..8).map(|n| days.turn(n).map(|t| t.due)).collect();
        assert_eq!(due[0], Some(at(SATURDAY + 22 * HOUR)));
        // The night's second half lies in Sunday's turn.
        assert_eq!(due[1], Some(at(SATURDAY + 24 * HOUR)));
        assert!(due[2..7].iter().all(Option::is_none), "{due:?}");
        assert_eq!(due[7], Some(at(SATURDAY + 7 * DAY_S + 22 * HOUR)));
    }

    #[test]
    fn hosts_begin_at_times_of_their_own_within_the_first_half() {
        let order = Digest::of(b"order");
        let of = |host: u8| spread(AgentId::from_bytes([host; 16]), order);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_ne!(
            of(1),
            spread(AgentId::from_bytes([1; 16]), Digest::of(b"x"))
        );
        let mut due: BTreeSet<Instant> = BTreeSet::new();
        for host in 0..100 {
            let turns = Turns {
                spread: of(host),
                ..turns(0, 7 * DAY_S, None)
            };
            let turn = turns.turn(3).unwrap();
            let since = turn.due.seconds - 21 * DAY_S;
            assert!((0..SPREAD_MOST_S).contains(&since), "{since}");
            due.insert(turn.due);
        }
        assert!(due.len() > 80, "{}", due.len());
    }

    #[test]
    fn numbers_have_bounds_and_a_watch_has_paths() {
        let profile = |paths: &str| {
            let text = format!(
                "v: 1\nname: p\nabout: a\nartifacts: [{{name: files}}]\npaths: [{paths}]\n"
            );
            Profile::parse(&text).unwrap()
        };
        let standing = |every_seconds, captures| Recurrence::Standing {
            every_seconds,
            window: None,
            captures,
        };
        let watch = |settle_seconds, per_hour| Recurrence::Watch {
            settle_seconds,
            per_hour,
            captures: 5,
        };
        assert!(standing(60, 1).validate(&profile("")).is_ok());
        for bad in [standing(59, 1), standing(60, 0), standing(60, 10_001)] {
            assert!(bad.validate(&profile("")).is_err(), "{bad:?}");
        }
        assert!(
            standing(366 * 86_400 + 1, 1)
                .validate(&profile(""))
                .is_err()
        );
        assert!(watch(5, 12).validate(&profile("/etc")).is_ok());
        assert!(watch(5, 12).validate(&profile("")).is_err());
        for bad in [watch(0, 1), watch(3601, 1), watch(1, 0), watch(1, 361)] {
            assert!(bad.validate(&profile("/etc")).is_err(), "{bad:?}");
        }
        let closed = Recurrence::Standing {
            every_seconds: 60,
            window: Some(Window {
                minutes: 0,
                ..night()
            }),
            captures: 1,
        };
        assert!(closed.validate(&profile("")).is_err());
    }
}
