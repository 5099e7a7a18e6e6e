//! Whether the run waits before it reads on, as its limits want it: for the host's mains, for its hours of the week.
//!
//! It is asked only once what is gone in seconds is sealed. Time that is waited for counts for no limit.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use evidence::instant;
use protocol::{hours::Hours, messages::WaitsFor, profile::Limits};

use crate::{files::Pace, platform::power};

/// The host is asked no more often.
const LOOK: Duration = Duration::from_secs(2);

/// What the host says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// See [`power::is_on_mains`].
    pub is_on_mains: fn() -> Option<bool>,
    /// See [`instant::local_minute_of_week`].
    pub minute: fn() -> u16,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            is_on_mains: power::is_on_mains,
            minute: instant::local_minute_of_week,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Waits {
    host: Host,
    mains_only: bool,
    hours: Option<Hours>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_asked: bool,
    looked: Option<Instant>,
    waits: Option<(WaitsFor, Instant)>,
    waited: Duration,
}

impl Waits {
    /// As `limits` say.
    pub fn new(limits: &Limits, host: Host) -> Self {
        Self {
            host,
            mains_only: limits.mains_only,
            hours: limits.hours.clone(),
            state: Mutex::default(),
        }
    }

    /// From here on the run may wait.
    pub(super) fn begin(&self) {
        self.lock().is_asked = true;
    }

    /// Looks what the run waits for, and lets `pace` hold it or go on.
    pub(super) fn look(&self, pace: &Pace) -> Option<WaitsFor> {
        let mut state = self.lock();
        if state.is_asked && self.look_again(&mut state) {
            pace.hold(state.waits.is_some());
        }
        state.waits.map(|(why, _)| why)
    }

    /// What it would wait for, as of a moment ago, for whoever asks often of a run that does not go on now.
    pub fn would_wait_for(&self) -> Option<WaitsFor> {
        let mut state = self.lock();
        self.look_again(&mut state);
        state.waits.map(|(why, _)| why)
    }

    /// Asks the host, where it was not asked just now; says whether it did.
    fn look_again(&self, state: &mut State) -> bool {
        if state.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return false;
        }
        state.looked = Some(Instant::now());
        if let Some((_, since)) = state.waits.take() {
            state.waited += since.elapsed();
        }
        state.waits = self.why().map(|why| (why, Instant::now()));
        true
    }

    /// For how long it has waited in all.
    pub(super) fn waited(&self) -> Duration {
        let state = self.lock();
        let now = state
            .waits
            .map_or(Duration::ZERO, |(_, since)| since.elapsed());
        state.waited + now
    }

    /// Why nothing is worth waiting for: hours that never come.
    pub(super) fn in_vain(&self) -> Option<&'static str> {
        let never = self.hours.as_ref().is_some_and(|h| h.minutes_a_week() == 0);
        never.then_some("of the hours that its limits leave, there are none in the week")
    }

    /// Why a limit can't be held: the host does not say what it runs on.
    pub(super) fn unknowable(&self) -> Option<&'static str> {
        let is_unknown = self.mains_only && (self.host.is_on_mains)().is_none();
        is_unknown.then_some(
            "the host does not say whether it runs on mains; the run does not wait for it",
        )
    }

    /// What it would wait for in this moment.
    pub fn why(&self) -> Option<WaitsFor> {
        if self.mains_only && (self.host.is_on_mains)() == Some(false) {
            return Some(WaitsFor::Mains);
        }
        let hours = self.hours.as_ref()?;
        (!hours.contains((self.host.minute)())).then_some(WaitsFor::Hours)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(mains_only: bool, hours: &str) -> Limits {
        Limits {
            mains_only,
            hours: (!hours.is_empty()).then(|| hours.parse().unwrap()),
            ..Limits::default()
        }
    }

    /// On its battery, on Monday at noon.
    fn host() -> Host {
        Host {
            is_on_mains: || Some(false),
            minute: || 12 * 60,
        }
    }

    fn looked(limits: &Limits, host: Host) -> (Option<WaitsFor>, bool) {
        let (waits, pace) = (Waits::new(limits, host), Pace::free());
        assert_eq!(waits.look(&pace), None, "not before it may wait");
        waits.begin();
        (waits.look(&pace), pace.is_held())
    }

    #[test]
    fn it_waits_for_what_its_limits_name_and_for_nothing_else() {
        assert_eq!(looked(&limits(false, ""), host()), (None, false));
        assert_eq!(
            looked(&limits(true, ""), host()),
            (Some(WaitsFor::Mains), true)
        );
        let nights = limits(false, "Mon-Fri 18:00-08:00");
        assert_eq!(looked(&nights, host()), (Some(WaitsFor::Hours), true));
        let noon = limits(false, "Mon 12:00-12:01");
        assert_eq!(looked(&noon, host()), (None, false));
    }

    #[test]
    fn what_can_not_be_is_told() {
        let mute = Host {
            is_on_mains: || None,
            ..host()
        };
        let mains = Waits::new(&limits(true, ""), mute);
        assert!(mains.unknowable().is_some() && mains.why().is_none());
        assert!(Waits::new(&limits(true, ""), host()).unknowable().is_none());
        assert!(
            Waits::new(&limits(false, "never"), host())
                .in_vain()
                .is_some()
        );
        assert!(
            Waits::new(&limits(false, "Mon 08:00-09:00"), host())
                .in_vain()
                .is_none()
        );
    }

    #[test]
    fn time_that_it_waits_is_counted() {
        let (waits, pace) = (Waits::new(&limits(true, ""), host()), Pace::free());
        assert_eq!(waits.waited(), Duration::ZERO);
        waits.begin();
        waits.look(&pace);
        while waits.waited().is_zero() {
            std::hint::spin_loop();
        }
    }
}
