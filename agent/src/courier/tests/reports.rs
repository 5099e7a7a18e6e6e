//! Reports that wait for very long: never more than the newest of those about the same, and never the courier's end.

use std::fs;

use evidence::ids::{CollectionId, OrderId};
use protocol::messages::{AgentReport, Report};

use super::{
    World, names,
    orders::{accepted, ended, order},
};
use crate::{
    courier::testing::until,
    link::{FromReader, FromSpool},
};

fn capture(order: OrderId, number: u32) -> [Report; 2] {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_le_bytes());
    let collection = CollectionId::from_bytes(id);
    let ended = Report::Ended {
        order,
        collection,
        parts: number,
        ended_early: None,
    };
    let capturing = Report::Capturing {
        order,
        collection,
        number,
    };
    [capturing, ended]
}

#[test]
fn of_a_watch_on_a_host_without_a_network_the_newest_capture_is_told() {
    let world = World::new();
    world.server.vanish();
    let (watch, _) = order(1);
    let (last, _) = order(2);
    let mut courier = world.start();
    courier.say(&FromReader::Report {
        report: Report::Held { order: watch },
    });
    for number in 1..=100 {
        for report in capture(watch, number) {
            courier.say(&FromReader::Report { report });
        }
    }
    courier.say(&FromReader::Report {
        report: accepted(last),
    });
    let files = || names(&world.folder.reports());
    until("four wait", || {
        let files = files();
        files.len() == 4 && files.iter().any(|name| name.contains("201.json"))
    });
    courier.stop().unwrap();
    // The end of the last one is told again at each start.
    for _ in 0..3 {
        let mut courier = world.start();
        let [_, report] = capture(watch, 100);
        courier.say(&FromReader::Report { report });
        let nonce = "0a".repeat(16);
        courier.say(&FromReader::AskTime { nonce });
        // What was said before is dealt with by then.
        assert!(matches!(courier.hear().0, FromSpool::Time { .. }));
        courier.stop().unwrap();
    }
    assert_eq!(files().len(), 4);
    world.server.come_back();
    let courier = world.start();
    let [capturing, ended] = capture(watch, 100);
    let held = Report::Held { order: watch };
    let told = [held, capturing, ended, accepted(last)];
    until("they are told", || world.server.with(|s| s.reports == told));
    courier.stop().unwrap();
}

#[test]
fn where_too_many_wait_a_refusal_goes_and_the_courier_stays() {
    let world = World::new();
    world.server.vanish();
    let folder = world.folder.reports();
    let put = |number: usize, ending: &str, report: Report| {
        let json = serde_json::to_vec(&AgentReport { v: 1, report }).unwrap();
        fs::write(folder.join(format!("{number:020}.{ending}")), json).unwrap();
    };
    let (id, _) = order(1);
    put(0, "json", accepted(id));
    for number in 1..4096 {
        let notice = format!("notice {number}");
        put(number, "json", Report::Refused { notice });
    }
    // And some that the server would not have, of which a few are kept.
    for number in 5000..5100 {
        put(number, "refused", ended(id));
    }
    let mut courier = world.start();
    courier.say(&FromReader::Report { report: ended(id) });
    until("it is kept", || {
        // After those that were set aside.
        folder.join(format!("{:020}.json", 5100)).exists()
    });
    let kept = names(&folder);
    let count = |ending: &str| kept.iter().filter(|name| name.ends_with(ending)).count();
    assert_eq!((count(".json"), count(".refused")), (4096, 64));
    let is_there = |name: &str| kept.iter().any(|kept| kept.starts_with(name));
    assert!(is_there(&format!("{:020}.json", 0)), "the acceptance");
    assert!(!is_there(&format!("{:020}.json", 1)), "the first refusal");
    assert!(is_there(&format!("{:020}.refused", 5099)), "the newest");
    courier.stop().unwrap();
}
