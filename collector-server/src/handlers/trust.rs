//! What anybody may know: the roots, the policy, the signed time.

use axum::{extract::State, http::header::CONTENT_TYPE, response::IntoResponse as _};
use data_encoding::HEXLOWER;
use evidence::{
    envelope::{self, Envelope},
    instant::Instant,
};
use protocol::{
    messages::{TimeRequest, Trust},
    time::SignedTime,
    version::VERSION,
};

use super::{Answer, App, Message, json};
use crate::refusal::Refusal;

/// `GET /v1/trust`.
pub(crate) async fn show(State(server): App) -> Answer {
    json(&server.documents().shown)
}

/// `POST /v1/trust`: an admin brings a policy, and the roots that it needs, into force. What counts is the roots'
/// signatures; who may send it is a matter of order.
pub(crate) async fn publish(State(server): App, Message(offered): Message<Trust>) -> Answer {
    json(&server.publish(&offered).await?.shown)
}

/// `POST /v1/time`.
pub(crate) async fn time(State(server): App, Message(asked): Message<TimeRequest>) -> Answer {
    let nonce = HEXLOWER.decode(asked.nonce.as_bytes());
    if nonce.map_or(true, |bytes| bytes.len() != 16) {
        return Err(Refusal::Malformed(
            "the nonce is not 128 bits in hex".into(),
        ));
    }
    let signed = SignedTime {
        v: VERSION,
        nonce: asked.nonce,
        time: Instant::now(),
    };
    let envelope = Envelope::sign_document(envelope::TIME, &signed, server.custody.time_key());
    let bytes = envelope
        .and_then(|e| e.to_json())
        .map_err(Refusal::failed)?;
    Ok(([(CONTENT_TYPE, "application/json")], bytes).into_response())
}
