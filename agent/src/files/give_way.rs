//! Gives way to other programs' use of the host's disks.
//!
//! Most disks know no priorities (NVMe, virtual ones), so that a busy reader beside others takes its full share of them.
//! What the idle class of reads and writes is elsewhere (ioprio(5) of Linux) is done here: a run reads freely while nobody
//! else uses the disks much; while others do, it reads for a moment and rests for many, and its rests show how much of
//! the disks they use. It never stops altogether: who waits for evidence gets some.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::platform::disks::{Disks, Look};

/// How often it is looked whether others use the disks, while none does.
const LOOK: Duration = Duration::from_millis(100);
/// The same after they turned out to use them little.
const CALM_LOOK: Duration = Duration::from_millis(500);
/// As much done for others in the time between two looks is nobody's work: logs, clocks.
const NOTHING_BYTES: i64 = 32 << 10;
/// What a file system writes beside our own is no more than such a part of it.
const ADDED_PART: i64 = 4;
/// No more than this of what we read is under way at once. Who is further behind read from elsewhere than the disks.
const READ_UNDER_WAY_BYTES: i64 = 64 << 20;
/// The same of what we have written and the disks have not: a few parts of an archive.
const WRITTEN_UNDER_WAY_BYTES: i64 = 256 << 20;
/// The first rest, which is there to see what others do.
const FIRST_REST: Duration = Duration::from_millis(20);
/// No rest is shorter: the kernel counts in a few milliseconds.
const SHORTEST_REST: Duration = FIRST_REST;
/// So long it reads between rests, at the least.
const SLICE: Duration = Duration::from_millis(10);
/// No rest is longer, however long a read took.
const LONGEST_REST: Duration = Duration::from_secs(2);
/// Others that keep a disk busy for a smaller share of the time than this are not in the way.
const CALM: f64 = 0.1;
/// From here on they have it to themselves but for [`LEAST`].
const BUSY: f64 = 0.5;
/// The smallest share of the time in which the run reads.
const LEAST: f64 = 1.0 / 16.0;

/// See the module.
pub(super) struct GiveWay {
    look: Box<dyn Fn() -> Option<Look> + Send + Sync>,
    state: Mutex<State>,
}

impl fmt::Debug for GiveWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GiveWay").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct State {
    /// The most that was ever seen done for others, read and written. What is seen may fall behind that for a while, when
    /// our own is counted before it is done.
    most: (i64, i64),
    /// What we had written when it was looked last.
    written: i64,
    phase: Phase,
    given: Duration,
}

#[derive(Debug)]
enum Phase {
    /// Nobody is in the way, as far as was seen; looks again then.
    Free { look_at: Instant },
    /// Rests, and sees what others do.
    Rest {
        since: Instant,
        until: Instant,
        busy: Vec<Duration>,
    },
    /// Reads for a moment, for such a share of the time.
    Slice { since: Instant, share: f64 },
}

impl GiveWay {
    /// On this host; none where it doesn't tell what its disks do.
    pub(super) fn on_this_host() -> Option<Self> {
        let disks = Disks::find()?;
        Self::by(move || disks.look())
    }

    /// By what `look` tells of the disks.
    pub(super) fn by(look: impl Fn() -> Option<Look> + Send + Sync + 'static) -> Option<Self> {
        let first = look()?;
        Some(Self {
            look: Box::new(look),
            state: Mutex::new(State::new(&first, Instant::now())),
        })
    }

    /// How long to wait now; none to go on.
    pub(super) fn nap(&self) -> Option<Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.nap(Instant::now(), &self.look)
    }

    /// For how long it has rested in all.
    pub(super) fn given(&self) -> Duration {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.given
    }
}

impl State {
    fn new(look: &Look, now: Instant) -> Self {
        Self {
            most: (look.read_for_others, look.written_for_others),
            written: look.written,
            phase: Phase::Free {
                look_at: now + LOOK,
            },
            given: Duration::ZERO,
        }
    }

    fn nap(&mut self, now: Instant, look: impl FnOnce() -> Option<Look>) -> Option<Duration> {
        match &self.phase {
            Phase::Free { look_at } if now < *look_at => None,
            Phase::Rest { until, .. } if now < *until => Some(*until - now),
            Phase::Slice { since, share } if now < *since + slice(*share) => None,
            _ => {
                // A host that doesn't tell any more is read freely.
                self.phase = match look() {
                    Some(look) => self.next(now, look),
                    None => free(now, CALM_LOOK),
                };
                match &self.phase {
                    Phase::Rest { until, .. } => Some(*until - now),
                    Phase::Free { .. } | Phase::Slice { .. } => None,
                }
            }
        }
    }

    /// What follows the phase that is over.
    fn next(&mut self, now: Instant, look: Look) -> Phase {
        let others = self.others(&look);
        match &self.phase {
            Phase::Free { .. } if others <= NOTHING_BYTES => free(now, LOOK),
            Phase::Free { .. } => rest(now, FIRST_REST, look),
            Phase::Slice { since, share } => {
                let read = now - *since;
                let length = read.mul_f64(1.0 / share - 1.0);
                let length = length.clamp(SHORTEST_REST, LONGEST_REST);
                rest(now, length, look)
            }
            Phase::Rest { since, until, busy } => {
                let rested = now - *since;
                // Whoever was held meanwhile gave nothing away by that.
                self.given += *until - *since;
                let busy = busiest(busy, &look.busy, rested);
                // It may be busy with what we have left to be written.
                let is_others = others > nothing_in(rested);
                match share(busy).filter(|_| is_others) {
                    None => free(now, CALM_LOOK),
                    Some(share) => Phase::Slice { since: now, share },
                }
            }
        }
    }

    /// What was done for others since the last look.
    fn others(&mut self, look: &Look) -> i64 {
        let read = beyond(&mut self.most.0, look.read_for_others, READ_UNDER_WAY_BYTES);
        let written = beyond(
            &mut self.most.1,
            look.written_for_others,
            WRITTEN_UNDER_WAY_BYTES,
        );
        let added = (look.written - self.written) / ADDED_PART;
        self.written = look.written;
        read + (written - added).max(0)
    }
}

/// By how much `now` is beyond the most that was seen. What falls further behind it than `under_way` explains is not
/// waited for.
fn beyond(most: &mut i64, now: i64, under_way: i64) -> i64 {
    let more = (now - *most).max(0);
    *most = (*most).max(now);
    if now < *most - under_way {
        *most = now;
    }
    more
}

/// What is nobody's work in `time`.
fn nothing_in(time: Duration) -> i64 {
    let part = time.as_secs_f64() / LOOK.as_secs_f64();
    (NOTHING_BYTES as f64 * part) as i64
}

/// So long the run reads between two rests to have such a share of the time.
fn slice(share: f64) -> Duration {
    let longer = share / (1.0 - share).max(f64::EPSILON);
    SLICE.max(SHORTEST_REST.mul_f64(longer).min(LONGEST_REST))
}

fn free(now: Instant, until: Duration) -> Phase {
    Phase::Free {
        look_at: now + until,
    }
}

fn rest(now: Instant, length: Duration, look: Look) -> Phase {
    Phase::Rest {
        since: now,
        until: now + length,
        busy: look.busy,
    }
}

/// For which share of `time` the busiest disk was busy.
fn busiest(before: &[Duration], after: &[Duration], time: Duration) -> f64 {
    let each = before.iter().zip(after);
    let most = each.map(|(before, after)| after.saturating_sub(*before));
    let most = most.max().unwrap_or_default();
    most.as_secs_f64() / time.as_secs_f64().max(f64::EPSILON)
}

/// For which share of the time the run may read beside others who keep a disk busy for the share `busy` of it; none
/// where they are not in the way.
fn share(busy: f64) -> Option<f64> {
    if busy < CALM {
        return None;
    }
    let way = ((busy - CALM) / (BUSY - CALM)).min(1.0);
    Some(1.0 + way * (LEAST - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn look(read: i64, written: i64, busy_ms: u64) -> Look {
        Look {
            read_for_others: read,
            written_for_others: written,
            written: 0,
            busy: vec![Duration::from_millis(busy_ms), Duration::ZERO],
        }
    }

    /// For how much of ten seconds a run reads, one millisecond at a time, on a host that `shows` so much at each of them.
    fn reads(shows: impl Fn(u64) -> Look) -> u64 {
        let begun = Instant::now();
        let mut state = State::new(&shows(0), begun);
        let (mut at, mut read) = (0, 0);
        while at < 10_000 {
            match state.nap(begun + MS * at as u32, || Some(shows(at))) {
                None => (at, read) = (at + 1, read + 1),
                Some(nap) => at += nap.as_millis().max(1) as u64,
            }
        }
        read
    }

    #[test]
    fn beside_nobody_it_reads_all_the_time() {
        // The disk is busy with our own reads, and each minute somebody writes a line.
        assert_eq!(reads(|at| look(0, at as i64, at)), 10_000);
    }

    #[test]
    fn own_reads_that_are_counted_before_they_are_done_are_nobody_elses() {
        let ahead = |at: u64| look(if at % 200 < 100 { 0 } else { -(8 << 20) }, 0, at);
        assert_eq!(reads(ahead), 10_000);
    }

    #[test]
    fn what_is_read_from_elsewhere_hides_others_for_a_while_only() {
        let begun = Instant::now();
        let mut state = State::new(&look(0, 0, 0), begun);
        assert_eq!(state.others(&look(-2 * READ_UNDER_WAY_BYTES, 0, 0)), 0);
        let more = look(-2 * READ_UNDER_WAY_BYTES + 5, 0, 0);
        assert_eq!(state.others(&more), 5);
        let far = -2 * WRITTEN_UNDER_WAY_BYTES;
        assert_eq!(state.others(&look(0, far, 0)), 2 * READ_UNDER_WAY_BYTES - 5);
        assert_eq!(state.others(&look(0, far + 7, 0)), 7);
    }

    #[test]
    fn what_a_file_system_adds_to_our_own_writes_is_ours_and_hides_nobody_for_long() {
        let begun = Instant::now();
        let mut state = State::new(&look(0, 0, 0), begun);
        let at = |written, others| Look {
            written,
            ..look(0, others, 0)
        };
        assert_eq!(state.others(&at(4000, 1000)), 0);
        assert_eq!(state.others(&at(4000, 1500)), 500);
        assert_eq!(state.others(&at(1 << 40, 1500)), 0);
        assert_eq!(state.others(&at(1 << 40, 2000)), 500);
    }

    #[test]
    fn a_disk_that_writes_what_we_left_to_it_keeps_nobody_from_reading() {
        // Others write a little now and then; the disk is busy all the time.
        let read = reads(|at| look(0, (at / 1000 * (1 << 20)) as i64, at));
        assert!(read > 9_500, "{read} ms");
    }

    #[test]
    fn beside_others_who_keep_a_disk_busy_it_reads_for_a_sixteenth_of_the_time() {
        for busy in [
            |at: u64| look((at << 16) as i64, 0, at),
            |at: u64| look(0, (at << 16) as i64, at),
        ] {
            let read = reads(busy);
            assert!((500..900).contains(&read), "{read} ms");
        }
    }

    #[test]
    fn beside_others_who_use_a_disk_little_it_reads_nearly_all_the_time() {
        let read = reads(|at| look((at << 10) as i64, 0, at / 20));
        assert!(read > 9_500, "{read} ms");
        let read = reads(|at| look((at << 10) as i64, 0, at * 3 / 10));
        assert!((4_000..7_000).contains(&read), "{read} ms");
    }

    #[test]
    fn it_reads_freely_again_once_others_are_through() {
        let ends = |at: u64| look((at.min(2_000) << 16) as i64, 0, at.min(2_000));
        let read = reads(ends);
        assert!((8_000..8_300).contains(&read), "{read} ms");
    }

    #[test]
    fn a_host_that_tells_no_more_is_read_freely() {
        let begun = Instant::now();
        let mut state = State::new(&look(0, 0, 0), begun);
        assert_eq!(state.nap(begun + LOOK, || None), None);
        assert_eq!(state.given, Duration::ZERO);
    }
}
