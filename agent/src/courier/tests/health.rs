//! What the server hears of the agent: whole from the first time, and not cut where it fits.

use super::World;
use crate::{
    courier::testing::until,
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
