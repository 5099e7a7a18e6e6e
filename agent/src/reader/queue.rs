//! The files that artifacts named and that wait to be read: bounded, so that a tree of any size takes the same memory.

use std::{
    collections::VecDeque,
    fs::File,
    path::PathBuf,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
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
            state = self.wait(state);
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

    /// The next one, if one waits.
    pub(super) fn try_pop(&self) -> Option<Job> {
        let mut state = self.lock();
        let job = state.jobs.pop_front()?;
        state.open -= usize::from(matches!(job.what, What::Open(..)));
        drop(state);
        self.changed.notify_all();
        Some(job)
    }

    /// Waits for something to pop; `false` when nothing will come any more.
    pub(super) fn wait_for_more(&self, pace: &Pace) -> bool {
        let mut state = self.lock();
        while state.jobs.is_empty() {
            if state.is_closed || pace.is_stopped() {
                return false;
            }
            state = self.wait(state);
        }
        !pace.is_stopped()
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, LOOK);
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
        for n in 0..JOBS {
            queue.push(job(n), &pace).unwrap();
        }
        std::thread::scope(|scope| {
            let more = scope.spawn(|| queue.push(job(JOBS), &pace));
            assert!(queue.try_pop().is_some());
            assert_eq!(more.join().unwrap(), Ok(()));
            let too_many = scope.spawn(|| queue.push(job(JOBS + 1), &pace));
            pace.stop();
            assert_eq!(too_many.join().unwrap(), Err(Stopped));
        });
        assert!(!queue.wait_for_more(&pace));
    }

    #[test]
    fn an_empty_queue_that_is_closed_ends() {
        let (queue, pace) = (Queue::default(), Pace::free());
        queue.push(job(1), &pace).unwrap();
        queue.close();
        assert!(queue.wait_for_more(&pace));
        assert!(queue.try_pop().is_some());
        assert!(!queue.wait_for_more(&pace));
        assert_eq!(queue.push(job(2), &pace), Err(Stopped));
    }
}
