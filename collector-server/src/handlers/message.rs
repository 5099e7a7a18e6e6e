//! JSON in and out: the body's length is bounded before it is read, its time too, its fields strictly known.

use std::time::Duration;

use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
    http::header::{CONTENT_LENGTH, CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use protocol::version;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::{refusal::Refusal, router::Route};

/// How long a message may take to arrive.
const BODY: Duration = Duration::from_secs(60);

/// A message from the body, at most as long as its route allows.
pub(crate) struct Message<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Message<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let route = request.extensions().get::<&'static Route>();
        let limit = route.map_or(0, |route| route.max_bytes);
        let length = request.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|l| l.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|l| l > limit as u64) {
            return Err(Refusal::TooLarge);
        }
        let bytes = match timeout(BODY, to_bytes(request.into_body(), limit)).await {
            Ok(Ok(bytes)) => bytes,
            // Without a length in the head nobody can tell the two apart.
            Ok(Err(_)) if length.is_none() => return Err(Refusal::TooLarge),
            Ok(Err(_)) | Err(_) => return Err(Refusal::Cut),
        };
        version::read_message(&bytes, "message")
            .map(Self)
            .map_err(|e| Refusal::Malformed(e.to_string()))
    }
}

/// An answer in JSON.
pub(crate) fn json<T: Serialize>(message: &T) -> Result<Response, Refusal> {
    let bytes = serde_json::to_vec(message).map_err(Refusal::failed)?;
    Ok(([(CONTENT_TYPE, "application/json")], bytes).into_response())
}
