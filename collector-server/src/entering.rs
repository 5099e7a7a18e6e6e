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
        index::Change,
    },
};

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
            Err(error) => match self.custody.enrolment(agent).await? {
                Some(receipt) => self.entered(agent, receipt).await,
                None => {
                    self.abandon(agent).await?;
                    Err(error.into())
                }
            },
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

    async fn abandon(&self, agent: AgentId) -> Result<(), Refusal> {
        tracing::warn!(%agent, "an enrolment was cut off and is undone; the host enrols again");
        self.change(Change::Agent(AgentChange::Abandon(agent)))
            .await?;
        Ok(())
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
        match self.custody.enrolment(agent).await? {
            Some(receipt) => {
                tracing::warn!(%agent, "an enrolment was cut off behind its leaf and is finished");
                self.entered(agent, receipt).await.map(drop)
            }
            None => self.abandon(agent).await,
        }
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
