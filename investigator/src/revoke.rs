//! An admin's signed word that an agent's certificates count no more.

use evidence::{custody::event::Action, ids::AgentId, instant::Instant, keys::SigningKey};

use crate::{commands::table, custody, session::Session};

/// What is signed, in words.
pub fn in_words(session: &Session, agent: AgentId, from: Instant) -> String {
    format!(
        "To be signed by {}: seals of {agent} made from {} on count no more, and its agent is let in no more.",
        session.me.id,
        table::time(from)
    )
}

/// Signs it and hands it in; gives the leaf.
///
/// # Errors
/// The person is no admin of the host's agency, or the server does not take it.
pub fn hand_in(
    session: &Session,
    key: &SigningKey,
    agent: AgentId,
    from: Instant,
) -> anyhow::Result<u64> {
    let action = Action::Revoked {
        agent,
        invalid_from: from,
    };
    custody::hand_in(session, key, (action, None), Instant::now())
}
