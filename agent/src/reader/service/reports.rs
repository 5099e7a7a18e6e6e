//! What the server hears of an order.

use protocol::messages::Report;

use super::{Service, ServiceError};
use crate::link::FromReader;
use crate::reader::state::{Ended, Running};

impl Service {
    pub(super) fn tell_accepted(&self) -> Result<(), ServiceError> {
        match self.is_running() {
            Some(Running {
                order,
                collection,
                capture,
                ..
            }) => self.report(match capture {
                Some(capture) => Report::Capturing {
                    order,
                    collection,
                    number: capture.number,
                },
                None => Report::Accepted { order, collection },
            }),
            None => Ok(()),
        }
    }

    /// Tells how the last collection ended; once more at each start, since the first time may have been lost.
    pub(super) fn tell_ended(&self) -> Result<(), ServiceError> {
        let ended = self.known().known().ended.clone();
        match ended {
            Some(Ended {
                order,
                collection,
                parts,
                ended_early,
            }) => self.report(Report::Ended {
                order,
                collection,
                parts,
                ended_early,
            }),
            None => Ok(()),
        }
    }

    pub(super) fn report(&self, report: Report) -> Result<(), ServiceError> {
        Ok(self.conversation.say(&FromReader::Report { report })?)
    }
}
