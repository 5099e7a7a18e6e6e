//! Where each artifact stands, and how much of the profile's limits is used up.
//!
//! An artifact is finished once it has said all, every file that it named is stored, and every part that holds
//! something of it is durable: only then may a later attempt leave it out.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use protocol::profile::Limits;

use super::task::Spent;
use crate::files::Outside;

/// The counts of one run.
#[derive(Debug)]
pub(super) struct Tally {
    standings: Mutex<BTreeMap<String, Standing>>,
    files: AtomicU64,
    file_bytes: AtomicU64,
    dealt_with: AtomicU64,
    most_files: u64,
    most_bytes: u64,
    before: Spent,
}

/// One artifact.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// It has said all.
    pub(super) is_said: bool,
    /// Files that it named and that are not stored yet.
    pub(super) waiting: u64,
    /// The lanes whose open part holds something of it, a bit each.
    lanes: u64,
    /// Something of it was in a part that could not be sealed.
    pub(super) is_lost: bool,
    /// Files that this attempt has taken for it, and their bytes.
    files: u64,
    file_bytes: u64,
    /// Files that a limit left out.
    pub(super) beyond: u64,
    /// Files that the order's scope left out and that are not told yet, in the order of [`Outside::ALL`].
    pub(super) outside: [u64; 3],
    /// An earlier attempt has finished it.
    is_before: bool,
}

impl Standing {
    /// Whether it is gathered, though not all of it may be durable.
    pub(super) fn is_whole(&self) -> bool {
        self.is_before || (self.is_said && self.waiting == 0)
    }
}

impl Tally {
    /// With the limits of the run, what an earlier attempt has finished, and what that took of the limits.
    pub(super) fn new(limits: &Limits, finished: &[String], spent: Spent) -> Self {
        let before = Standing {
            is_said: true,
            is_before: true,
            ..Standing::default()
        };
        let standings = finished.iter().map(|name| (name.clone(), before));
        Self {
            standings: Mutex::new(standings.collect()),
            files: AtomicU64::new(spent.files),
            file_bytes: AtomicU64::new(spent.file_bytes),
            dealt_with: AtomicU64::new(0),
            most_files: limits.files,
            most_bytes: limits.size_bytes,
            before: spent,
        }
    }

    /// What `finished` artifacts took of the limits, in this attempt and before. What one took that is not finished does
    /// not count: it begins anew, and takes the same once more.
    pub(super) fn spent_on(&self, finished: &[String]) -> Spent {
        let standings = self.lock();
        let taken = finished.iter().filter_map(|name| standings.get(name));
        taken.fold(self.before, |sum, s| Spent {
            files: sum.files.saturating_add(s.files),
            file_bytes: sum.file_bytes.saturating_add(s.file_bytes),
            ..sum
        })
    }

    /// Whether an earlier attempt has finished `artifact`.
    pub(super) fn is_finished_before(&self, artifact: &str) -> bool {
        self.lock().get(artifact).is_some_and(|s| s.is_before)
    }

    /// `artifact` has said all that it has to say.
    pub(super) fn said(&self, artifact: &str) {
        self.on(artifact, |s| s.is_said = true);
    }

    /// The order's scope left `count` files of `artifact` out.
    pub(super) fn out_of_scope(&self, artifact: &str, why: Outside, count: u64) {
        self.on(artifact, |s| s.outside[why as usize] += count);
    }

    /// What the scope left out of `artifact`, once it is gathered: for `lane` to tell, and to nobody else any more.
    pub(super) fn take_outside(&self, artifact: &str, lane: usize) -> [u64; 3] {
        let mut taken = [0; 3];
        self.on(artifact, |s| {
            if s.is_whole() {
                taken = std::mem::take(&mut s.outside);
            }
            if taken != [0; 3] {
                // Under one lock: it is not finished before the part that tells it is durable.
                s.lanes |= bit(lane);
            }
        });
        taken
    }

    /// `artifact` named a file.
    pub(super) fn named(&self, artifact: &str) {
        self.on(artifact, |s| s.waiting += 1);
    }

    /// A file that `artifact` named is dealt with.
    pub(super) fn settled(&self, artifact: &str) {
        self.on(artifact, |s| s.waiting = s.waiting.saturating_sub(1));
        self.dealt_with.fetch_add(1, Ordering::Relaxed);
    }

    /// How many files are dealt with, and how many were named and wait.
    pub(super) fn files(&self) -> (u64, u64) {
        let waiting = self.lock().values().map(|s| s.waiting).sum();
        (self.dealt_with.load(Ordering::Relaxed), waiting)
    }

    /// The open part of `lane` holds something of `artifact`.
    pub(super) fn touched(&self, artifact: &str, lane: usize) {
        self.on(artifact, |s| s.lanes |= bit(lane));
    }

    /// The open part of `lane` is lost.
    pub(super) fn lost(&self, lane: usize) {
        for standing in self.lock().values_mut() {
            standing.is_lost |= standing.lanes & bit(lane) != 0;
            standing.lanes &= !bit(lane);
        }
    }

    /// The open part of `lane` is durable.
    pub(super) fn sealed(&self, lane: usize) {
        for standing in self.lock().values_mut() {
            standing.lanes &= !bit(lane);
        }
    }

    /// What is finished once the open part of `lane` is durable.
    pub(super) fn finished_with(&self, lane: usize) -> Vec<String> {
        let whole = |s: &Standing| {
            s.is_whole() && !s.is_lost && s.lanes & !bit(lane) == 0 && s.outside == [0; 3]
        };
        let standings = self.lock();
        let finished = standings.iter().filter(|(_, s)| whole(s));
        finished.map(|(name, _)| name.clone()).collect()
    }

    /// Where every artifact stands that has begun.
    pub(super) fn standings(&self) -> BTreeMap<String, Standing> {
        self.lock().clone()
    }

    /// Counts a file of `size_bytes` in; `false`, and counted as left out, where that is beyond a limit.
    pub(super) fn takes(&self, artifact: &str, size_bytes: u64) -> bool {
        let fits = |used: &AtomicU64, more: u64, most: u64| {
            most == 0 || used.fetch_add(more, Ordering::Relaxed).saturating_add(more) <= most
        };
        let is_taken = fits(&self.files, 1, self.most_files)
            && fits(&self.file_bytes, size_bytes, self.most_bytes);
        self.on(artifact, |s| match is_taken {
            true => {
                s.files += 1;
                s.file_bytes = s.file_bytes.saturating_add(size_bytes);
            }
            false => s.beyond += 1,
        });
        is_taken
    }

    fn on(&self, artifact: &str, change: impl FnOnce(&mut Standing)) {
        let mut standings = self.lock();
        match standings.get_mut(artifact) {
            Some(standing) => change(standing),
            None => change(standings.entry(artifact.to_owned()).or_default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Standing>> {
        self.standings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn bit(lane: usize) -> u64 {
    1 << (lane % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_is_finished_when_every_part_that_holds_it_is_durable() {
        let tally = Tally::new(&Limits::default(), &["old".to_owned()], Spent::default());
        tally.named("a");
        tally.said("a");
        assert_eq!(tally.finished_with(0), ["old"]);
        tally.touched("a", 0);
        tally.touched("a", 1);
        assert_eq!(tally.files(), (0, 1));
        tally.settled("a");
        assert_eq!(tally.files(), (1, 0));
        assert_eq!(tally.finished_with(0), ["old"]);
        tally.sealed(1);
        assert_eq!(tally.finished_with(0), ["a", "old"]);
        tally.lost(0);
        assert_eq!(tally.finished_with(1), ["old"]);
        assert!(tally.standings()["a"].is_lost);
    }

    #[test]
    fn what_the_scope_left_out_is_told_once_and_before_the_artifact_is_finished() {
        let tally = Tally::new(&Limits::default(), &[], Spent::default());
        tally.named("a");
        tally.out_of_scope("a", Outside::User, 2);
        tally.settled("a");
        assert_eq!(tally.take_outside("a", 1), [0; 3]);
        tally.said("a");
        assert!(tally.finished_with(0).is_empty());
        assert_eq!(tally.take_outside("a", 1), [0, 2, 0]);
        assert_eq!(tally.take_outside("a", 0), [0; 3]);
        assert!(tally.finished_with(0).is_empty());
        assert_eq!(tally.finished_with(1), ["a"]);
    }

    #[test]
    fn limits_leave_out_what_is_beyond_and_count_it() {
        let limits = Limits {
            files: 2,
            size_bytes: 10,
            ..Limits::default()
        };
        let tally = Tally::new(&limits, &[], Spent::default());
        assert!(tally.takes("a", 10));
        assert!(!tally.takes("a", 1));
        assert!(!tally.takes("b", 0));
        assert_eq!(tally.standings()["a"].beyond, 1);
        assert_eq!(tally.standings()["b"].beyond, 1);
    }

    #[test]
    fn an_attempt_has_left_what_finished_artifacts_did_not_take_before_it() {
        let limits = Limits {
            files: 4,
            size_bytes: 100,
            ..Limits::default()
        };
        let first = Tally::new(&limits, &[], Spent::default());
        assert!(first.takes("done", 10) && first.takes("done", 20) && first.takes("cut", 30));
        let done = ["done".to_owned()];
        let spent = first.spent_on(&done);
        assert_eq!((spent.files, spent.file_bytes), (2, 30));

        let second = Tally::new(&limits, &done, spent);
        assert!(second.takes("cut", 30) && second.takes("cut", 40));
        assert!(!second.takes("cut", 0));
        let all = second.spent_on(&["cut".to_owned(), "done".to_owned()]);
        assert_eq!((all.files, all.file_bytes), (4, 100));
    }
}
