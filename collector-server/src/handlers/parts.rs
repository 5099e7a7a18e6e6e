//! Stored parts and what lies beside them, for those who may have them.
//!
//! The first byte that a person gets of a part is a custody event: it is logged before it is sent.

use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use evidence::custody::event::{Action, StoredPart};

use super::{Answer, App};
use crate::{
    access::Caller,
    handlers::range::{self, Wanted},
    refusal::Refusal,
    state::Server,
    store::parts::FoundPart,
};

/// Collection, number and digest as the URL has them.
pub(crate) type Place = Path<(String, String, String)>;

/// `GET /v1/parts/{collection}/{part}/{sha256}`.
pub(crate) async fn content(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Path(place): Place,
    method: Method,
    headers: HeaderMap,
) -> Answer {
    let part = find(&server, &caller, &place).await?;
    let by = caller.person()?;
    if let Some(expired) = part.expired {
        return Err(Refusal::Gone(Box::new(expired)));
    }
    let tag = format!("\"{}\"", part.part.stored_sha256);
    let wanted = range::wanted(&headers, &tag, part.size_bytes)?;
    if method != Method::HEAD {
        let by_key = by.person.signing_key.key_id();
        let part = part.part;
        server.custody.log(Action::Fetched { part, by_key }).await?;
        server.metrics.fetched.inc();
    }
    let bytes = wanted.bytes(part.size_bytes);
    let stream = server
        .blobs
        .read(part.part.stored_sha256, bytes.clone())
        .await?;
    let mut response = Response::new(Body::from_stream(stream));
    let head = response.headers_mut();
    let mut set = |name, text: String| {
        if let Ok(value) = text.try_into() {
            head.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, "application/octet-stream".into());
    set(header::ACCEPT_RANGES, "bytes".into());
    set(header::CACHE_CONTROL, "no-store".into());
    set(header::ETAG, tag);
    set(
        header::CONTENT_LENGTH,
        (bytes.end - bytes.start).to_string(),
    );
    if let Wanted::Span(span) = &wanted {
        let last = span.end - 1;
        let text = format!("bytes {}-{last}/{}", span.start, part.size_bytes);
        set(header::CONTENT_RANGE, text);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// `GET …/statement`.
pub(crate) async fn statement(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Path(place): Place,
) -> Answer {
    let part = find(&server, &caller, &place).await?;
    Ok(beside("application/json", part.statement))
}

/// `GET …/receipt`.
pub(crate) async fn receipt(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Path(place): Place,
) -> Answer {
    let part = find(&server, &caller, &place).await?;
    Ok(beside("application/json", part.receipt.into_bytes()))
}

/// `GET …/tsr`.
pub(crate) async fn tsr(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Path(place): Place,
) -> Answer {
    let part = find(&server, &caller, &place).await?;
    let tsr = part.tsr.ok_or(Refusal::NotFound)?;
    Ok(beside(evidence::timestamp::REPLY_TYPE, tsr))
}

fn beside(kind: &'static str, bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, kind)], bytes).into_response()
}

/// The part, if it is the agent's own or of an agency within the person's scope.
async fn find(
    server: &Server,
    caller: &Caller,
    (collection, part, sha256): &(String, String, String),
) -> Result<FoundPart, Refusal> {
    let missing = |_| Refusal::NotFound;
    let part = StoredPart {
        collection: collection.parse().map_err(|_| Refusal::NotFound)?,
        part: part.parse().map_err(missing)?,
        stored_sha256: sha256.parse().map_err(|_| Refusal::NotFound)?,
    };
    let found = server.index.part(part).await?;
    let is_theirs = |found: &FoundPart| match caller {
        Caller::Agent(agent) => agent.id == found.agent,
        Caller::Person(person) => person.scope.holds(&found.agency),
        Caller::Anybody => false,
    };
    found.filter(is_theirs).ok_or(Refusal::NotFound)
}
