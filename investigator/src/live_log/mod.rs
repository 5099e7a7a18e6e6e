//! The log of an order as it runs: pieces from the server, each judged before a line of it is shown.
//!
//! It is a view of what goes on, not evidence: the archive's own log is.

pub mod follow;
pub mod judge;
pub mod show;

#[cfg(test)]
mod tests;

use anyhow::{Context as _, ensure};
use evidence::{envelope::Envelope, ids::AgentId};
use protocol::{live::Line, messages::HostRow, messages::OrderStatus};
use serde::Serialize;

use self::judge::Judge;
use crate::{commands::files, session::Session, trust};

/// One thing that the log of a host says, or that is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The agent.
    pub agent: AgentId,
    /// The host's name, as it says.
    pub hostname: String,
    /// What.
    #[serde(flatten)]
    pub said: Said,
}

/// See [`Entry`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// A line by the agent.
    Said(Line),
    /// Something is missing, false or anew, in our words.
    Note(String),
}

/// What judges the pieces of the order of `status`, with the person's own key to open them.
///
/// # Errors
/// The order that the server shows is signed by nobody of the policy, or the key can't be read.
pub fn judge<'a>(
    session: &'a Session,
    hosts: &'a [HostRow],
    status: &OrderStatus,
) -> anyhow::Result<Judge<'a>> {
    let order = Envelope::parse(status.order.as_bytes())?;
    let policies = trust::policies(&session.home, &session.believed)?;
    ensure!(
        policies.iter().any(|p| !p.signers(&order).is_empty()),
        "The order that the server shows is signed by nobody of the policy. Tell its operator."
    );
    let identities = files::identities(&session.keys.identity_path())
        .context("Pieces of the log can't be opened without your age identity.")?;
    Ok(Judge::new(
        hosts,
        &session.seal_trust,
        identities,
        order.digest(),
    ))
}
