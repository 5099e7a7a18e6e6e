//! All parts of an order as one stream, so that the answers of ten thousand hosts take one request.
//!
//! As in `parts`, what a person gets of a part is a custody event that is logged before the first byte of it is sent; the
//! events of some parts that follow each other are logged together.

use std::{io, sync::Arc};

use axum::{
    Extension,
    body::Body,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{Method, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use data_encoding::BASE64;
use evidence::{
    custody::event::{Action, StoredPart},
    ids::OrderId,
};
use futures_util::{TryStreamExt as _, future::try_join_all, stream};
use protocol::{
    messages::{MAX_INLINE_BYTES, PartFrame},
    version::VERSION,
};
use serde::Deserialize;
use tokio::sync::mpsc::{Sender, channel};

use super::{Answer, App};
use crate::{
    access::{Caller, CallingPerson},
    refusal::Refusal,
    state::Server,
    store::parts::StreamedPart,
};

/// Parts that are looked up and logged at once.
const PAGE: u32 = 64;
/// Pieces that wait for a slow reader.
const AHEAD: usize = 4;

/// From where on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begin {
    #[serde(default)]
    after: u64,
}

type Piece = Result<Bytes, io::Error>;

/// `GET /v1/orders/{order}/parts`.
pub(crate) async fn stream(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Path(order): Path<String>,
    from: Result<Query<Begin>, QueryRejection>,
    method: Method,
) -> Answer {
    let asker = caller.person()?;
    let order: OrderId = order.parse().map_err(|_| Refusal::NotFound)?;
    let Query(Begin { after }) = from.map_err(|e| Refusal::Malformed(e.body_text()))?;
    let who = (&asker.scope, &asker.person.id);
    server
        .index
        .visible(order, who)
        .await?
        .ok_or(Refusal::NotFound)?;
    let kind = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    if method == Method::HEAD {
        return Ok(kind.into_response());
    }
    let (sender, receiver) = channel::<Piece>(AHEAD);
    tokio::spawn(send(server, asker, order, after, sender));
    let pieces = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    Ok((kind, Response::new(Body::from_stream(pieces))).into_response())
}

/// Sends all that there is; where something fails, the body breaks off, and the reader asks again from where it stands.
async fn send(
    server: Arc<Server>,
    asker: CallingPerson,
    order: OrderId,
    mut after: u64,
    to: Sender<Piece>,
) {
    loop {
        let page = match page(&server, &asker, order, after).await {
            Ok(page) => page,
            Err(refusal) => return fail(&to, &refusal).await,
        };
        let Some(last) = page.last() else {
            return;
        };
        after = last.cursor;
        for part in page {
            let sent = match frame(&server, part).await {
                Ok(frame) => to.send(Ok(frame)).await,
                Err(refusal) => return fail(&to, &refusal).await,
            };
            // Nobody listens any more.
            if sent.is_err() {
                return;
            }
        }
    }
}

async fn fail(to: &Sender<Piece>, refusal: &Refusal) {
    tracing::warn!(error = %refusal, "a stream of an order's parts broke off");
    // Nobody may listen any more.
    let _ = to.send(Err(io::Error::other("the stream broke off"))).await;
}

/// The next parts, each logged as fetched where its content goes along.
async fn page(
    server: &Server,
    asker: &CallingPerson,
    order: OrderId,
    after: u64,
) -> Result<Vec<StreamedPart>, Refusal> {
    // The stream may be long, and the policy a newer one by now.
    asker.check_still(&server.documents().policy)?;
    let index = &server.index;
    let page = index
        .parts_of_order(&asker.scope, order, after, PAGE)
        .await?;
    let by_key = asker.person.signing_key.key_id();
    let sent = page.iter().filter(|found| goes_along(found));
    let logged = sent.map(|found| {
        let part = stored(found);
        server.custody.log(Action::Fetched { part, by_key })
    });
    let logged = try_join_all(logged).await?;
    for _ in logged {
        server.metrics.fetched.inc();
    }
    Ok(page)
}

fn goes_along(found: &StreamedPart) -> bool {
    found.part.size_bytes <= MAX_INLINE_BYTES && found.expired.is_none()
}

fn stored(found: &StreamedPart) -> StoredPart {
    StoredPart {
        collection: found.collection,
        part: found.part.part,
        stored_sha256: found.part.stored_sha256,
    }
}

/// The head of a part as a line, and its content where it goes along.
async fn frame(server: &Server, found: StreamedPart) -> Result<Bytes, Refusal> {
    let (digest, size_bytes) = (found.part.stored_sha256, found.part.size_bytes);
    let content_bytes = match goes_along(&found) {
        true => size_bytes,
        false => 0,
    };
    let statement = String::from_utf8(found.statement).map_err(Refusal::failed)?;
    let head = PartFrame {
        v: VERSION,
        cursor: found.cursor,
        collection: found.collection,
        agent: found.agent,
        hostname: found.hostname,
        complete: found.complete,
        part: found.part,
        statement,
        receipt: found.receipt,
        tsr: found.tsr.map(|tsr| BASE64.encode(&tsr)),
        enrolment: found.enrolment,
        revocation: found.revocation,
        expired: found.expired,
        content_bytes,
    };
    let mut frame = serde_json::to_vec(&head).map_err(Refusal::failed)?;
    frame.push(b'\n');
    if content_bytes > 0 {
        let content = server.blobs.read(digest, 0..content_bytes).await?;
        let pieces: Vec<Bytes> = content.try_collect().await.map_err(Refusal::failed)?;
        pieces
            .iter()
            .for_each(|piece| frame.extend_from_slice(piece));
    }
    Ok(frame.into())
}
