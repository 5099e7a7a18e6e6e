//! What the agent has cost the host in the last day: both halves' processor time, and the most memory at once.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::platform::program::Use;

/// What is told is about the last day, or since the start.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Looks that are closer together than this are one.
const APART: Duration = Duration::from_secs(15 * 60);

/// The looks at one process over the last day.
#[derive(Debug, Default)]
struct Looks {
    all: VecDeque<(Instant, u64)>,
    last: Use,
}

impl Looks {
    fn note(&mut self, now: Instant, used: Use) {
        self.last = used;
        let is_soon = |(at, _): &(Instant, u64)| now.duration_since(*at) < APART;
        if !self.all.back().is_some_and(is_soon) {
            self.all.push_back((now, used.cpu_ms));
        }
        let is_old = |(at, _): &(Instant, u64)| now.duration_since(*at) > DAY;
        while self.all.get(1).is_some_and(is_old) {
            self.all.pop_front();
        }
    }

    fn day_ms(&self, now: Instant) -> u64 {
        // Before the first look there was the start, at which nothing was used.
        let before = self.all.front();
        let before = before.filter(|(at, _)| now.duration_since(*at) > DAY);
        self.last
            .cpu_ms
            .saturating_sub(before.map_or(0, |(_, ms)| *ms))
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Used {
    reader: Looks,
    courier: Looks,
}

impl Used {
    /// The reader has told what it used; gives what both have used in the last day, and their peaks.
    pub(super) fn note(&mut self, now: Instant, reader: Use, own: Use) -> Use {
        self.reader.note(now, reader);
        self.courier.note(now, own);
        Use {
            cpu_ms: self.reader.day_ms(now) + self.courier.day_ms(now),
            memory_peak_bytes: reader.memory_peak_bytes + own.memory_peak_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(cpu_ms: u64) -> Use {
        Use {
            cpu_ms,
            memory_peak_bytes: 10,
        }
    }

    #[test]
    fn the_last_day_alone_counts() {
        let (start, hour) = (Instant::now(), Duration::from_secs(3600));
        let mut used = Used::default();
        let told = used.note(start, cpu(5), cpu(1));
        assert_eq!((told.cpu_ms, told.memory_peak_bytes), (6, 20));
        for at in 1..=30 {
            let told = used.note(start + at * hour, cpu(5 + u64::from(at) * 100), cpu(1));
            let wanted = match at {
                ..=24 => 6 + u64::from(at) * 100,
                // From the look of a day ago, or the last one before it.
                _ => 2500,
            };
            assert_eq!(told.cpu_ms, wanted, "{at}");
        }
        assert!(used.reader.all.len() <= 26);
    }
}
