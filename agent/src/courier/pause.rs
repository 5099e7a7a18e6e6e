//! Waiting: until something happened, and between tries (exponential, with jitter and a cap).

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The first pause is about this long.
const FIRST: Duration = Duration::from_secs(1);
/// The first pause after a connection that was merely closed is at most this long.
const QUICK: Duration = Duration::from_millis(100);
/// No pause between tries is longer.
const LONGEST: Duration = Duration::from_secs(300);

/// How the next try should be timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// The connection was closed, as by a server that starts anew: once very soon, then as [`Retry::WhenBack`].
    Reconnect,
    /// Later, and at once when the server is heard of again.
    WhenBack,
    /// Later.
    Later,
    /// Not before this has passed.
    NotBefore(Duration),
}

/// The pauses of something that is tried again and again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    failures: u32,
    was_quick: bool,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(LONGEST)
    }
}

impl Backoff {
    /// With another cap.
    pub(super) fn up_to(longest: Duration) -> Self {
        Self {
            failures: 0,
            was_quick: false,
            longest,
        }
    }

    /// It went well: the next pause is short again.
    pub(super) fn reset(&mut self) {
        *self = Self::up_to(self.longest);
    }

    /// The pause after one more failure: between half and the whole of the step, so that many agents spread.
    pub(super) fn next(&mut self, retry: Retry) -> Duration {
        let is_first = self.failures == 0 && !std::mem::replace(&mut self.was_quick, true);
        if is_first && retry == Retry::Reconnect {
            return jitter(QUICK);
        }
        let step = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let step = match retry {
            // Those who were told the same second spread as well, and the more the longer they are at it.
            Retry::NotBefore(wait) => return wait + jitter((wait / 4).max(step)),
            Retry::Reconnect | Retry::WhenBack | Retry::Later => step,
        };
        step / 2 + jitter(step / 2)
    }
}

/// Between nothing and `most`.
fn jitter(most: Duration) -> Duration {
    let mut random = [0; 4];
    // Without random numbers agents don't spread, and nothing else is lost.
    let _ = getrandom::fill(&mut random);
    most.mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX))
}

/// Something happened: wakes whoever waits, who then looks what it was.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<u64>,
    waiting: Condvar,
}

impl Bell {
    /// How often it has rung.
    pub(super) fn count(&self) -> u64 {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all who wait.
    pub(super) fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.waiting.notify_all();
    }

    /// Waits until it has rung since `seen`, or until `deadline`.
    pub(super) fn wait(&self, seen: u64, deadline: Option<Instant>) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        while *rung == seen {
            let Some(deadline) = deadline else {
                rung = self
                    .waiting
                    .wait(rung)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            rung = self
                .waiting
                .wait_timeout(rung, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// What one thread leaves for another, with a ceiling.
#[derive(Debug)]
pub(super) struct Tray<T> {
    items: Mutex<VecDeque<T>>,
    most: usize,
}

impl<T> Tray<T> {
    /// An empty one for `most` items.
    pub(super) fn of(most: usize) -> Self {
        Self {
            items: Mutex::default(),
            most,
        }
    }

    /// Leaves an item and rings, or gives it back where the tray is full.
    pub(super) fn put(&self, item: T, bell: &Bell) -> Result<(), T> {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        if items.len() >= self.most {
            return Err(item);
        }
        items.push_back(item);
        drop(items);
        bell.ring();
        Ok(())
    }

    /// The oldest item.
    pub(super) fn take(&self) -> Option<T> {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        items.pop_front()
    }

    /// Whether nothing is there.
    pub(super) fn is_empty(&self) -> bool {
        let items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tray_keeps_the_order_and_its_ceiling() {
        let (tray, bell) = (Tray::of(2), Bell::default());
        assert_eq!(tray.put(1, &bell), Ok(()));
        assert_eq!(tray.put(2, &bell), Ok(()));
        assert_eq!(tray.put(3, &bell), Err(3));
        assert_eq!(
            (tray.take(), tray.take(), tray.take()),
            (Some(1), Some(2), None)
        );
    }

    #[test]
    fn pauses_grow_to_a_cap_and_spread() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..40).map(|_| backoff.next(Retry::Later)).collect();
        for (n, pause) in pauses.iter().enumerate() {
            let step = FIRST.saturating_mul(1 << n.min(16)).min(LONGEST);
            assert!((step / 2..=step).contains(pause), "{n}: {pause:?}");
        }
        assert!(pauses[20..].windows(2).any(|two| two[0] != two[1]));
        backoff.reset();
        assert!(backoff.next(Retry::Later) <= FIRST);
    }

    #[test]
    fn after_a_closed_connection_the_first_pause_is_short_and_the_next_are_not() {
        let mut backoff = Backoff::default();
        for _ in 0..2 {
            assert!(backoff.next(Retry::Reconnect) <= QUICK);
            for step in [FIRST, FIRST * 2, FIRST * 4] {
                let pause = backoff.next(Retry::Reconnect);
                assert!((step / 2..=step).contains(&pause), "{pause:?}");
            }
            backoff.reset();
        }
        // Only the first failure of a row is quick.
        backoff.next(Retry::WhenBack);
        assert!(backoff.next(Retry::Reconnect) >= FIRST);
    }

    #[test]
    fn a_server_that_names_a_time_is_not_asked_before() {
        let asked = Duration::from_secs(600);
        let pause = Backoff::default().next(Retry::NotBefore(asked));
        assert!((asked..=asked.mul_f64(1.25)).contains(&pause));
        // Many that are told the same second don't all come back in it.
        let mut backoff = Backoff::up_to(FIRST * 3600);
        for _ in 0..6 {
            backoff.next(Retry::Later);
        }
        let second = Duration::from_secs(1);
        let pauses = [(); 40].map(|()| backoff.next(Retry::NotBefore(second)));
        assert!(pauses.iter().all(|pause| *pause >= second));
        assert!(pauses.iter().any(|pause| *pause > second * 8));
    }

    #[test]
    fn a_ring_between_looking_and_waiting_is_not_missed() {
        let bell = Bell::default();
        let seen = bell.count();
        bell.ring();
        bell.wait(seen, None);
    }
}
