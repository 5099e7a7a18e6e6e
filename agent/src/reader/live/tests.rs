//! Pieces are bounded, chained, sealed, and none where nothing happens.

use std::{io::Read as _, sync::mpsc::channel, thread};

use evidence::{
    envelope::Envelope,
    ids::AgentId,
    keys::SigningKey,
    records::LogLine,
    wrap::{Identity, UnwrapReader},
};

use super::*;
use crate::link::{FromReader, MESSAGE_BYTES_MAX};

fn line(message: &str) -> Line {
    Line::Log(LogLine {
        time: Instant { seconds: 1, ns: 0 },
        message: message.to_owned(),
        artifact: None,
    })
}

fn pieces(recipients: Vec<Recipient>) -> Pieces {
    let key = SigningKey::generate().unwrap();
    Pieces {
        seal: Seal::enrolled(key, AgentId::from_bytes([1; 16]), Vec::new()),
        recipients,
        collection: CollectionId::from_bytes([2; 16]),
        order_digest: Digest::of(b"order"),
        attempt: 1,
        before: None,
    }
}

/// All that is handed out when `write` writes, and the end follows.
fn handed_out(log: &LiveLog, write: impl FnOnce(&LiveLog)) -> Vec<(Vec<u8>, bool)> {
    write(log);
    log.end();
    let mut out = Vec::new();
    log.serve(Duration::ZERO, |lines, last| {
        out.push((lines.to_vec(), last))
    });
    out
}

fn read(lines: &[u8]) -> Vec<Line> {
    let all = serde_json::Deserializer::from_slice(lines).into_iter();
    all.map(Result::unwrap).collect()
}

#[test]
fn too_many_lines_and_too_long_ones_are_counted() {
    let log = LiveLog::new(2);
    let out = handed_out(&log, |log| {
        log.line(&line(&"x".repeat(MAX_LINE_BYTES)));
        (0..1000).for_each(|n| log.line(&line(&format!("{n:0100}"))));
    });
    let [(bytes, true)] = &out[..] else {
        panic!("{}", out.len());
    };
    assert!(bytes.len() <= MAX_PIECE_BYTES);
    let lines = read(bytes);
    let Some(Line::LeftOut { count }) = lines.last() else {
        panic!("{:?}", lines.last());
    };
    assert_eq!(lines.len() as u64 - 1 + count, 1001);
    assert!(lines.len() > 100);
}

#[test]
fn nothing_is_handed_out_where_nothing_happens_and_what_comes_while_it_rests_comes_together() {
    let log = LiveLog::new(2);
    let (says, hears) = channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            log.serve(Duration::from_secs(3600), |lines, last| {
                says.send((read(lines).len(), last)).unwrap();
            });
        });
        log.line(&line("one"));
        assert_eq!(hears.recv().unwrap(), (1, false));
        // It rests for an hour now.
        log.line(&line("two"));
        log.line(&line("three"));
        assert!(hears.try_recv().is_err());
        log.end();
        assert_eq!(hears.recv().unwrap(), (2, true));
    });
    assert!(hears.try_recv().is_err());
}

#[test]
fn each_piece_names_the_one_before_and_only_the_recipients_read_it() {
    let (identity, other) = (Identity::generate(), Identity::generate());
    let mut pieces = pieces(vec![identity.recipient()]);
    let seal_key = pieces.seal.key().public();
    let (mut number, mut before) = (0, None);
    for (lines, last) in [("a\n", false), ("b\n", false), ("", true)] {
        let (envelope, content) = pieces
            .next(lines.as_bytes(), last, Instant { seconds: 9, ns: 0 })
            .unwrap();
        let envelope = Envelope::parse(envelope.as_bytes()).unwrap();
        let said = LogPiece::open(&envelope, &seal_key).unwrap();
        number += 1;
        assert_eq!(
            (said.piece, said.previous, said.last),
            (number, before, last)
        );
        before = Some(envelope.digest());
        let content = BASE64.decode(content.as_bytes()).unwrap();
        assert!(said.fits(&content));
        let mut plain = String::new();
        let mut reader = UnwrapReader::new(std::slice::from_ref(&identity), &content[..]).unwrap();
        reader.read_to_string(&mut plain).unwrap();
        assert_eq!(plain, lines);
        assert!(UnwrapReader::new(std::slice::from_ref(&other), &content[..]).is_err());
    }
}

#[test]
fn the_longest_piece_fits_the_link_whatever_the_number_of_recipients() {
    for count in [1, 2, 20, 100] {
        let recipients = vec![Identity::generate().recipient(); count];
        let log = LiveLog::new(count);
        let out = handed_out(&log, |log| {
            (0..1000).for_each(|_| log.line(&line(&"\u{1}".repeat(100))));
        });
        let (piece, content) = pieces(recipients)
            .next(&out[0].0, true, Instant { seconds: 9, ns: 0 })
            .unwrap();
        let message = FromReader::LogPiece { piece, content };
        let size = serde_json::to_vec(&message).unwrap().len();
        assert!(size <= MESSAGE_BYTES_MAX, "{count}: {size}");
    }
    // Beyond all measure: it is an error, and no evidence hangs on it.
    let recipients = vec![Identity::generate().recipient(); 400];
    let refused = pieces(recipients).next(b"", true, Instant { seconds: 9, ns: 0 });
    assert!(matches!(refused, Err(PieceError::TooLong)));
}
