//! A cloned identity: nothing new is begun, what runs ends early, and an identity of its own is asked for and kept.

use super::{Service, ServiceError};
use crate::{
    host,
    link::FromReader,
    reader::{
        enrol::EnrolError,
        follow::keep,
        fork,
        state::{Change, Fork},
    },
};

/// Why what runs ends early.
const WHY: &str = "this agent's identity was met on two machines; each gets one of its own";

impl Service {
    /// The server says that this identity lives on two machines.
    pub(super) fn cloned(&mut self) -> Result<(), ServiceError> {
        if self.is_cloned {
            return Ok(());
        }
        self.is_cloned = true;
        self.journal.warning(&format!(
            "the server has met agent {} on two machines: it takes no more orders, delivers what it has, and asks for an identity of its own",
            self.seal.agent()
        ));
        // The server hands them to nobody any more.
        self.waiting.clear();
        self.parked.clear();
        if self.running.is_some() || !self.asides.is_empty() {
            let why = WHY.to_owned();
            return Ok(keep(&self.state, Change::CutShort { why })?);
        }
        self.ask_fork()
    }

    /// Asks for another identity; the same one at each start until it is kept.
    pub(super) fn ask_fork(&self) -> Result<(), ServiceError> {
        let fork = self.begun_fork()?;
        let facts = host::facts(&host::identity(&self.house.root), fork.host);
        let message = FromReader::Fork {
            envelope: fork::request(&fork, &self.seal)?,
            host: facts.map_err(EnrolError::from)?,
        };
        Ok(self.conversation.say(&message)?)
    }

    fn begun_fork(&self) -> Result<Fork, ServiceError> {
        let begun = self.known().known().fork.clone();
        if let Some(fork) = begun {
            return Ok(fork);
        }
        let fork = Fork::new()?;
        keep(&self.state, Change::ForkBegun { fork: fork.clone() })?;
        Ok(fork)
    }

    /// The server has answered.
    pub(super) fn forked(&mut self, message: &[u8]) -> Result<(), ServiceError> {
        let (fork, enrolment) = {
            let state = self.known();
            let known = state.known();
            match (&known.fork, &known.enrolment) {
                (Some(fork), Some(enrolment)) => (fork.clone(), enrolment.clone()),
                _ => return Ok(()),
            }
        };
        let held = (&fork, &enrolment);
        match fork::judge(message, held, &self.trust.policy, (self.clock)()) {
            Ok(change) => self.keep_fork(change),
            Err(error) => {
                self.journal
                    .warning(&format!("the new identity does not hold: {error}"));
                Ok(())
            }
        }
    }

    fn keep_fork(&mut self, change: Change) -> Result<(), ServiceError> {
        let Change::Forked { enrolment, host } = &change else {
            return Ok(());
        };
        let (agent, host) = (enrolment.agent, *host);
        keep(&self.state, change)?;
        self.journal.notice(&format!(
            "this host, whose identity {} was cloned, is agent {agent} and host {host} from now on",
            self.seal.agent()
        ));
        Ok(self.conversation.say(&FromReader::ForkKept { agent })?)
    }
}

impl From<EnrolError> for ServiceError {
    fn from(error: EnrolError) -> Self {
        Self::Fork(Box::new(error))
    }
}
