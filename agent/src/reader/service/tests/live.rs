//! What a collection tells of its log while it runs.

use std::io::Read as _;

use data_encoding::BASE64;
use evidence::{digest::Digest, envelope::Envelope, wrap::UnwrapReader};
use protocol::live::{Line, LogPiece};

use super::{
    PROFILE,
    script::{Courier, Host},
};

/// The pieces that came, in order: documents whose signature holds, their digests, and their lines.
fn read(host: &Host, courier: &Courier<'_>) -> Vec<(LogPiece, Digest, Vec<Line>)> {
    let one = |(piece, content): &(String, String)| {
        let envelope = Envelope::parse(piece.as_bytes()).unwrap();
        let said = LogPiece::open(&envelope, &host.seal_key).unwrap();
        let content = BASE64.decode(content.as_bytes()).unwrap();
        assert!(said.fits(&content));
        let mut plain = Vec::new();
        let mut unwrapped = UnwrapReader::new(&host.world.vault[..1], &content[..]).unwrap();
        unwrapped.read_to_end(&mut plain).unwrap();
        let lines = serde_json::Deserializer::from_slice(&plain).into_iter();
        (said, envelope.digest(), lines.map(Result::unwrap).collect())
    };
    courier.pieces.iter().map(one).collect()
}

#[test]
fn the_pieces_of_a_collection_are_chained_sealed_and_say_what_its_log_says() {
    let host = Host::new();
    let order = host.world.order(7, PROFILE);
    let handed = host.world.handed(&order);
    let mut courier = host.start();
    courier.order(&handed);
    let collection = courier.accepted();
    courier.ended();
    let pieces = read(&host, &courier);
    let digest = Envelope::parse(handed.order.as_bytes()).unwrap().digest();
    let mut before = None;
    for (at, (said, document, _)) in pieces.iter().enumerate() {
        assert_eq!((said.collection, said.order_digest), (collection, digest));
        assert_eq!((said.attempt, said.piece as usize), (1, at + 1));
        assert_eq!((said.previous, said.last), (before, at + 1 == pieces.len()));
        before = Some(*document);
    }
    let lines = pieces.iter().flat_map(|(.., lines)| lines);
    let messages: Vec<_> = lines
        .filter_map(|line| match line {
            Line::Log(line) => Some(line.message.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(messages.first(), Some(&"the collection begins"));
    assert_eq!(messages.last(), Some(&"the collection ends"));
    for artifact in ["mounts", "accounts", "system"] {
        let begins = format!("{artifact} begins");
        assert!(messages.contains(&begins.as_str()), "{messages:?}");
        let took = format!("{artifact} took ");
        assert!(messages.iter().any(|m| m.starts_with(&took)));
    }
    assert!(courier.leave().is_ok());
}

#[test]
fn a_collection_that_is_taken_up_again_counts_its_pieces_anew() {
    let host = Host::new();
    let mut courier = host.start();
    courier.order(&host.world.handed(&host.world.order(7, PROFILE)));
    courier.dead_after = Some(2);
    courier.until_dead();
    let _broken = courier.leave();
    let mut courier = host.start();
    courier.ended();
    let pieces = read(&host, &courier);
    let first = &pieces[0].0;
    assert_eq!((first.attempt, first.piece, first.previous), (2, 1, None));
    assert!(pieces.last().unwrap().0.last);
    assert!(courier.leave().is_ok());
}
