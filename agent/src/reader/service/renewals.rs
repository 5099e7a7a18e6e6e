//! What the server renews: the policy, and the certificate of the seal key.

use super::{Service, ServiceError};
use crate::link::FromReader;
use crate::reader::{
    follow::keep,
    renewal,
    trust::{self, Judged, Trust},
};

impl Service {
    pub(super) fn newer_trust(&mut self, message: &[u8]) -> Result<(), ServiceError> {
        match trust::judge(message, &self.trust) {
            Ok(Judged::Newer(change)) => {
                keep(&self.state, *change)?;
                let newer = Trust::of(self.known().known())?;
                self.trust = newer;
                self.journal.notice(&format!(
                    "policy {} of deployment {} is in force, under root version {}",
                    self.trust.policy.version,
                    self.trust.policy.deployment,
                    self.trust.root.version
                ));
            }
            Ok(Judged::Same) => {}
            Ok(Judged::Older { found, held }) => self.journal.warning(&format!(
                "the server offers policy {found}, and {held} is in force: it was restored from an old copy, or somebody turns it back"
            )),
            Err(error) => self
                .journal
                .warning(&format!("the server's policy does not hold: {error}")),
        }
        self.say_held()?;
        self.take_up_parked(true)
    }

    pub(super) fn say_held(&self) -> Result<(), ServiceError> {
        let policy_version = self.trust.policy.version;
        Ok(self
            .conversation
            .say(&FromReader::Holds { policy_version })?)
    }

    pub(super) fn renew_seal(&mut self) -> Result<(), ServiceError> {
        let request = {
            let state = self.known();
            let Some(enrolment) = &state.known().enrolment else {
                return Ok(());
            };
            renewal::request(enrolment, &self.seal, (self.clock)())?
        };
        if let Some(envelope) = request {
            self.conversation.say(&FromReader::RenewSeal { envelope })?;
        }
        Ok(())
    }

    pub(super) fn seal_renewed(&mut self, chain_pem: &str) -> Result<(), ServiceError> {
        let judged = {
            let state = self.known();
            let Some(enrolment) = &state.known().enrolment else {
                return Ok(());
            };
            renewal::judge(chain_pem, enrolment, &self.seal, (self.clock)())
        };
        match judged {
            Ok(change) => {
                keep(&self.state, change)?;
                let renewed = self.known().known().enrolment.clone();
                if let Some(enrolment) = renewed {
                    self.seal = enrolment.seal()?;
                }
                self.journal.notice("the seal certificate was renewed");
            }
            Err(error) => self
                .journal
                .warning(&format!("the new seal certificate does not hold: {error}")),
        }
        Ok(())
    }
}
