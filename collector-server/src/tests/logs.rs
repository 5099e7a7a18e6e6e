//! Live logs: what agents may send, what is kept, and who gets it.

use data_encoding::BASE64;
use evidence::{
    custody::event::{Action, Event},
    digest::Digest,
    envelope::Envelope,
    ids::{CollectionId, OrderId},
    instant::Instant,
    keys::SigningKey,
};
use protocol::{
    live::{LogFrame, LogPiece, MAX_PIECE_BYTES, SendLogPiece},
    messages::{Leaves, Report},
    order::Order,
    version::{self, VERSION},
};
use rustls::version::TLS13;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::orders::{ordered, poll, report};
use crate::{
    store::{
        index::Change,
        log_pieces::{self, MAX_PIECES},
    },
    testing::{Answer, Deployment, Running, TestAgent, later, text},
};

const COLLECTION: CollectionId = CollectionId::from_bytes([9; 16]);

/// What a piece of `agent` says of itself, with this content.
fn document(agent: &TestAgent, order: &Envelope, number: u32, content: &[u8]) -> LogPiece {
    LogPiece {
        v: VERSION,
        collection: COLLECTION,
        agent: agent.id,
        order_digest: order.digest(),
        attempt: 1,
        piece: number,
        last: false,
        previous: None,
        sha256: Digest::of(content),
        size_bytes: content.len() as u64,
        time: Instant::now(),
    }
}

fn sealed(document: &LogPiece, key: &SigningKey, content: &[u8]) -> SendLogPiece {
    SendLogPiece {
        v: VERSION,
        piece: text(&document.sign(key).unwrap()),
        content: BASE64.encode(content),
    }
}

/// A piece as the agent itself would send it.
pub(super) fn piece(agent: &TestAgent, order: &Envelope, number: u32) -> SendLogPiece {
    let content = format!("ciphertext {number}").into_bytes();
    sealed(
        &document(agent, order, number, &content),
        &agent.seal,
        &content,
    )
}

async fn send(s: &Running<'_>, agent: &TestAgent, piece: &SendLogPiece) -> Answer {
    s.post(Some(&agent.tls), "/v1/agent/log", piece).await
}

/// An order that the agent was handed.
async fn handed(s: &Running<'_>, agent: &TestAgent) -> (Order, Envelope) {
    let (order, envelope) = ordered(s, agent).await;
    assert_eq!(poll(s, agent, "").await.status, 200);
    (order, envelope)
}

/// The stream as `person` gets it, in HTTP/1.0 so that the body is nothing but the stream.
async fn ask(s: &Running<'_>, person: &str, order: OrderId, query: &str) -> Answer {
    let request = format!("GET /v1/orders/{order}/log{query} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    s.raw(Some(&s.deployment.person(person).tls), request.as_bytes())
        .await
}

fn frames(body: &[u8]) -> Vec<LogFrame> {
    let lines = body.split_inclusive(|b| *b == b'\n');
    lines
        .map(|line| version::read_message(line, "frame").unwrap())
        .collect()
}

/// The numbers of the pieces that a stream has.
fn numbers(answer: &Answer) -> Vec<u32> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let number = |frame: LogFrame| {
        let envelope = Envelope::parse(frame.piece.as_bytes()).unwrap();
        let said: LogPiece =
            version::read(&envelope, evidence::envelope::LOG_PIECE, "log piece").unwrap();
        let content = BASE64.decode(frame.content.as_bytes()).unwrap();
        assert!(said.fits(&content) && said.agent == frame.agent);
        said.piece
    };
    frames(&answer.body).into_iter().map(number).collect()
}

/// How often somebody's reading of a log was logged.
async fn reads(s: &Running<'_>) -> usize {
    let path = "/v1/custody/leaves?from=0&count=1000";
    let leaves: Leaves = s.get_as("aud", path).await.message();
    let is_read = |leaf: &&String| {
        let Ok(leaf) = BASE64.decode(leaf.as_bytes()) else {
            return false;
        };
        matches!(Event::read(&leaf).unwrap().1.action, Action::LogRead { .. })
    };
    leaves.leaves.iter().filter(is_read).count()
}

#[tokio::test]
async fn pieces_come_in_order_go_on_behind_the_last_and_who_reads_them_is_logged_once() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let (agent, other) = (s.enrol("lab").await, s.enrol("lab").await);
    let (order, envelope) = handed(&s, &agent).await;
    for number in 1..=3 {
        let piece = piece(&agent, &envelope, number);
        assert_eq!(send(&s, &agent, &piece).await.status, 204);
        // The same once more counts once.
        assert_eq!(send(&s, &agent, &piece).await.status, 204);
    }
    // The word that the order was accepted came after the first pieces.
    let accepted = Report::Accepted {
        order: order.id,
        collection: COLLECTION,
    };
    assert_eq!(report(&s, &agent, accepted).await.status, 204);
    assert_eq!(reads(&s).await, 0);
    let all = ask(&s, "ann", order.id, "").await;
    assert_eq!(numbers(&all), [1, 2, 3]);
    assert_eq!(reads(&s).await, 1);
    let after = format!("?after={}", frames(&all.body)[1].cursor);
    assert_eq!(numbers(&ask(&s, "ann", order.id, &after).await), [3]);
    let own = format!("?agent={}", agent.id);
    assert_eq!(numbers(&ask(&s, "ann", order.id, &own).await), [1, 2, 3]);
    let others = format!("?agent={}", other.id);
    assert!(numbers(&ask(&s, "ann", order.id, &others).await).is_empty());
    assert_eq!(reads(&s).await, 1);
    for bad in ["?agent=x", "?since=1", "?after=x"] {
        assert_eq!(ask(&s, "ann", order.id, bad).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn what_is_forged_foreign_or_too_large_is_refused() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let (agent, other) = (s.enrol("lab").await, s.enrol("lab").await);
    let (order, envelope) = handed(&s, &agent).await;
    let said = document(&agent, &envelope, 1, b"content");
    let stranger = SigningKey::generate().unwrap();
    // By another key; of another agent; with another content; without a number.
    assert_eq!(
        send(&s, &agent, &sealed(&said, &stranger, b"content"))
            .await
            .status,
        422
    );
    assert_eq!(
        send(&s, &other, &sealed(&said, &agent.seal, b"content"))
            .await
            .status,
        422
    );
    assert_eq!(
        send(&s, &other, &sealed(&said, &other.seal, b"content"))
            .await
            .status,
        422
    );
    assert_eq!(
        send(&s, &agent, &sealed(&said, &agent.seal, b"Content"))
            .await
            .status,
        422
    );
    let nameless = LogPiece {
        piece: 0,
        ..said.clone()
    };
    assert_eq!(
        send(&s, &agent, &sealed(&nameless, &agent.seal, b"content"))
            .await
            .status,
        422
    );
    // Of an order that the agent was not handed, or that is none.
    let theirs = document(&other, &envelope, 1, b"content");
    assert_eq!(
        send(&s, &other, &sealed(&theirs, &other.seal, b"content"))
            .await
            .status,
        404
    );
    let (_, waiting) = ordered(&s, &agent).await;
    let early = document(&agent, &waiting, 1, b"content");
    assert_eq!(
        send(&s, &agent, &sealed(&early, &agent.seal, b"content"))
            .await
            .status,
        404
    );
    // Too large, by the piece and by the message.
    let large = vec![7; MAX_PIECE_BYTES + 1];
    let said_large = document(&agent, &envelope, 1, &large);
    assert_eq!(
        send(&s, &agent, &sealed(&said_large, &agent.seal, &large))
            .await
            .status,
        413
    );
    let huge = vec![7; 100_000];
    assert_eq!(
        send(&s, &agent, &sealed(&said, &agent.seal, &huge))
            .await
            .status,
        413
    );
    // No base64.
    let mut odd = sealed(&said, &agent.seal, b"content");
    odd.content.push('!');
    assert_eq!(send(&s, &agent, &odd).await.status, 400);
    assert!(numbers(&ask(&s, "ann", order.id, "").await).is_empty());
    // The order became another collection.
    let accepted = Report::Accepted {
        order: order.id,
        collection: CollectionId::from_bytes([8; 16]),
    };
    assert_eq!(report(&s, &agent, accepted).await.status, 204);
    assert_eq!(
        send(&s, &agent, &sealed(&said, &agent.seal, b"content"))
            .await
            .status,
        409
    );
}

#[tokio::test]
async fn the_newest_are_kept_and_old_ones_go() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, envelope) = handed(&s, &agent).await;
    for number in 1..=MAX_PIECES + 3 {
        let piece = piece(&agent, &envelope, number);
        assert_eq!(send(&s, &agent, &piece).await.status, 204);
    }
    let expected: Vec<u32> = (4..=MAX_PIECES + 3).collect();
    assert_eq!(numbers(&ask(&s, "ann", order.id, "").await), expected);
    let sweep = |days: i64| log_pieces::Change::Sweep {
        now: later(days * 86_400),
    };
    for (days, left) in [(8, expected.len()), (31, 0)] {
        s.server
            .change(Change::LogPiece(sweep(days)))
            .await
            .unwrap();
        assert_eq!(numbers(&ask(&s, "ann", order.id, "").await).len(), left);
    }
}

#[tokio::test]
async fn other_agencies_and_other_roles_get_nothing() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, envelope) = handed(&s, &agent).await;
    assert_eq!(
        send(&s, &agent, &piece(&agent, &envelope, 1)).await.status,
        204
    );
    assert_eq!(ask(&s, "nat", order.id, "").await.status, 404);
    for person in ["aud", "bob", "eve"] {
        assert_eq!(ask(&s, person, order.id, "").await.status, 403, "{person}");
    }
    let path = format!("/v1/orders/{}/log", order.id);
    let ann = Some(&d.person("ann").tls);
    assert_eq!(s.send(ann, "HEAD", &path, "", &[]).await.status, 200);
    assert_eq!(reads(&s).await, 0);
}

#[tokio::test]
async fn who_follows_gets_a_piece_as_it_comes_and_the_stream_ends_with_the_server() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, envelope) = handed(&s, &agent).await;
    let ann = Some(&d.person("ann").tls);
    let mut stream = d.connect(s.port, ann, &TLS13).await.unwrap();
    let path = format!("/v1/orders/{}/log?wait_ms=55000", order.id);
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut got = Vec::new();
    for number in 1..=2 {
        // The stream waits for news before each.
        while s.server.polls.available_permits() == s.server.config.max_polls {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            send(&s, &agent, &piece(&agent, &envelope, number))
                .await
                .status,
            204
        );
        let lines = |got: &[u8]| Answer::read(got).body.split(|b| *b == b'\n').count() - 1;
        while !got.windows(4).any(|w| w == b"\r\n\r\n") || lines(&got) < number as usize {
            let mut more = [0; 4096];
            let read = stream.read(&mut more).await.unwrap();
            assert!(read > 0, "it ended early");
            got.extend_from_slice(&more[..read]);
        }
    }
    s.stop().await;
    // Its end is an end, not a break.
    stream.read_to_end(&mut got).await.unwrap();
    assert_eq!(numbers(&Answer::read(&got)), [1, 2]);

    // What was there is there after a new start, and goes on behind the last.
    let s = d.start().await;
    assert_eq!(
        send(&s, &agent, &piece(&agent, &envelope, 3)).await.status,
        204
    );
    let cursor = frames(&Answer::read(&got).body)[1].cursor;
    let more = ask(&s, "ann", order.id, &format!("?after={cursor}")).await;
    assert_eq!(numbers(&more), [3]);
}
