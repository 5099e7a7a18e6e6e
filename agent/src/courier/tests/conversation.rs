//! The link: time, renewal, and what ends the conversation.

use std::os::fd::AsFd as _;

use super::World;
use crate::{
    courier::{
        service::CourierError,
        status,
        testing::{AGENT, COLLECTION, until},
        tls,
    },
    link::{FromReader, FromSpool, LinkError, Wrapping},
};

fn ask_time() -> FromReader {
    FromReader::AskTime {
        nonce: "0a".repeat(16),
    }
}

#[test]
fn the_servers_time_comes_or_is_said_not_to() {
    let world = World::new();
    let mut courier = world.start();
    courier.say(&ask_time());
    let FromSpool::Time { nonce, signed } = courier.hear().0 else {
        panic!("no time");
    };
    assert_eq!(signed, Some(format!("signed {nonce}")));
    world.server.vanish();
    courier.say(&ask_time());
    let FromSpool::Time { signed, .. } = courier.hear().0 else {
        panic!("no time");
    };
    assert_eq!(signed, None);
    let sly = "x/../../y".to_owned();
    courier.say(&FromReader::AskTime { nonce: sly.clone() });
    let none = FromSpool::Time {
        nonce: sly,
        signed: None,
    };
    assert_eq!(courier.hear().0, none);
}

#[test]
fn a_revocation_is_known_on_the_host_and_outlasts_what_anybody_may_ask() {
    let world = World::new();
    world.server.with(|s| s.is_revoked = true);
    let mut courier = world.start();
    let told = || status::read(world.state.path()).unwrap().unwrap();
    until("it is known", || told().revoked.is_some());
    let since = told().revoked;
    assert!(told().last_error.unwrap().text.contains("revoked"));
    // The time is anybody's to ask: it takes nothing back.
    courier.say(&ask_time());
    assert!(matches!(
        courier.hear().0,
        FromSpool::Time {
            signed: Some(_),
            ..
        }
    ));
    courier.stop().unwrap();
    assert_eq!(told().revoked, since);
    // It was a mistake, and the server takes the agent for what it is again.
    world.server.with(|s| s.is_revoked = false);
    let courier = world.start();
    until("all is well", || told().revoked.is_none());
    courier.stop().unwrap();
    assert_eq!(told().revoked, None);
}

#[test]
fn a_certificate_past_its_half_is_renewed_once_for_the_same_key_and_taken_into_use() {
    let world = World::with_certificate(false);
    let window = || tls::window(&world.folder.text(&world.folder.chain(AGENT)).unwrap()).unwrap();
    let key = || world.folder.text(&world.folder.key(AGENT)).unwrap();
    let (old_window, old_key) = (window(), key());
    let mut courier = world.start();
    until("the new one is kept", || window() != old_window);
    // The same thread renews the seal's: when it has done so, it has found nothing more to do for TLS.
    courier.say(&FromReader::RenewSeal {
        envelope: "envelope".into(),
    });
    assert!(matches!(courier.hear().0, FromSpool::SealRenewed { .. }));
    assert_eq!(world.server.with(|s| s.renewals), 2);
    assert_eq!(key(), old_key);
    // A new connection shows the new certificate.
    world.server.vanish();
    world.server.come_back();
    courier.begin();
    courier.seal(1, b"ciphertext");
    until("a part is delivered", || !world.has("part-0001.zip.age"));
    courier.stop().unwrap();
    let told = status::read(world.state.path()).unwrap().unwrap();
    assert_eq!(told.certificate_ends, Some(window().until));
}

#[test]
fn the_reader_gets_its_new_seal_certificate() {
    let world = World::new();
    let mut courier = world.start();
    courier.say(&FromReader::RenewSeal {
        envelope: "envelope".into(),
    });
    let chain_pem = "chain for envelope".to_owned();
    assert_eq!(courier.hear().0, FromSpool::SealRenewed { chain_pem });
}

#[test]
fn what_is_not_encrypted_is_refused() {
    let world = World::new();
    let mut courier = world.start();
    courier.say(&FromReader::Begin {
        collection: COLLECTION,
        wrapping: Wrapping::None,
        seal_certificate_pem: None,
        closing_bytes: 0,
    });
    let ended = courier.ended();
    assert!(matches!(
        ended,
        Err(CourierError::Link(LinkError::OutOfTurn(_)))
    ));
}

#[test]
fn a_message_out_of_turn_ends_the_conversation() {
    let open = FromReader::OpenSlot {
        collection: COLLECTION,
        slot: 1,
        closing: false,
    };
    let again = FromReader::Hello {
        v: crate::link::VERSION,
        policy_version: 0,
        agent: Some(AGENT),
    };
    for message in [open, again] {
        let world = World::new();
        let mut courier = world.start();
        courier.say(&message);
        assert!(courier.ended().is_err(), "{message:?}");
    }
    let world = World::new();
    let mut courier = world.start();
    let file = tempfile::tempfile().unwrap();
    courier.link.send(&ask_time(), Some(file.as_fd())).unwrap();
    assert!(courier.ended().is_err());
}

#[test]
fn a_reader_that_is_gone_ends_the_courier() {
    let world = World::new();
    let mut courier = world.start();
    let (other, _) = crate::platform::socket::pair().unwrap();
    courier.link = crate::link::Link::new(other);
    assert!(matches!(
        courier.ended(),
        Err(CourierError::Link(LinkError::Closed))
    ));
}

#[test]
fn two_couriers_never_deliver_from_one_folder() {
    let world = World::new();
    let _first = world.start();
    let (_ours, theirs) = crate::platform::socket::pair().unwrap();
    let stop = crate::stop::Stop::default();
    let second = crate::courier::service::run(
        world.state.path(),
        theirs,
        crate::platform::sandbox::Walls::default(),
        &stop,
    );
    assert!(matches!(second, Err(CourierError::Folder(_))));
}

#[test]
fn a_courier_that_is_told_to_stop_lets_the_reader_seal_what_it_has_open() {
    let world = World::new();
    let mut courier = world.start();
    courier.begin();
    courier.open(1);
    courier.tell_to_stop();
    // Longer than the courier's look at the flag.
    std::thread::sleep(std::time::Duration::from_millis(700));
    courier.fill(1, b"ciphertext");
    assert!(world.has("part-0001.statement.json"));
    courier.stop().unwrap();
}

#[test]
fn the_reader_gets_the_logs_checkpoint_and_proofs_or_hears_that_there_are_none() {
    let world = World::new();
    let mut courier = world.start();
    courier.say(&FromReader::AskCheckpoint {});
    let note = Some("the log's note".to_owned());
    assert_eq!(courier.hear().0, FromSpool::Checkpoint { note });
    let node = evidence::digest::Digest::of(b"node");
    // A server that has no proof has none; one that is not reached says nothing.
    for ((from, to), proof) in [((3, 8), Some(vec![node])), ((8, 3), Some(Vec::new()))] {
        courier.say(&FromReader::AskConsistency { from, to });
        assert_eq!(courier.hear().0, FromSpool::Consistency { from, to, proof });
    }
    world.server.vanish();
    let (from, to) = (3, 8);
    courier.say(&FromReader::AskConsistency { from, to });
    let proof = None;
    assert_eq!(courier.hear().0, FromSpool::Consistency { from, to, proof });
    courier.stop().unwrap();
}
