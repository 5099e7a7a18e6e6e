//! The custody log: what the server shows of it must continue what was seen, and where it doesn't, that is an alarm.

use evidence::{custody::note::LogKey, digest::Digest, records::Refusal};

use super::{Service, ServiceError};
use crate::link::FromReader;
use crate::reader::{
    custody::{Alarm, Found, noted},
    follow::keep,
    state::{Change, LogAlarm},
};

impl Service {
    /// Asks what the log is now; the answer comes when it comes.
    pub(super) fn ask_checkpoint(&self) -> Result<(), ServiceError> {
        Ok(self.conversation.say(&FromReader::AskCheckpoint {})?)
    }

    /// A part was delivered against this receipt.
    pub(super) fn receipt(&mut self, receipt: &[u8]) -> Result<(), ServiceError> {
        let (held, Some(key)) = (self.remembered(), self.log_key()) else {
            return Ok(());
        };
        let found = self.log.receipt(receipt, held.as_deref(), &key);
        self.found(found)
    }

    /// The server says that this is the log now.
    pub(super) fn checkpoint(&mut self, note: Option<&str>) -> Result<(), ServiceError> {
        let (held, Some(key), Some(note)) = (self.remembered(), self.log_key(), note) else {
            return Ok(());
        };
        let found = self.log.newest(note, held.as_deref(), &key);
        self.found(found)
    }

    /// The proof that was asked for.
    pub(super) fn consistency(
        &mut self,
        sizes: (u64, u64),
        proof: Option<&[Digest]>,
    ) -> Result<(), ServiceError> {
        let (held, Some(key)) = (self.remembered(), self.log_key()) else {
            return Ok(());
        };
        let found = self.log.proof(sizes, proof, held.as_deref(), &key);
        self.found(found)
    }

    fn found(&mut self, found: Found) -> Result<(), ServiceError> {
        match found {
            Found::Nothing => Ok(()),
            Found::Ask { from, to } => Ok(self
                .conversation
                .say(&FromReader::AskConsistency { from, to })?),
            Found::Newer(note) => Ok(keep(&self.state, Change::Checkpoint { note })?),
            Found::Worthless(why) => {
                self.journal.warning(&format!(
                    "what the server says of the custody log does not hold: {why}"
                ));
                Ok(())
            }
            Found::Alarm(alarm) => self.alarm(alarm),
        }
    }

    /// Loud, and in the next collection; what was seen before stays, since it is the proof.
    fn alarm(&mut self, alarm: Alarm) -> Result<(), ServiceError> {
        let Alarm { held, shown, why } = alarm;
        self.journal.warning(&format!(
            "ALARM: the custody log is not the one that was seen before: {why}. It was cut or rewritten, or the server shows different hosts different logs. Tell the deployment's auditors; `fieldseal-agent status --json` has both notes"
        ));
        let known = self.known().known().log_alarm.clone();
        if known.is_some_and(|known| (&known.held, &known.shown) == (&held, &shown)) {
            return Ok(());
        }
        let time = (self.clock)();
        let told = Refusal {
            what: "custody log".to_owned(),
            why: format!("it is not the one that was seen before: {why}"),
            time,
        };
        let alarm = LogAlarm {
            time,
            why,
            held,
            shown,
        };
        Ok(keep(&self.state, Change::LogAlarm { alarm, told })?)
    }

    /// The last note that was proven; at first that of the enrolment's receipt.
    fn remembered(&self) -> Option<String> {
        let state = self.known();
        let known = state.known();
        let enrolled = || {
            let receipt = &known.enrolment.as_ref()?.receipt;
            noted(receipt)
        };
        known.checkpoint.clone().or_else(enrolled)
    }

    fn log_key(&self) -> Option<LogKey> {
        let key = LogKey::parse(&self.trust.policy.log_key);
        if let Err(error) = &key {
            self.journal.warning(&format!(
                "the policy names no key of the custody log: {error}"
            ));
        }
        key.ok()
    }
}
