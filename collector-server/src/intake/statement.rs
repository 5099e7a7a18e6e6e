//! Whether a promised part may come: its statement must be the uploading agent's own, and speak of this part.

use evidence::{
    ids::AgentId,
    seal::Expected,
    statement::{self, Statement},
};

use crate::{refusal::Refusal, state::Server, store::uploads::Promise};

/// Checks the statement behind a promise.
///
/// # Errors
/// It is not sealed by a seal certificate of this very agent under the deployment's root, by a
/// key that was enrolled or renewed here, or it speaks of another part.
pub(super) async fn check(
    server: &Server,
    agent: AgentId,
    promise: &Promise,
) -> Result<(), Refusal> {
    let expected = Expected {
        trust: &server.anchors.seals,
        agent: Some(agent),
        at: None,
    };
    let verified =
        statement::verify(&promise.statement, expected).map_err(Refusal::unacceptable)?;
    let key = verified.signer.key.filter(|_| verified.signer.is_known);
    let is_ours = match key {
        Some(key) => server.index.seal_is_known(agent, key.key_id()).await?,
        None => false,
    };
    if !is_ours {
        let why = "the statement is sealed by a key that this deployment never certified for the agent. Enrol, or find out who made it.";
        return Err(Refusal::unacceptable(why));
    }
    check_place(&verified.statement, promise)
}

/// The promise says what the statement says.
fn check_place(said: &Statement, promise: &Promise) -> Result<(), Refusal> {
    let stored = said.stored();
    for (what, same) in [
        ("collection", said.collection == promise.collection),
        ("part number", said.part == promise.part),
        ("digest", stored.sha256 == promise.sha256),
        ("size", stored.size_bytes == promise.length_bytes),
        ("first part", (said.part == 1) == said.previous.is_none()),
    ] {
        if !same {
            return Err(Refusal::unacceptable(format!(
                "the statement speaks of another {what} than the upload. Send each part with its own."
            )));
        }
    }
    if said.ciphertext.is_none() {
        let why = "the part is not encrypted. This server keeps ciphertext only.";
        return Err(Refusal::unacceptable(why));
    }
    Ok(())
}
