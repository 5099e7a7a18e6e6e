//! Fetches the server's signed time for the reader, quickly or not at all.

use protocol::messages::TimeRequest;

use super::{
    context::{Context, CourierError},
    pause::Tray,
};
use crate::link::FromSpool;

/// The envelope of a time takes less than 1 KiB.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// More questions than this at once get no time.
const QUESTIONS_MAX: usize = 4;

/// Questions that wait: nonces.
pub(super) type Questions = Tray<String>;

/// An empty tray of questions.
pub(super) fn questions() -> Questions {
    Tray::of(QUESTIONS_MAX)
}

/// Takes a question without waiting.
pub(super) fn ask(
    context: &Context,
    questions: &Questions,
    nonce: String,
) -> Result<(), CourierError> {
    match questions.put(nonce, &context.bell) {
        Ok(()) => Ok(()),
        Err(nonce) => answer(context, nonce, None),
    }
}

/// Answers one question after the other.
pub(super) fn serve(context: &Context, questions: &Questions) -> Result<(), CourierError> {
    while !context.has_ended() {
        match questions.take() {
            Some(nonce) => {
                let signed = fetch(context, &nonce);
                answer(context, nonce, signed)?;
            }
            None => context.wait_until(None, || !questions.is_empty()),
        }
    }
    Ok(())
}

fn fetch(context: &Context, nonce: &str) -> Option<String> {
    let is_nonce = nonce.len() == 32 && nonce.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_nonce {
        return None;
    }
    let question = TimeRequest {
        v: 1,
        nonce: nonce.to_owned(),
    };
    match context
        .client()
        .post("/v1/time", &question, ANSWER_BYTES_MAX)
    {
        Ok(answer) => {
            context.heard();
            String::from_utf8(answer.body).ok()
        }
        Err(error) => {
            context.missed("the server's time was not had", &error);
            None
        }
    }
}

fn answer(context: &Context, nonce: String, signed: Option<String>) -> Result<(), CourierError> {
    context.say(&FromSpool::Time { nonce, signed }, None)
}
