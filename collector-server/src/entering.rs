//! How a host becomes an agent: the row with the token's use, then the leaf, then its receipt in the row.
//!
//! What was cut off on the way (a crash, a disk that failed) is met again by the host's next request, by a look now and
//! then, or at the next start: finished where the leaf is in the log, and else undone, its token's use given back.

use evidence::{custody::event::Action, ids::AgentId};

use crate::{
    refusal::Refusal,
    state::Server,
    store::{
        agents::{Change as AgentChange, NewAgent},
        index::{Change, IndexError},
    },
};

/// An agent, and the receipt of its enrolment once that is whole.
type Known = (AgentId, Option<String>);

impl Server {
    /// Lets a host in, and gives the receipt of its leaf.
    ///
    /// # Errors
    /// Its token is used up, or the index or the log failed.
    pub(crate) async fn enter(&self, new: NewAgent, enrolled: Action) -> Result<String, Refusal> {
        let agent = new.agent;
        let _at_work = self.entering.take(agent).ok_or(Refusal::Busy)?;
        let change = AgentChange::Enrol(Box::new(new));
        self.change(Change::Agent(change)).await?;
        match self.custody.log(enrolled).await {
            Ok(receipt) => self.entered(agent, receipt).await,
            // The leaf may be in the file all the same: where it can't be told, the row stays for later.
            Err(error) => self.settle(agent).await?.ok_or_else(|| error.into()),
        }
    }

    /// Finishes the enrolment where its leaf is in the log, and gives the receipt of that; else undoes it.
    async fn settle(&self, agent: AgentId) -> Result<Option<String>, Refusal> {
        match self.custody.enrolment(agent).await? {
            Some(receipt) => {
                tracing::warn!(%agent, "an enrolment was cut off behind its leaf and is finished");
                self.entered(agent, receipt).await.map(Some)
            }
            None => {
                tracing::warn!(%agent, "an enrolment was cut off and is undone; the host enrols again");
                let change = AgentChange::Abandon(agent);
                self.change(Change::Agent(change)).await?;
                Ok(None)
            }
        }
    }

    async fn entered(&self, agent: AgentId, receipt: String) -> Result<String, Refusal> {
        let change = AgentChange::Enrolled {
            agent,
            receipt: receipt.clone(),
        };
        self.change(Change::Agent(change)).await?;
        Ok(receipt)
    }

    /// What `look` finds of an agent: who it is, and the receipt of its enrolment. What was left of one is finished or undone
    /// first.
    ///
    /// # Errors
    /// As for [`Self::finish_entering`].
    pub(crate) async fn known<F>(&self, look: impl Fn() -> F) -> Result<Option<Known>, Refusal>
    where
        F: Future<Output = Result<Option<Known>, IndexError>>,
    {
        match look().await? {
            Some((agent, None)) => self.finish_entering(agent).await?,
            known => return Ok(known),
        }
        Ok(look().await?)
    }

    /// Finishes or undoes what was left of an agent's enrolment.
    ///
    /// # Errors
    /// Somebody is at work on it ([`Refusal::Busy`]), or the index or the log failed.
    pub(crate) async fn finish_entering(&self, agent: AgentId) -> Result<(), Refusal> {
        let _at_work = self.entering.take(agent).ok_or(Refusal::Busy)?;
        // Looked at alone: whoever was at work until now may have finished it.
        if self.index.unfinished_agents(Some(agent)).await?.is_empty() {
            return Ok(());
        }
        self.settle(agent).await.map(drop)
    }

    /// The same for all that were cut off; what somebody is at work on is left to them.
    ///
    /// # Errors
    /// The index or the log failed.
    pub(crate) async fn finish_enrolments(&self) -> Result<(), Refusal> {
        for agent in self.index.unfinished_agents(None).await? {
            match self.finish_entering(agent).await {
                Ok(()) | Err(Refusal::Busy) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }
}
