//! Pieces of the live log: sent in order, repeated where that helps, dropped and counted where it does not; evidence
//! never waits for them.

use super::World;
use crate::{
    courier::{
        status,
        testing::{Act, Courier, until},
    },
    link::FromReader,
};

fn say(courier: &mut Courier, number: usize) {
    courier.say(&FromReader::LogPiece {
        piece: format!("piece {number}"),
        content: "AA==".into(),
    });
}

impl World {
    /// The pieces that the server has.
    fn pieces(&self) -> Vec<String> {
        let pieces = self.server.with(|s| s.log_pieces.clone());
        pieces.into_iter().map(|p| p.piece).collect()
    }

    fn dropped(&self) -> u64 {
        let told = status::read(self.state.path()).unwrap();
        told.map_or(0, |t| t.log_pieces_dropped)
    }
}

#[test]
fn what_the_server_refuses_for_now_comes_again_in_order_and_what_it_never_takes_is_dropped() {
    let world = World::new();
    world
        .server
        .fault("POST", "/v1/agent/log", Act::Refuse(503, Some(0)));
    let mut courier = world.start();
    say(&mut courier, 1);
    say(&mut courier, 2);
    until("both came", || world.pieces().len() == 2);
    assert_eq!(world.pieces(), ["piece 1", "piece 2"]);
    world
        .server
        .fault("POST", "/v1/agent/log", Act::Refuse(422, None));
    say(&mut courier, 3);
    until("it was refused", || world.server.is_faultless());
    say(&mut courier, 4);
    until("the next came", || world.pieces().len() == 3);
    assert_eq!(world.pieces()[2], "piece 4");
    until("it is counted", || world.dropped() == 1);
    courier.stop().unwrap();
}

#[test]
fn while_the_server_is_away_the_newest_wait_and_a_part_is_delivered_as_ever() {
    let world = World::new();
    let mut courier = world.start();
    world.server.vanish();
    (1..=40).for_each(|n| say(&mut courier, n));
    until("the oldest are dropped", || world.dropped() == 8);
    courier.begin();
    courier.seal(1, b"ciphertext");
    world.server.come_back();
    until("the part is delivered", || !world.has("part-0001.zip.age"));
    until("the newest came", || world.pieces().len() == 32);
    let expected: Vec<_> = (9..=40).map(|n| format!("piece {n}")).collect();
    assert_eq!(world.pieces(), expected);
    courier.stop().unwrap();
}

#[test]
fn a_part_does_not_wait_for_a_server_that_takes_no_pieces() {
    let world = World::new();
    for _ in 0..50 {
        world
            .server
            .fault("POST", "/v1/agent/log", Act::Refuse(503, None));
    }
    let mut courier = world.start();
    (1..=5).for_each(|n| say(&mut courier, n));
    courier.begin();
    courier.seal(1, b"ciphertext");
    until("the part is delivered", || !world.has("part-0001.zip.age"));
    assert!(world.pieces().is_empty());
    courier.stop().unwrap();
}
