//! The custody log as the server shows it: continued, cut, forked, or not shown at all.

use super::{
    script::{Host, PROFILE, parts, record},
    *,
};

#[test]
fn a_custody_log_that_goes_on_is_remembered_and_one_that_was_cut_is_an_alarm() {
    let host = Host::new();
    let world = &host.world;
    let mut courier = host.start();
    courier.log = world.log_of(0, 3);
    courier.checkpoint_asked();
    let remembered = || host.known().checkpoint;
    let until = |note: String| {
        while remembered().as_ref() != Some(&note) {
            thread::yield_now();
        }
    };
    until(world.checkpoint(&courier.log));
    // By the receipt of a part that was delivered, once the server has proven it.
    courier.log = world.log_of(0, 5);
    courier.hand(&FromSpool::Receipt {}, &world.part_receipt(&courier.log));
    courier.serving_until(|said| matches!(said, FromReader::AskConsistency { from: 3, to: 5 }));
    let five = world.checkpoint(&courier.log);
    until(five.clone());
    // What the log's key has not signed changes nothing.
    courier.hand(&FromSpool::Receipt {}, b"{}");
    assert!(courier.leave().is_ok());
    assert_eq!(host.known().log_alarm, None);

    // The server was put back to an older copy.
    let mut courier = host.start();
    courier.log = world.log_of(0, 4);
    courier.checkpoint_asked();
    while host.known().log_alarm.is_none() {
        thread::yield_now();
    }
    let alarm = host.known().log_alarm.unwrap();
    assert_eq!(
        (alarm.held, alarm.shown),
        (five.clone(), world.checkpoint(&courier.log))
    );
    assert!(
        alarm.why.contains("had 5 leaves and shows 4"),
        "{}",
        alarm.why
    );
    assert_eq!(remembered(), Some(five));
    let status = crate::status::Status::read(&host.path(""), Instant::now()).unwrap();
    assert!(status.to_text().contains("ALARM"), "{}", status.to_text());
    assert!(status.to_json()["custody_alarm"]["shown"].is_string());
    // The next collection tells it.
    courier.order(&world.handed(&world.order(7, PROFILE)));
    let collection = courier.accepted();
    courier.ended();
    let refusals = record(&host, collection, &parts(&host, collection)[0]).refusals;
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].what, "custody log");
    assert!(courier.leave().is_ok());
}

#[test]
fn a_server_without_a_proof_is_an_alarm_and_one_that_is_silent_is_asked_again() {
    let host = Host::new();
    let world = &host.world;
    let mut courier = host.start();
    courier.log = world.log_of(0, 3);
    courier.checkpoint_asked();
    while host.known().checkpoint.is_none() {
        thread::yield_now();
    }
    let held = host.known().checkpoint;
    let forked = world.log_of(10, 6);
    courier.is_reachable = false;
    for _ in 0..2 {
        courier.hand(&FromSpool::Receipt {}, &world.part_receipt_at(&forked, 10));
        courier.serving_until(|said| matches!(said, FromReader::AskConsistency { from: 3, to: 6 }));
    }
    courier.is_reachable = true;
    courier.log = forked;
    courier.hand(
        &FromSpool::Receipt {},
        &world.part_receipt_at(&courier.log, 10),
    );
    courier.serving_until(|said| matches!(said, FromReader::AskConsistency { from: 3, to: 6 }));
    while host.known().log_alarm.is_none() {
        thread::yield_now();
    }
    assert_eq!(host.known().checkpoint, held);
    assert!(courier.leave().is_ok());
}
