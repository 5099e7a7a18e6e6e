//! Rules and holds come into force: first the row, then the leaf, then the row says so; alone, so that the custody log tells
//! them in the order in which they counted.
//!
//! A crash in between leaves a row without receipt, of which the leaf is written at the next start. Until then a rule
//! lets nothing expire, a hold keeps, and a lifting lifts nothing: whatever is cut off, evidence stays.

use evidence::{
    custody::event::Action, digest::Digest, envelope::Envelope, ids::HoldId, instant::Instant,
};
use protocol::{
    hold::{Hold, HoldLift},
    retention::RetentionRule,
};

use crate::{
    expiry,
    refusal::Refusal,
    state::Server,
    store::{
        holds::{self, Unlogged},
        index::Change,
        retention::{self, NewRule},
    },
};

impl Server {
    /// How long after a rule came nothing expires by it.
    pub fn notice_ns(&self) -> i64 {
        i64::from(self.config.retention_notice_s) * 1_000_000_000
    }

    /// Takes a rule in that was found to hold, and gives the receipt of its leaf.
    ///
    /// # Errors
    /// It is not the next version, or the index or the log failed.
    pub async fn take_rule(&self, new: NewRule) -> Result<String, Refusal> {
        let _alone = self.keeping.lock().await;
        let envelope = Envelope::parse(new.envelope.as_bytes()).map_err(Refusal::failed)?;
        let version = new.rule.version;
        let change = retention::Change::Take(Box::new(new));
        self.change(Change::Retention(change)).await?;
        self.log_rule(&envelope, version).await
    }

    async fn log_rule(&self, envelope: &Envelope, version: u64) -> Result<String, Refusal> {
        let sha256 = envelope.digest();
        let action = Action::Retention {
            rule_sha256: sha256,
            version,
            by_key: signer(envelope)?,
        };
        let receipt = self.custody.log(action).await?;
        let change = retention::Change::Logged {
            sha256,
            receipt: receipt.clone(),
        };
        self.change(Change::Retention(change)).await?;
        Ok(receipt)
    }

    /// Places a hold that was found to hold, and gives the receipt of its leaf.
    ///
    /// # Errors
    /// What it names is not there or has expired, another one has its id, or the index or the log failed.
    pub async fn place_hold(
        &self,
        hold: Hold,
        envelope: &Envelope,
        text: String,
        at: Instant,
    ) -> Result<String, Refusal> {
        let _alone = self.keeping.lock().await;
        if !self.index.knows(&hold).await? {
            return Err(Refusal::NotFound);
        }
        let id = hold.id;
        let change = holds::Change::Place {
            hold: Box::new(hold),
            sha256: envelope.digest(),
            envelope: text,
            at,
        };
        self.change(Change::Hold(change)).await?;
        self.log_hold(id, envelope).await
    }

    async fn log_hold(&self, hold: HoldId, envelope: &Envelope) -> Result<String, Refusal> {
        let action = Action::Held {
            hold,
            hold_sha256: envelope.digest(),
            by_key: signer(envelope)?,
        };
        let receipt = self.custody.log(action).await?;
        let change = holds::Change::Logged {
            hold,
            receipt: receipt.clone(),
        };
        self.change(Change::Hold(change)).await?;
        Ok(receipt)
    }

    /// Lifts a hold by a word that was found to hold, and gives the receipt of its leaf.
    ///
    /// # Errors
    /// It was lifted by another word, or the index or the log failed.
    pub async fn lift_hold(
        &self,
        hold: &Hold,
        envelope: &Envelope,
        text: String,
        at: Instant,
    ) -> Result<String, Refusal> {
        let _alone = self.keeping.lock().await;
        let change = holds::Change::Lift {
            hold: hold.id,
            envelope: text,
            at,
        };
        self.change(Change::Hold(change)).await?;
        let scope = crate::store::Scope::of([hold.agency.clone()]);
        let held = self.index.hold(hold.id, &scope).await?;
        let first = held.and_then(|(_, lift)| lift).ok_or(Refusal::NotFound)?;
        let first = Envelope::parse(first.as_bytes()).map_err(Refusal::failed)?;
        // Whatever comes of this one: the first may have been cut off from its leaf.
        let receipt = self.log_lift(hold.id, &first).await?;
        match first.digest() == envelope.digest() {
            true => Ok(receipt),
            false => Err(Refusal::Conflict(
                "The hold is lifted already. Nothing is left to do.",
            )),
        }
    }

    async fn log_lift(&self, hold: HoldId, envelope: &Envelope) -> Result<String, Refusal> {
        let lift = HoldLift::read(envelope)?;
        let action = Action::HoldLifted {
            hold,
            hold_sha256: lift.hold_sha256,
            lift_sha256: envelope.digest(),
            by_key: signer(envelope)?,
        };
        let receipt = self.custody.log(action).await?;
        let change = holds::Change::LiftLogged {
            hold,
            receipt: receipt.clone(),
        };
        self.change(Change::Hold(change)).await?;
        Ok(receipt)
    }

    /// Writes the leaves that a crash or a full disk has kept from being written, and brings to its end what expires.
    ///
    /// # Errors
    /// The index, the log or the store failed.
    pub async fn finish_keeping(&self) -> Result<(), Refusal> {
        let _alone = self.keeping.lock().await;
        for text in self.index.unlogged_rules().await? {
            let envelope = Envelope::parse(text.as_bytes()).map_err(Refusal::failed)?;
            let version = RetentionRule::read(&envelope)?.version;
            self.log_rule(&envelope, version).await?;
        }
        for unlogged in self.index.unlogged_holds().await? {
            self.log_unlogged(&unlogged).await?;
        }
        for expiring in self.index.expiring().await? {
            expiry::finish(self, &expiring).await?;
        }
        Ok(())
    }

    async fn log_unlogged(&self, unlogged: &Unlogged) -> Result<(), Refusal> {
        let envelope = Envelope::parse(unlogged.hold.as_bytes()).map_err(Refusal::failed)?;
        let id = Hold::read(&envelope)?.id;
        if !unlogged.is_logged {
            self.log_hold(id, &envelope).await?;
        }
        if let Some(lift) = &unlogged.lift {
            let lift = Envelope::parse(lift.as_bytes()).map_err(Refusal::failed)?;
            self.log_lift(id, &lift).await?;
        }
        Ok(())
    }
}

/// The key of the one signature, which was checked when the document came.
pub(crate) fn signer(envelope: &Envelope) -> Result<Digest, Refusal> {
    let first = envelope.signatures().first();
    let key = first.and_then(|signature| signature.key_id.parse().ok());
    key.ok_or_else(|| Refusal::failed("a document that is kept has no signer"))
}
