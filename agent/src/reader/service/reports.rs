//! What the server hears of an order.

use protocol::messages::Report;

use super::{Service, ServiceError};
use crate::link::FromReader;
use crate::reader::state::{Ended, Running};

impl Service {
    pub(super) fn tell_running(&self) -> Result<(), ServiceError> {
        self.is_running()
            .map_or(Ok(()), |running| self.tell_accepted(&running))
    }

    /// Tells of a collection that was begun.
    pub(super) fn tell_accepted(&self, begun: &Running) -> Result<(), ServiceError> {
        let (order, collection) = (begun.order, begun.collection);
        self.report(match &begun.capture {
            Some(capture) => Report::Capturing {
                order,
                collection,
                number: capture.number,
            },
            None => Report::Accepted { order, collection },
        })
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
