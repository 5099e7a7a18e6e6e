//! The files that artifacts named and that wait to be read: bounded, so that a tree of any size takes the same memory.

use std::{
    collections::VecDeque,
    fs::File,
    path::PathBuf,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{artifacts::Stopped, files::Pace};

/// How many files wait at most.
const JOBS: usize = 1024;
/// How many open ones wait at most: each holds a descriptor.
const OPEN: usize = 64;
/// How soon a stop is seen.
const LOOK: Duration = Duration::from_millis(100);

/// One file to be read.
#[derive(Debug)]
pub(super) struct Job {
    /// Who named it.
    pub(super) artifact: &'static str,
    /// How it is found.
    pub(super) what: What,
}

/// How a file is found.
#[derive(Debug)]
pub(super) enum What {
    /// By its path on the host.
    Path(PathBuf),
    /// By its path, to be looked at and not opened, and why.
    LeftOut(PathBuf, &'static str),
    /// It is open already and has no name any more but this one.
    Open(String, File),
}

/// Files that wait, first come, first served.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    open: usize,
    is_closed: bool,
}

impl Queue {
    /// Puts `job` at the end; waits while the queue is full.
    ///
    /// # Errors
    /// The run must stop.
    pub(super) fn push(&self, job: Job, pace: &Pace) -> Result<(), Stopped> {
        let mut state = self.lock();
        while state.jobs.len() >= JOBS || state.open >= OPEN {
            if pace.is_stopped() {
                return Err(Stopped);
            }
            state = self.wait(state, pace);
        }
        if state.is_closed || pace.is_stopped() {
            return Err(Stopped);
        }
        state.open += usize::from(matches!(job.what, What::Open(..)));
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// The next one, if one waits; none for whoever was left.
    pub(super) fn try_pop(&self, left: &AtomicBool) -> Option<Job> {
        let mut state = self.lock();
        if left.load(Ordering::Relaxed) {
            return None;
        }
        let job = state.jobs.pop_front()?;
        state.open -= usize::from(matches!(job.what, What::Open(..)));
        drop(state);
        self.changed.notify_all();
        Some(job)
    }

    /// Waits for something to pop; `false` when nothing will come any more.
    pub(super) fn wait_for_more(&self, pace: &Pace, left: &AtomicBool) -> bool {
        let is_over = || pace.is_stopped() || left.load(Ordering::Relaxed);
        let mut state = self.lock();
        while state.jobs.is_empty() {
            if state.is_closed || is_over() {
                return false;
            }
            state = self.wait(state, pace);
        }
        !is_over()
    }

    /// Whoever holds `left` gets no job from here on: nobody would hear of it.
    pub(super) fn leave(&self, left: &AtomicBool) {
        // Under the lock, so that no job is taken in between.
        let _held = self.lock();
        left.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, pace: &Pace) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, pace.tick(LOOK));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(n: usize) -> Job {
        Job {
            artifact: "test",
            what: What::Path(n.to_string().into()),
        }
    }

    #[test]
    fn a_full_queue_holds_up_whoever_fills_it_until_there_is_room_or_a_stop() {
        let (queue, pace) = (Queue::default(), Pace::free());
        let left = AtomicBool::new(false);
        for n in 0..JOBS {
            queue.push(job(n), &pace).unwrap();
        }
        std::thread::scope(|scope| {
            let more = scope.spawn(|| queue.push(job(JOBS), &pace));
            assert!(queue.try_pop(&left).is_some());
            assert_eq!(more.join().unwrap(), Ok(()));
            let too_many = scope.spawn(|| queue.push(job(JOBS + 1), &pace));
            pace.stop();
            assert_eq!(too_many.join().unwrap(), Err(Stopped));
        });
        assert!(!queue.wait_for_more(&pace, &left));
    }

    #[test]
    fn who_was_left_takes_no_job_from_those_who_are_heard() {
        let (queue, pace) = (Queue::default(), Pace::free());
        let (left, heard) = (AtomicBool::new(false), AtomicBool::new(false));
        queue.push(job(1), &pace).unwrap();
        queue.leave(&left);
        assert!(queue.try_pop(&left).is_none());
        assert!(!queue.wait_for_more(&pace, &left));
        assert!(queue.try_pop(&heard).is_some());
    }

    #[test]
    fn an_empty_queue_that_is_closed_ends() {
        let (queue, pace) = (Queue::default(), Pace::free());
        let left = AtomicBool::new(false);
        queue.push(job(1), &pace).unwrap();
        queue.close();
        assert!(queue.wait_for_more(&pace, &left));
        assert!(queue.try_pop(&left).is_some());
        assert!(!queue.wait_for_more(&pace, &left));
        assert_eq!(queue.push(job(2), &pace), Err(Stopped));
    }
}
