//! How fast the host may be read, whether to stop, and a sign of life: what every thread that reads carries along.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use protocol::profile::Limits;

use super::give_way::GiveWay;
use crate::platform::program;

/// No sleep is longer, so that a stop is seen soon.
const NAP: Duration = Duration::from_millis(50);
/// The same while the run is held, which may last for hours.
const HELD_NAP: Duration = Duration::from_millis(1000);
/// The processor's time is looked at no more often.
const LOOK: Duration = Duration::from_millis(20);
/// So far a run that was held up by something else may catch up with its rate.
const CREDIT: Duration = Duration::from_millis(500);
/// Over so long the share of the processors is held.
const WINDOW: Duration = Duration::from_secs(1);

/// The limits of one run, shared by all that read in it.
#[derive(Debug)]
struct Limiter {
    begun: Instant,
    io_bytes_per_second: u64,
    cpu_percent: u64,
    cores: u64,
    stop: AtomicBool,
    held: AtomicBool,
    /// None on a host that doesn't tell what its disks do.
    gives_way: OnceLock<Option<GiveWay>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// From when on bytes may be read again.
    free_at: Instant,
    window: Instant,
    window_cpu: Duration,
    looked: Instant,
}

/// One thread's hold on the limits of its run.
#[derive(Debug, Clone)]
pub struct Pace {
    limiter: Arc<Limiter>,
    /// Milliseconds since the run began when the holder last came back from waiting; 0 while it waits by our will.
    sign: Arc<AtomicU64>,
}

impl Pace {
    /// As `limits` say.
    pub fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        Self {
            limiter: Arc::new(Limiter {
                begun: now,
                io_bytes_per_second: limits.io_bytes_per_second,
                cpu_percent: limits.cpu_percent,
                cores: program::processors(),
                stop: AtomicBool::new(false),
                held: AtomicBool::new(false),
                gives_way: OnceLock::new(),
                state: Mutex::new(State {
                    free_at: now,
                    window: now,
                    window_cpu: cpu_time(),
                    looked: now,
                }),
            }),
            sign: Arc::default(),
        }
    }

    /// Without limits.
    pub fn free() -> Self {
        Self::new(&Limits::default())
    }

    /// The same limits for another thread, with a sign of life of its own.
    pub fn another(&self) -> Self {
        Self {
            limiter: Arc::clone(&self.limiter),
            sign: Arc::default(),
        }
    }

    /// Tells every holder to stop.
    pub fn stop(&self) {
        self.limiter.stop.store(true, Ordering::Relaxed);
    }

    /// Whether to stop.
    pub fn is_stopped(&self) -> bool {
        self.limiter.stop.load(Ordering::Relaxed)
    }

    /// Holds every holder at its next read, or lets them go on.
    pub fn hold(&self, is_held: bool) {
        self.limiter.held.store(is_held, Ordering::Relaxed);
    }

    /// From here on the run gives way to others who use the host's disks.
    pub fn give_way(&self) {
        self.limiter.gives_way.get_or_init(GiveWay::on_this_host);
    }

    /// For how long it has rested for others' sake.
    pub fn given_way(&self) -> Duration {
        self.gives_way().map_or(Duration::ZERO, GiveWay::given)
    }

    fn gives_way(&self) -> Option<&GiveWay> {
        self.limiter.gives_way.get()?.as_ref()
    }

    /// Whether the run is held.
    pub fn is_held(&self) -> bool {
        self.limiter.held.load(Ordering::Relaxed)
    }

    /// How long to wait before looking again, where `usually` would do: a run that is held leaves the host alone.
    pub fn tick(&self, usually: Duration) -> Duration {
        match self.is_held() && !self.is_stopped() {
            true => usually.max(HELD_NAP),
            false => usually,
        }
    }

    /// After a read of `bytes`, or some other work: waits as long as the limits want.
    pub fn passed(&self, bytes: usize) {
        self.works();
        let limiter = &self.limiter;
        let is_limited = limiter.io_bytes_per_second > 0 || (1..100).contains(&limiter.cpu_percent);
        if is_limited {
            let until = limiter.until(bytes as u64);
            self.wait(|| Some(until.saturating_duration_since(Instant::now()).min(NAP)));
        }
        if let Some(way) = self.gives_way() {
            self.wait(|| Some(way.nap()?.min(NAP)));
        }
        self.wait(|| self.is_held().then_some(HELD_NAP));
    }

    /// While `nap` gives one, or until the stop.
    fn wait(&self, nap: impl Fn() -> Option<Duration>) {
        while let Some(nap) = nap().filter(|nap| !nap.is_zero()) {
            if self.is_stopped() {
                break;
            }
            self.waits();
            thread::sleep(nap);
            self.works();
        }
    }

    /// The holder begins to wait for ourselves, not for the host.
    pub fn waits(&self) {
        self.sign.store(0, Ordering::Relaxed);
    }

    /// The holder asks something of the host now.
    pub fn works(&self) {
        let now = self.limiter.begun.elapsed().as_millis() as u64;
        self.sign.store(now.max(1), Ordering::Relaxed);
    }

    /// For how long the host has not answered the holder.
    pub fn silent_for(&self) -> Duration {
        match self.sign.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self
                .limiter
                .begun
                .elapsed()
                .saturating_sub(Duration::from_millis(since)),
        }
    }
}

impl Limiter {
    /// Until when to wait after `bytes` were read.
    fn until(&self, bytes: u64) -> Instant {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let mut until = now;
        if self.io_bytes_per_second > 0 {
            let took = Duration::from_secs_f64(bytes as f64 / self.io_bytes_per_second as f64);
            let earliest = now.checked_sub(CREDIT).unwrap_or(now);
            state.free_at = state.free_at.max(earliest) + took;
            until = state.free_at;
        }
        if (1..100).contains(&self.cpu_percent) && now.duration_since(state.looked) >= LOOK {
            state.looked = now;
            let used = cpu_time().saturating_sub(state.window_cpu);
            let share = self.cpu_percent as f64 / 100.0 * self.cores as f64;
            until = until.max(state.window + used.div_f64(share));
            if now.duration_since(state.window) >= WINDOW {
                state.window = until.max(now);
                state.window_cpu = cpu_time();
            }
        }
        until
    }
}

/// What this process has used of all processors; where the system doesn't say, no share is held.
fn cpu_time() -> Duration {
    program::cpu_time().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::disks::Look;

    #[test]
    fn bytes_are_paid_for_with_time() {
        let begun = Instant::now();
        let pace = Pace::new(&Limits {
            io_bytes_per_second: 1000,
            ..Limits::default()
        });
        let first = pace.limiter.until(500);
        let second = pace.limiter.until(500);
        assert!(first >= begun + Duration::from_millis(500));
        assert!(second >= begun + Duration::from_millis(1000));
    }

    #[test]
    fn who_was_held_up_catches_up_by_half_a_second_and_no_more() {
        let pace = Pace::new(&Limits {
            io_bytes_per_second: 1000,
            ..Limits::default()
        });
        let before = Instant::now().checked_sub(2 * CREDIT).unwrap();
        pace.limiter.state.lock().unwrap().free_at = before;
        let now = Instant::now();
        let until = pace.limiter.until(1000);
        assert!(until >= now + Duration::from_millis(500));
        assert!(until <= Instant::now() + Duration::from_millis(500));
    }

    #[test]
    fn time_beyond_the_share_of_the_processors_is_waited_for() {
        let pace = Pace::new(&Limits {
            cpu_percent: 1,
            ..Limits::default()
        });
        let begun = cpu_time();
        while cpu_time() - begun < Duration::from_millis(40) {
            std::hint::spin_loop();
        }
        let share = pace.limiter.cores as u32;
        let until = pace.limiter.until(1);
        assert!(until >= pace.limiter.begun + Duration::from_millis(4000) / share);
    }

    /// Beside somebody who reads all the time from a disk that is busy with that.
    fn beside_a_reader() -> Pace {
        let pace = Pace::free();
        let begun = Instant::now();
        let way = GiveWay::by(move || {
            let busy = begun.elapsed();
            Some(Look {
                read_for_others: busy.as_micros() as i64 * 100,
                busy: vec![busy],
                ..Look::default()
            })
        });
        pace.limiter.gives_way.set(way).unwrap();
        pace
    }

    #[test]
    fn it_rests_while_others_read_and_a_stop_ends_that() {
        let pace = beside_a_reader();
        let mut had_turns = 0;
        while pace.given_way() < Duration::from_millis(300) {
            pace.passed(1);
            had_turns += 1;
        }
        assert!(had_turns > 0);
        let other = pace.another();
        while pace.gives_way().unwrap().nap().is_none() {}
        pace.stop();
        other.passed(1);
        assert_eq!(Pace::free().given_way(), Duration::ZERO);
    }

    #[test]
    fn a_stop_ends_the_wait_and_a_wait_is_no_silence() {
        let pace = Pace::new(&Limits {
            io_bytes_per_second: 1,
            ..Limits::default()
        });
        pace.stop();
        pace.passed(1 << 30);
        assert!(pace.is_stopped() && pace.another().is_stopped());
        pace.waits();
        assert_eq!(pace.silent_for(), Duration::ZERO);
    }
}
