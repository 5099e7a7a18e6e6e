//! A run that its limits hold back, for the host's mains or for its hours: told in its log, to whoever watches, and where
//! it can't be held as wanted.

use std::thread;

use evidence::{
    gap::{Reason, Severity},
    instant::Instant,
    records::LogLine,
};
use protocol::messages::WaitsFor;

use super::{Conductor, TICK};
use crate::reader::chain::Trouble;

impl Conductor<'_> {
    /// What holds a run back is told at its beginning, and what of it can't be.
    pub(super) fn tell_waits(&mut self) -> Result<(), Trouble> {
        let shared = &self.run.shared;
        let (vain, unknowable) = (shared.waits.in_vain(), shared.waits.unknowable());
        if let Some(hours) = &shared.plan.limits.hours {
            let told = format!("what lies on the disk is read in these hours of the host: {hours}");
            self.lane.log(None, told)?;
        }
        for (name, told) in [("hours", vain), ("mains_only", unknowable)] {
            let weight = (Reason::Limit, Severity::Serious);
            if let Some(text) = told {
                self.lane.gap("limits", name.as_bytes(), weight, text)?;
            }
        }
        Ok(())
    }

    /// From here on it waits where it must; what would be waited for in vain ends it.
    pub(super) fn begin_waits(&mut self) {
        let shared = &self.run.shared;
        if let Some(why) = shared.waits.in_vain() {
            shared.stop(Reason::Limit, why);
        }
        shared.waits.begin();
        if shared.plan.background {
            shared.pace.give_way();
        }
        self.look_whether_held();
    }

    /// Looks whether the run waits, and remembers a change for the log.
    pub(super) fn look_whether_held(&mut self) {
        let shared = &self.run.shared;
        let waits = shared.waits.look(&shared.pace);
        if waits != self.progress.waits_for {
            let words = waits.map_or("the collection goes on", WaitsFor::words);
            self.turns.push((Instant::now(), words));
        }
        self.progress.waits_for = waits;
    }

    /// Writes what is remembered for the log.
    pub(super) fn tell_turns(&mut self) -> Result<(), Trouble> {
        for (time, words) in std::mem::take(&mut self.turns) {
            self.lane.log_line(LogLine {
                time,
                message: words.to_owned(),
                artifact: None,
            })?;
        }
        Ok(())
    }

    /// Nothing more is begun while the run is held.
    pub(super) fn wait_where_held(&mut self) -> Result<(), Trouble> {
        loop {
            self.look();
            self.tell_turns()?;
            if self.run.must_stop() {
                return Err(Trouble::Stopped);
            }
            if !self.run.shared.pace.is_held() {
                return Ok(());
            }
            thread::sleep(self.run.shared.pace.tick(TICK));
        }
    }
}
