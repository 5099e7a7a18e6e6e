//! What a watch has seen and nobody has captured yet: bounded, and due once it is quiet.
//!
//! Nothing is dropped in silence: what does not fit any more makes the watch blind from then on, until it has looked at
//! everything again.

use std::{
    collections::BTreeMap,
    mem,
    path::{Path, PathBuf},
    time::{Duration, Instant as Moment},
};

use evidence::{
    capture::{Blind, Changed, Happened},
    instant::Instant,
};
use protocol::recurrence::RESTLESS;

use crate::platform::names::OsStrExt as _;

/// Paths that wait at most, and their bytes.
const WAITING_MOST: usize = 20_000;
const WAITING_BYTES: usize = 4 << 20;
/// What one capture takes of them: no profile names more paths.
pub(super) const TAKEN_MOST: usize = 4_096;
const TAKEN_BYTES: usize = 512 << 10;
/// Stretches of blindness that are told one by one.
const BLIND_MOST: usize = 64;

/// One path's changes.
#[derive(Debug, Clone)]
struct Seen {
    event: Happened,
    /// Whether it was not there when it was first seen.
    is_new: bool,
    first: Instant,
    last: Instant,
    times: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pending {
    settle: Duration,
    seen: BTreeMap<PathBuf, Seen>,
    bytes: usize,
    /// When the oldest and the newest of them was seen, by a clock that nobody sets.
    span: Option<(Moment, Moment)>,
    blind: Vec<Blind>,
    /// Since when something did not fit.
    full_since: Option<Instant>,
}

/// What one capture takes.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) changes: Vec<Changed>,
    pub(super) blind: Vec<Blind>,
    /// Since when something did not fit: everything that changed since must be looked for again.
    pub(super) look_since: Option<Instant>,
    /// Whether something is left for the next capture.
    pub(super) leaves_some: bool,
}

impl Pending {
    pub(super) fn new(settle: Duration) -> Self {
        Self {
            settle,
            seen: BTreeMap::new(),
            bytes: 0,
            span: None,
            blind: Vec::new(),
            full_since: None,
        }
    }

    /// Something happened to `path`.
    pub(super) fn note(&mut self, path: &Path, event: Happened, at: Instant, now: Moment) {
        if let Some(seen) = self.seen.get_mut(path) {
            seen.times = seen.times.saturating_add(1);
            seen.last = seen.last.max(at);
            seen.first = seen.first.min(at);
            seen.event = event;
        } else if !self.add(path, event, at) {
            self.full_since.get_or_insert(at);
            return;
        }
        let oldest = self.span.map_or(now, |(oldest, _)| oldest);
        self.span = Some((oldest, now));
    }

    fn add(&mut self, path: &Path, event: Happened, at: Instant) -> bool {
        let bytes = path.as_os_str().len();
        if self.seen.len() >= WAITING_MOST || self.bytes + bytes > WAITING_BYTES {
            return false;
        }
        self.bytes += bytes;
        let seen = Seen {
            event,
            is_new: event == Happened::Appeared,
            first: at,
            last: at,
            times: 1,
        };
        self.seen.insert(path.to_path_buf(), seen);
        true
    }

    /// `from` got the name `to`: an editor's new file in the old one's place leaves nothing behind to look for.
    pub(super) fn renamed(&mut self, from: &Path) {
        if self.seen.get(from).is_some_and(|seen| seen.is_new) {
            self.seen.remove(from);
            self.bytes -= from.as_os_str().len();
        }
    }

    /// The watch may have missed something.
    pub(super) fn blind(&mut self, from: Instant, until: Instant, why: &str) {
        let is_full = self.blind.len() >= BLIND_MOST;
        if let Some(last) = self.blind.last_mut()
            && (is_full || last.why == why)
        {
            last.until = until;
            return;
        }
        self.blind.push(Blind {
            from,
            until,
            why: why.to_owned(),
        });
    }

    /// Whether something of `path` waits.
    #[cfg(test)]
    pub(super) fn has(&self, path: &Path) -> bool {
        self.seen.contains_key(path)
    }

    /// Whether all of it has been quiet for the settle time, or some of it waits for too long.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        let restless = self
            .settle
            .saturating_mul(u32::try_from(RESTLESS).unwrap_or(u32::MAX));
        self.span.is_some_and(|(oldest, newest)| {
            now.saturating_duration_since(newest) >= self.settle
                || now.saturating_duration_since(oldest) >= restless
        })
    }

    /// What the next capture takes. Whether a path is there now is for `is_there` to say: what was removed since it was
    /// seen is told as removed.
    pub(super) fn take(&mut self, now: Moment, is_there: impl Fn(&Path) -> bool) -> Taken {
        let mut taken = Taken::default();
        let mut bytes = 0;
        while let Some(entry) = self.seen.first_entry() {
            bytes += entry.key().as_os_str().len();
            if taken.changes.len() >= TAKEN_MOST || bytes > TAKEN_BYTES {
                break;
            }
            let (path, seen) = entry.remove_entry();
            self.bytes -= path.as_os_str().len();
            taken.changes.push(changed(&path, &seen, is_there(&path)));
        }
        taken.blind = mem::take(&mut self.blind);
        taken.look_since = self.full_since.take();
        taken.leaves_some = !self.seen.is_empty();
        // What is left waits for no more quiet than it had.
        self.span = self.span.filter(|_| taken.leaves_some);
        if let Some((oldest, _)) = &mut self.span {
            *oldest = now;
        }
        taken
    }
}

fn changed(path: &Path, seen: &Seen, is_there: bool) -> Changed {
    let event = match (is_there, seen.event) {
        (false, _) => Happened::Removed,
        (true, _) if seen.is_new => Happened::Appeared,
        (true, _) => Happened::Changed,
    };
    let bytes = path.as_os_str().as_bytes();
    Changed::new(bytes, event, (seen.first, seen.last), seen.times)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(5);

    fn at(seconds: i64) -> Instant {
        Instant { seconds, ns: 0 }
    }

    fn after(start: Moment, seconds: u64) -> Moment {
        start + Duration::from_secs(seconds)
    }

    fn note(pending: &mut Pending, path: &str, event: Happened, start: Moment, seconds: u64) {
        let time = at(i64::try_from(seconds).unwrap());
        pending.note(Path::new(path), event, time, after(start, seconds));
    }

    #[test]
    fn several_changes_within_the_settle_time_are_one() {
        let (start, mut pending) = (Moment::now(), Pending::new(SETTLE));
        assert!(!pending.is_due(after(start, 1000)));
        note(&mut pending, "/a", Happened::Changed, start, 0);
        note(&mut pending, "/a", Happened::Changed, start, 3);
        note(&mut pending, "/b", Happened::Appeared, start, 4);
        assert!(!pending.is_due(after(start, 8)));
        assert!(pending.is_due(after(start, 9)));
        let taken = pending.take(after(start, 9), |_| true);
        let told = taken.changes.iter();
        let told: Vec<_> = told.map(|c| (c.path.as_str(), c.event, c.times)).collect();
        assert_eq!(
            told,
            [("/a", Happened::Changed, 2), ("/b", Happened::Appeared, 1)]
        );
        assert_eq!(
            (taken.changes[0].first, taken.changes[0].last),
            (at(0), at(3))
        );
        assert!(!taken.leaves_some && !pending.is_due(after(start, 1000)));
    }

    #[test]
    fn what_never_is_quiet_is_captured_all_the_same() {
        let (start, mut pending) = (Moment::now(), Pending::new(SETTLE));
        for second in 0..=60 {
            assert!(!pending.is_due(after(start, second.min(59))), "{second}");
            note(&mut pending, "/log", Happened::Changed, start, second);
        }
        assert!(pending.is_due(after(start, 60)));
    }

    #[test]
    fn what_is_gone_is_told_as_removed_and_an_editors_way_leaves_nothing() {
        let (start, mut pending) = (Moment::now(), Pending::new(SETTLE));
        note(&mut pending, "/gone", Happened::Appeared, start, 1);
        note(&mut pending, "/a.swp", Happened::Appeared, start, 1);
        note(&mut pending, "/a", Happened::Changed, start, 1);
        pending.renamed(Path::new("/a.swp"));
        // One that was there before is gone under its name.
        note(&mut pending, "/old", Happened::Removed, start, 2);
        pending.renamed(Path::new("/old"));
        let taken = pending.take(after(start, 9), |path| path == Path::new("/a"));
        let told = taken.changes.iter().map(|c| (c.path.as_str(), c.event));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                ("/a", Happened::Changed),
                ("/gone", Happened::Removed),
                ("/old", Happened::Removed)
            ]
        );
        assert_eq!(pending.bytes, 0);
    }

    #[test]
    fn a_storm_is_bounded_and_says_from_when_it_did_not_fit() {
        let (start, mut pending) = (Moment::now(), Pending::new(SETTLE));
        for n in 0..30_000 {
            note(
                &mut pending,
                &format!("/d/{n:06}"),
                Happened::Appeared,
                start,
                n / 1000,
            );
        }
        assert_eq!(pending.seen.len(), WAITING_MOST);
        let first = pending.take(after(start, 40), |_| true);
        assert_eq!(first.changes.len(), TAKEN_MOST);
        assert_eq!(first.look_since, Some(at(20)));
        assert!(first.leaves_some && pending.is_due(after(start, 41)));
        let mut all = first.changes.len();
        while !pending.seen.is_empty() {
            all += pending.take(after(start, 50), |_| true).changes.len();
        }
        assert_eq!(all, WAITING_MOST);
    }

    #[test]
    fn blindness_of_one_kind_is_one_stretch() {
        let mut pending = Pending::new(SETTLE);
        for n in 0..200 {
            pending.blind(at(n), at(n + 1), "the queue ran over");
        }
        pending.blind(at(300), at(301), "no more watches");
        let blind = pending.take(Moment::now(), |_| true).blind;
        assert_eq!(blind.len(), 2);
        assert_eq!((blind[0].from, blind[0].until), (at(0), at(200)));
    }
}
