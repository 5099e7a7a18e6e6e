//! The end of a run: the chain's last part, which tells what is missing, whatever stopped the run; or a pause.

use std::sync::atomic::Ordering;

use evidence::gap::Reason;

use super::{Conductor, Done};
use crate::reader::{
    chain::{ChainError, Trouble},
    port::SlotError,
};

impl Conductor<'_> {
    /// Seals what is open and leaves the chain as it is, to be gone on with.
    pub(super) fn pause(mut self) -> ChainError {
        if !self.lane.is_open() {
            return ChainError::Paused;
        }
        // A log that lacks a turn is no reason to lose what is open.
        let _ = self.tell_turns();
        let stop = self.run.shared.stopped();
        let text = stop.map_or_else(String::new, |s| s.why.clone());
        let sealed = self
            .lane
            .log(None, text)
            .and_then(|()| self.lane.close(false, None));
        match sealed {
            Err(Trouble::Fatal(error)) => error,
            // What could not be sealed is gathered again.
            Ok(()) | Err(Trouble::Stopped | Trouble::Lost(_)) => ChainError::Paused,
        }
    }

    /// Ends the chain: what is missing is told in the last part, which is sealed whatever stopped the run.
    pub(super) fn finish(mut self) -> Result<Done, ChainError> {
        let is_stopped = self.run.shared.stopped().is_some();
        if !is_stopped {
            // The last file may have met a limit just now.
            self.run.must_stop();
            if self.run.is_paused() {
                return Err(self.pause());
            }
        }
        self.lane.begin_closing();
        let closed = match self.close_chain() {
            // What was in the part so far is lost and told as such; what tells it is small.
            Err(Trouble::Lost(_)) => self.close_chain(),
            other => other,
        };
        match closed {
            Ok(()) => {}
            Err(Trouble::Fatal(error)) => return Err(error),
            Err(Trouble::Lost(text)) => return Err(SlotError::Failed(text).into()),
            Err(Trouble::Stopped) => {
                let text = "the run was stopped before its chain could be ended".to_owned();
                return Err(SlotError::Failed(text).into());
            }
        }
        self.tell();
        let (parts, counts) = self.run.end()?;
        Ok(Done {
            parts,
            counts,
            ended_early: self.run.shared.stopped().map(|s| s.why.clone()),
            without_room: self.run.shared.without_room.load(Ordering::Relaxed),
        })
    }

    fn close_chain(&mut self) -> Result<(), Trouble> {
        let stop = self.run.shared.stopped().cloned();
        self.tell_turns()?;
        self.tell_missing()?;
        self.tell_given_way()?;
        let why = stop.map(|s| s.why);
        let message = match &why {
            Some(why) => format!("the collection ends early: {why}"),
            None => "the collection ends".to_owned(),
        };
        self.lane.log(None, message)?;
        self.lane.close(true, why)
    }

    /// Why it took longer than it would have.
    fn tell_given_way(&mut self) -> Result<(), Trouble> {
        match self.run.shared.pace.given_way().as_secs() {
            0 => Ok(()),
            seconds => self.lane.log(
                None,
                format!(
                    "the collection rested for {seconds} s, since others used the host's disks"
                ),
            ),
        }
    }

    /// A gap for every artifact that is not whole, and for what limits left out.
    fn tell_missing(&mut self) -> Result<(), Trouble> {
        let standings = self.run.shared.tally.standings();
        let stop = self.run.shared.stopped().cloned();
        for (artifact, _) in self.wanted.clone() {
            let name = artifact.name();
            let standing = standings.get(name).copied().unwrap_or_default();
            if standing.beyond > 0 {
                let text = format!("{} files are beyond the limits of the run", standing.beyond);
                self.serious(name, name, Reason::Limit, &text)?;
            }
            // Not taken: a part that tells it may be lost and be written again.
            self.lane.outside(name, standing.outside)?;
            if standing.is_lost {
                let text = "a part that held some of it could not be sealed";
                self.serious(name, name, Reason::ReadError, text)?;
            }
            if standing.is_whole() {
                continue;
            }
            let files = match standing.waiting {
                0 => String::new(),
                n => format!(", {n} files that it named not being read"),
            };
            match &stop {
                Some(stop) => {
                    let text = format!("it is not whole{files}: {}", stop.why);
                    self.serious(name, name, stop.reason, &text)?;
                }
                None => {
                    let text = format!("it is not whole{files}");
                    self.serious(name, name, Reason::Interrupted, &text)?;
                }
            }
        }
        Ok(())
    }
}
