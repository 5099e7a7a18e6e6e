//! Fetches the server's signed time for the reader, quickly or not at all.

use std::time::Instant;

use data_encoding::HEXLOWER;
use evidence::{envelope, envelope::Envelope, instant::Instant as WallTime};
use protocol::{messages::TimeRequest, time::SignedTime};

use super::{
    context::{Context, CourierError},
    http::Client,
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

/// How far this host's clock is ahead of the server's, as the courier reckons it: the reader's own measurement, with the
/// signature checked, is what stands in evidence.
pub(super) fn ahead_ms(client: &Client) -> Result<i64, String> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| error.to_string())?;
    let question = TimeRequest {
        v: 1,
        nonce: HEXLOWER.encode(&nonce),
    };
    let (asked, before) = (Instant::now(), WallTime::now());
    let answer = client.post("/v1/time", &question, ANSWER_BYTES_MAX);
    let answer = answer.map_err(|error| error.chain())?;
    let half_ms = i64::try_from(asked.elapsed().as_millis() / 2).unwrap_or(0);
    let signed: SignedTime = Envelope::parse(&answer.body)
        .and_then(|envelope| envelope.document(envelope::TIME))
        .map_err(|_| "the server tells no time that can be read".to_owned())?;
    let ms = |time: WallTime| time.seconds * 1000 + i64::from(time.ns / 1_000_000);
    Ok(ms(before) + half_ms - ms(signed.time))
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
