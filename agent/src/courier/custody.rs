//! Fetches what the reader asks of the custody log: its newest checkpoint, and proofs that it only grew.
//!
//! Nothing is judged here: the log's key is in the policy, which the reader holds.

use evidence::digest::Digest;
use protocol::messages::Consistency;

use super::{
    context::{Context, CourierError},
    pause::Tray,
};
use crate::link::FromSpool;

/// A note with the signatures of the log and some witnesses; it must fit the link.
const NOTE_BYTES_MAX: usize = 32 * 1024;
/// No proof of a tree of 2^64 leaves is longer.
const PROOF_BYTES_MAX: usize = 16 * 1024;
const PROOF_MAX: usize = 130;
/// More questions than this at once are passed over; the reader asks again.
const QUESTIONS_MAX: usize = 128;

/// What the reader asks.
#[derive(Debug)]
pub(super) enum Asked {
    Checkpoint,
    Consistency { from: u64, to: u64 },
}

/// Questions that wait.
pub(super) type Questions = Tray<Asked>;

/// An empty tray of questions.
pub(super) fn questions() -> Questions {
    Tray::of(QUESTIONS_MAX)
}

/// Takes a question without waiting.
pub(super) fn ask(context: &Context, questions: &Questions, asked: Asked) {
    let _ = questions.put(asked, &context.bell);
}

/// Answers one question after the other.
pub(super) fn serve(context: &Context, questions: &Questions) -> Result<(), CourierError> {
    while !context.has_ended() {
        let said = match questions.take() {
            Some(Asked::Checkpoint) => FromSpool::Checkpoint {
                note: checkpoint(context),
            },
            Some(Asked::Consistency { from, to }) => FromSpool::Consistency {
                from,
                to,
                proof: consistency(context, from, to),
            },
            None => {
                context.wait_until(None, || !questions.is_empty());
                continue;
            }
        };
        context.say(&said, None)?;
    }
    Ok(())
}

fn checkpoint(context: &Context) -> Option<String> {
    let path = "/v1/custody/checkpoint";
    match context.client().get(path, NOTE_BYTES_MAX) {
        Ok(answer) => {
            context.heard();
            String::from_utf8(answer.body).ok()
        }
        Err(error) => {
            context.missed("the custody log's checkpoint was not had", &error);
            None
        }
    }
}

/// An empty proof where the server says that there is none: it is the reader who draws the conclusion.
fn consistency(context: &Context, from: u64, to: u64) -> Option<Vec<Digest>> {
    let path = format!("/v1/custody/consistency?from={from}&to={to}");
    let answer = context.client().get(&path, PROOF_BYTES_MAX);
    let proof = answer.and_then(|a| a.message::<Consistency>("proof of consistency"));
    match proof {
        Ok(Consistency { proof, .. }) if proof.len() <= PROOF_MAX => {
            context.heard();
            Some(proof)
        }
        Ok(_) => Some(Vec::new()),
        Err(error) if error.is_permanent() => Some(Vec::new()),
        Err(error) => {
            context.missed("a proof of the custody log was not had", &error);
            None
        }
    }
}
