//! Hosts that a token holds: kept until an admin's word, which counts once it is in the custody log.
//!
//! What is cut off in between (a crash, a disk that failed) leaves a word without receipt. Until its leaf is written the host
//! waits; it is written when the host asks next, when an admin says something of it again, by a look now and then, and at
//! the next start.

use evidence::{custody::event::Action, digest::Digest, envelope::Envelope, instant::Instant};
use protocol::{
    admission::{Admission, EnrolmentHeld, PendingHost, Verdict},
    enrolment::{HostFacts, Token},
    version::VERSION,
};

use crate::{
    keeping::signer,
    refusal::Refusal,
    serve::Origin,
    state::Server,
    store::{
        index::Change,
        pending::{self, Standing},
    },
};

/// A host that is held asks again no sooner, and later the longer it waits.
const ASK_AGAIN_S: (i64, i64) = (5, 300);

/// What becomes of a host whose token holds it.
#[derive(Debug)]
pub(crate) enum Held {
    /// An admin has let it in.
    LetIn,
    /// It waits, and asks again in so many seconds.
    Waits(EnrolmentHeld, i64),
}

impl Server {
    /// Looks what was said of the host with this key, and keeps that it asks.
    ///
    /// # Errors
    /// It was turned away, too many wait, or the index failed.
    pub(crate) async fn held(
        &self,
        token: &Token,
        (host, seal_key): (&HostFacts, Digest),
        Origin(from): Origin,
        now: Instant,
    ) -> Result<Held, Refusal> {
        let known = match self.standing(seal_key, now).await? {
            Some(known) if !known.is_of(token) || known.host.host.id != host.id => {
                let why = "This host waits by another token, or under another name. Have a new one enrol it: remove the agent's state first.";
                return Err(Refusal::Conflict(why));
            }
            known => known,
        };
        match known.as_ref().and_then(|known| known.verdict) {
            Some(Verdict::Approved) => return Ok(Held::LetIn),
            Some(Verdict::Rejected) => {
                return Err(Refusal::Denied(
                    "An admin has turned this host away. Ask them why; with a new state it may ask again.",
                ));
            }
            None => {}
        }
        let since = known.map_or(now, |known| known.host.since);
        let asks = PendingHost {
            seal_key,
            agency: token.agency.clone(),
            labels: token.labels.iter().cloned().collect(),
            token: token.id.clone(),
            host: host.clone(),
            address: from.to_canonical().to_string(),
            since,
            asked: now,
            expires: token.expires,
        };
        let change = pending::Change::Ask {
            host: Box::new(asks),
            uses: token.uses,
        };
        self.change(Change::Pending(change)).await?;
        let waited = (now.seconds - since.seconds) / 10;
        let held = EnrolmentHeld {
            v: VERSION,
            seal_key,
            since,
        };
        Ok(Held::Waits(
            held,
            waited.clamp(ASK_AGAIN_S.0, ASK_AGAIN_S.1),
        ))
    }

    /// How the host with this key stands; a word that was cut off from its leaf is logged first.
    async fn standing(&self, seal_key: Digest, now: Instant) -> Result<Option<Standing>, Refusal> {
        let known = self.index.standing(seal_key).await?;
        let known = match known.as_ref().is_some_and(Standing::is_unlogged) {
            true => {
                self.finish_admission(seal_key).await?;
                self.index.standing(seal_key).await?
            }
            false => known,
        };
        // Who was never decided on is forgotten with the token, also where nobody has removed the row yet.
        Ok(known.filter(|known| known.envelope.is_some() || known.host.expires > now))
    }

    async fn finish_admission(&self, seal_key: Digest) -> Result<(), Refusal> {
        // Whoever is at work may be about to write it: then the host asks again.
        let Ok(_alone) = self.keeping.try_lock() else {
            return Ok(());
        };
        let known = self.index.standing(seal_key).await?;
        if let Some(text) = known.filter(Standing::is_unlogged).and_then(|s| s.envelope) {
            let envelope = Envelope::parse(text.as_bytes()).map_err(Refusal::failed)?;
            self.log_admission(&envelope).await?;
        }
        Ok(())
    }

    /// Takes an admin's word that was found to hold, and gives the receipt of the leaf of the first one on this host.
    ///
    /// # Errors
    /// The first one says otherwise or is another admin's, or the index or the log failed.
    pub(crate) async fn admit_by(&self, word: &Admission, text: String) -> Result<String, Refusal> {
        let _alone = self.keeping.lock().await;
        let change = pending::Change::Decide {
            seal_key: word.seal_key,
            verdict: word.verdict,
            envelope: text,
        };
        self.change(Change::Pending(change)).await?;
        let standing = self.index.standing(word.seal_key).await?;
        let first = standing.and_then(|s| s.envelope).ok_or(Refusal::NotFound)?;
        let first = Envelope::parse(first.as_bytes()).map_err(Refusal::failed)?;
        // Whatever comes of this one: the first may have been cut off from its leaf.
        let receipt = self.log_admission(&first).await?;
        let counts = Admission::read(&first)?;
        match (counts.verdict, &counts.by) == (word.verdict, &word.by) {
            true => Ok(receipt),
            false => Err(Refusal::Conflict(
                "This host was decided on already. Nothing is left to do.",
            )),
        }
    }

    async fn log_admission(&self, envelope: &Envelope) -> Result<String, Refusal> {
        let word = Admission::read(envelope)?;
        let (host, seal_key) = (word.host, word.seal_key);
        let (admission_sha256, by_key) = (envelope.digest(), signer(envelope)?);
        let action = match word.verdict {
            Verdict::Approved => Action::Admitted {
                host,
                seal_key,
                admission_sha256,
                by_key,
            },
            Verdict::Rejected => Action::TurnedAway {
                host,
                seal_key,
                admission_sha256,
                by_key,
            },
        };
        let receipt = self.custody.log(action).await?;
        let change = pending::Change::Logged {
            seal_key,
            receipt: receipt.clone(),
        };
        self.change(Change::Pending(change)).await?;
        Ok(receipt)
    }

    /// Writes the leaves of words that were cut off from them.
    ///
    /// # Errors
    /// The index or the log failed.
    pub(crate) async fn finish_admissions(&self) -> Result<(), Refusal> {
        let _alone = self.keeping.lock().await;
        for text in self.index.unlogged_admissions().await? {
            let envelope = Envelope::parse(text.as_bytes()).map_err(Refusal::failed)?;
            self.log_admission(&envelope).await?;
        }
        Ok(())
    }
}
