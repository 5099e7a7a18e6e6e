//! What the server hears of the agent: whole from the first time, and not cut where it fits.

use std::{
    fs::{self, File},
    time::{Duration, SystemTime},
};

use super::World;
use crate::{
    courier::{
        status,
        testing::{Act, COLLECTION, Courier, until},
    },
    link::FromReader,
    platform::{
        program::Use,
        sandbox::{Missing, Wall, Walls},
    },
};

#[test]
fn the_first_report_waits_for_what_the_reader_tells_at_its_start() {
    let world = World::new();
    let mut courier = world.start();
    // By now the courier is at work, and a report without the walls would stand there for hours.
    until("it asks for orders", || {
        let asked = |path: &String| path.contains("/v1/agent/orders");
        world.server.with(|s| s.requests.iter().any(asked))
    });
    let why = "the kernel has none: ".repeat(20);
    let walls = Walls {
        up: vec![Wall::Users, Wall::SystemCalls],
        missing: vec![Missing {
            wall: Wall::LockedMemory,
            why: why.clone(),
        }],
    };
    courier.say(&FromReader::Walls { walls });
    let used = Use {
        cpu_ms: 1,
        memory_peak_bytes: 1 << 20,
    };
    courier.say(&FromReader::Used { used });
    until("it is told", || world.server.with(|s| !s.health.is_empty()));
    let told = world.server.with(|s| s.health[0].clone());
    let whole = format!("users, system_calls; missing: locked_memory ({why})");
    assert_eq!(told.reader_walls, Some(whole));
    assert!(told.courier_walls.is_some());
    assert!(told.memory_peak_bytes.unwrap() > used.memory_peak_bytes);
    assert!(told.cpu_day_ms.is_some());
    courier.stop().unwrap();
}

/// What the reader says at its start.
fn first_words(courier: &mut Courier) {
    let walls = Walls::default();
    courier.say(&FromReader::Walls { walls });
    let used = Use::default();
    courier.say(&FromReader::Used { used });
}

#[test]
fn errors_outlast_the_courier_and_a_server_that_knows_none_is_told_all_else() {
    let world = World::new();
    world
        .server
        .fault("GET", "/v1/agent/orders", Act::Refuse(503, Some(600)));
    let courier = world.start();
    let errors = || status::read(world.state.path()).unwrap().unwrap().errors;
    until("it is met", || errors().newest_first().next().is_some());
    courier.stop().unwrap();

    world.server.with(|s| s.is_older = true);
    let mut courier = world.start();
    first_words(&mut courier);
    until("it is told", || world.server.with(|s| !s.health.is_empty()));
    assert!(world.server.with(|s| s.health[0].errors.is_empty()));
    courier.stop().unwrap();

    world.server.with(|s| s.is_older = false);
    let mut courier = world.start();
    first_words(&mut courier);
    until("it is told", || world.server.with(|s| s.health.len() == 2));
    let told = world.server.with(|s| s.health[1].clone());
    let error = &told.errors[0];
    assert!(error.way && error.times == 1, "{error:?}");
    assert_eq!(told.problem.is_some(), !error.over);
    let nonce = "0a".repeat(16);
    courier.say(&FromReader::AskTime { nonce });
    until("it is over", || errors().newest_first().all(|e| e.over));
    courier.stop().unwrap();
}

#[test]
fn the_papers_of_what_was_delivered_long_ago_go_while_the_courier_runs() {
    let world = World::new();
    let folder = world.folder.spool().join(COLLECTION.to_string());
    fs::create_dir_all(&folder).unwrap();
    let ended = File::create(folder.join("ended")).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(31 * 24 * 3600);
    ended.set_modified(long_ago).unwrap();
    let mut courier = world.start();
    first_words(&mut courier);
    until("they are gone", || !folder.exists());
    courier.stop().unwrap();
}
