//! A run that its limits hold back has what is gone in seconds already, and goes on or ends when it is told to.

use std::{thread, time::Duration};

use evidence::{gap::Reason, instant};
use protocol::messages::WaitsFor;

use super::fixture::{Fixture, Follows, gaps, record, says, volatile};

/// A day of the week that is neither today nor tomorrow.
fn another_day() -> String {
    let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let today = usize::from(instant::local_minute_of_week() / (24 * 60));
    format!("{} 00:00-24:00", days[(today + 3) % 7])
}

#[test]
fn what_is_gone_in_seconds_is_sealed_before_the_run_waits_for_its_hours() {
    let mut host = Fixture::new();
    host.limits.hours = Some(another_day().parse().unwrap());
    // Less than the test takes: what is waited for does not count.
    host.limits.wall_seconds = 1;
    let live = volatile("live", |sink| sink.record(record(1)));
    let rests = says("rests", |sink| sink.record(record(2)));
    let watch = Follows::default();
    let outcome = thread::scope(|scope| {
        let run = scope.spawn(|| host.run(&[live, rests], &watch));
        let waits = || watch.progress.lock().unwrap().waits_for;
        while waits() != Some(WaitsFor::Hours) {
            assert!(!run.is_finished());
            thread::yield_now();
        }
        let sealed = watch.positions.lock().unwrap().len();
        thread::sleep(Duration::from_millis(1500));
        *watch.stop.lock().unwrap() = Some("the order was withdrawn".to_owned());
        assert_eq!(sealed, 1);
        run.join().unwrap().unwrap()
    });
    assert_eq!(
        outcome.ended_early.as_deref(),
        Some("the order was withdrawn")
    );
    assert_eq!(outcome.counts.records, 1);
    let parts = host.parts();
    assert_eq!(
        parts[0]
            .lines::<serde_json::Value>("results/live.jsonl")
            .len(),
        1
    );
    let gaps = gaps(&parts);
    assert!(
        gaps.iter()
            .any(|g| g.artifact == "rests" && g.reason == Reason::Interrupted)
    );
    let log = parts
        .last()
        .unwrap()
        .lines::<serde_json::Value>("log.jsonl");
    assert!(
        log.iter()
            .any(|line| line["message"] == "waits for its hours"),
        "{log:?}"
    );
}

#[test]
fn a_run_that_would_wait_in_vain_ends_and_says_so() {
    let mut host = Fixture::new();
    host.limits.hours = Some("never".parse().unwrap());
    let live = volatile("live", |sink| sink.record(record(1)));
    let rests = says("rests", |sink| sink.record(record(2)));
    let outcome = host.run(&[live, rests], &Follows::default()).unwrap();
    assert!(outcome.ended_early.unwrap().contains("none in the week"));
    assert_eq!(outcome.counts.records, 1);
    let gaps = gaps(&host.parts());
    assert!(
        gaps.iter()
            .any(|g| g.artifact == "limits" && g.subject == "hours")
    );
    assert!(
        gaps.iter()
            .any(|g| g.artifact == "rests" && g.reason == Reason::Limit)
    );
}
