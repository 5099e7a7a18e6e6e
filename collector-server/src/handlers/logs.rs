//! Live logs: pieces from agents, and as a stream to people.
//!
//! The server sees how long a piece is and where it belongs. Who gets pieces of a collection is a custody event, logged
//! once for each person and before the first of them is sent.

use std::{collections::BTreeSet, io, sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use data_encoding::BASE64;
use evidence::{
    custody::event::Action,
    envelope::Envelope,
    ids::{AgentId, CollectionId, OrderId},
    instant::Instant,
};
use futures_util::stream;
use protocol::{
    live::{LogFrame, LogPiece, MAX_PIECE_BYTES, SendLogPiece},
    messages::MAX_WAIT_MS,
    version::VERSION,
};
use serde::Deserialize;
use tokio::{
    sync::mpsc::{Sender, channel},
    time::{Instant as Moment, sleep_until},
};

use super::{Answer, App, Message, enrolment::seal_keys};
use crate::{
    access::{Caller, CallingPerson},
    refusal::Refusal,
    state::{Asker, Server, poll_permit},
    store::{
        index::Change,
        log_pieces::{Change as PieceChange, KeptPiece, NewPiece},
    },
};

/// Pieces that are looked up at once.
const PAGE: u32 = 16;
/// Frames that wait for a slow reader.
const AHEAD: usize = 4;

/// `POST /v1/agent/log`.
pub(crate) async fn take(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Message(sent): Message<SendLogPiece>,
) -> Answer {
    let agent = caller.agent()?.id;
    server.saw(agent);
    let content = BASE64.decode(sent.content.as_bytes());
    let content = content.map_err(|_| Refusal::Malformed("the content is not base64".into()))?;
    if content.len() > MAX_PIECE_BYTES {
        return Err(Refusal::TooLarge);
    }
    let said = read_piece(&server, agent, &sent.piece).await?;
    if said.agent != agent || said.attempt == 0 || said.piece == 0 || !said.fits(&content) {
        let why = "the piece's document speaks of another agent, number or content. Send each with its own.";
        return Err(Refusal::unacceptable(why));
    }
    let new = NewPiece {
        agent,
        order_digest: said.order_digest,
        collection: said.collection,
        attempt: said.attempt,
        piece: said.piece,
        envelope: sent.piece,
        content,
        received: Instant::now(),
    };
    let change = PieceChange::Keep(Box::new(new));
    server.change(Change::LogPiece(change)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The document, signed by a seal key of the agent that sends it.
async fn read_piece(server: &Server, agent: AgentId, piece: &str) -> Result<LogPiece, Refusal> {
    let envelope = Envelope::parse(piece.as_bytes())
        .map_err(|e| Refusal::Malformed(format!("the piece: {e}")))?;
    let mut read = Err(Refusal::NotFound);
    for key in seal_keys(server, agent).await? {
        read = LogPiece::open(&envelope, &key).map_err(Refusal::unacceptable);
        if read.is_ok() {
            break;
        }
    }
    read
}

/// From where on, whose, and for how long.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    #[serde(default)]
    after: u64,
    agent: Option<String>,
    #[serde(default)]
    wait_ms: u64,
}

type Piece = Result<Bytes, io::Error>;

/// `GET /v1/orders/{order}/log`.
pub(crate) async fn stream(
    State(server): App,
    Extension(caller): Extension<Caller>,
    Path(order): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
    method: Method,
) -> Answer {
    let asker = caller.person()?;
    let order: OrderId = order.parse().map_err(|_| Refusal::NotFound)?;
    let Query(asked) = asked.map_err(|e| Refusal::Malformed(e.body_text()))?;
    let agent = asked.agent.map(|id| id.parse()).transpose();
    let agent: Option<AgentId> = agent.map_err(|_| Refusal::Malformed("the agent".into()))?;
    let who = (&asker.scope, &asker.person.id);
    let visible = server.index.visible(order, who).await?;
    visible.ok_or(Refusal::NotFound)?;
    let kind = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    if method == Method::HEAD {
        return Ok(kind.into_response());
    }
    if asked.wait_ms > 0 {
        // Told now where it can be told; the stream takes its own when it waits.
        drop(poll_permit(&server, person(&asker))?);
    }
    let (sender, receiver) = channel::<Piece>(AHEAD);
    let sending = Sending {
        server,
        asker,
        order,
        agent,
        after: asked.after,
        until: Moment::now() + Duration::from_millis(asked.wait_ms.min(MAX_WAIT_MS)),
        told: BTreeSet::new(),
        to: sender,
    };
    tokio::spawn(sending.run());
    let pieces = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    Ok((kind, Response::new(Body::from_stream(pieces))).into_response())
}

fn person(asker: &CallingPerson) -> Asker {
    Asker::Person(asker.person.id.clone())
}

/// One stream on its way.
struct Sending {
    server: Arc<Server>,
    asker: CallingPerson,
    order: OrderId,
    agent: Option<AgentId>,
    after: u64,
    until: Moment,
    /// Collections of which it is logged that the person reads them.
    told: BTreeSet<CollectionId>,
    to: Sender<Piece>,
}

impl Sending {
    /// Sends what there is and what comes, until the time is up; where something fails the body breaks off, and the
    /// reader asks again from where it stands.
    async fn run(mut self) {
        if let Err(refusal) = self.send_all().await {
            tracing::warn!(error = %refusal, "a stream of a live log broke off");
            // Nobody may listen any more.
            let _ = self
                .to
                .send(Err(io::Error::other("the stream broke off")))
                .await;
        }
    }

    async fn send_all(&mut self) -> Result<(), Refusal> {
        let server = Arc::clone(&self.server);
        let mut bell = server.wake.logs.listen(self.order);
        let mut stopping = server.stopping.subscribe();
        let mut permit = None;
        loop {
            let page = self.page().await?;
            if page.is_empty() {
                if *stopping.borrow_and_update() || Moment::now() >= self.until {
                    return Ok(());
                }
                if permit.is_none() {
                    permit = Some(poll_permit(&server, person(&self.asker))?);
                }
                tokio::select! {
                    () = sleep_until(self.until) => {}
                    _ = bell.changed() => {}
                    _ = stopping.changed() => {}
                    () = self.to.closed() => return Ok(()),
                }
            }
            for piece in page {
                self.after = piece.number;
                if self.to.send(Ok(frame(piece)?)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    /// The next pieces; that the person reads them is logged.
    async fn page(&mut self) -> Result<Vec<KeptPiece>, Refusal> {
        // The stream may be long, and the policy a newer one by now.
        self.asker.check_still(&self.server.documents().policy)?;
        let of = (self.order, self.agent);
        let index = &self.server.index;
        let page = index.log_pieces(&self.asker.scope, of, self.after, PAGE);
        let page = page.await?;
        let by_key = self.asker.person.signing_key.key_id();
        for piece in &page {
            let collection = piece.collection;
            if self.told.insert(collection) {
                let read = Action::LogRead { collection, by_key };
                self.server.custody.log(read).await?;
            }
        }
        Ok(page)
    }
}

/// A piece as a line.
fn frame(piece: KeptPiece) -> Result<Bytes, Refusal> {
    let frame = LogFrame {
        v: VERSION,
        cursor: piece.number,
        agent: piece.agent,
        hostname: piece.hostname,
        piece: piece.envelope,
        content: BASE64.encode(&piece.content),
    };
    let mut line = serde_json::to_vec(&frame).map_err(Refusal::failed)?;
    line.push(b'\n');
    Ok(line.into())
}
