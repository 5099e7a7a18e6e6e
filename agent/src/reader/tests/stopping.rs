//! A run that is stopped, hangs, loses its disk or is taken up again still ends in a chain that says so.

use std::{
    path::Path,
    sync::mpsc::{channel, sync_channel},
    time::Duration,
};

use evidence::gap::{Reason, Severity};

use super::fixture::{Fixture, Follows, file, files, gaps, record, says, volatile};
use crate::{courier::room::Floor, reader::task::Position};

#[test]
fn a_stop_seals_what_there_is_and_says_what_is_missing() {
    let host = Fixture::new();
    let watch = Follows::default();
    *watch.stop.lock().unwrap() = Some("the order was withdrawn".to_owned());
    let endless = says("endless", |sink| {
        (0..).try_for_each(|n| sink.record(record(n)))
    });
    let never = says("never", |sink| sink.record(record(1)));
    let outcome = host.run(&[endless, never], &watch).unwrap();
    assert_eq!(
        outcome.ended_early.as_deref(),
        Some("the order was withdrawn")
    );
    let parts = host.parts();
    let last = parts.last().unwrap().record();
    assert!(last.last);
    assert_eq!(last.ended_early.as_deref(), Some("the order was withdrawn"));
    let gaps = gaps(&parts);
    for name in ["endless", "never"] {
        let gap = gaps.iter().find(|g| g.artifact == name).unwrap();
        assert_eq!(
            (gap.reason, gap.severity),
            (Reason::Interrupted, Severity::Serious)
        );
    }
}

#[test]
fn the_time_limit_ends_a_run_in_a_closing_part() {
    let mut host = Fixture::new();
    host.limits.wall_seconds = 1;
    let endless = says("endless", |sink| {
        (0..).try_for_each(|n| sink.record(record(n)))
    });
    let outcome = host.run(&[endless], &Follows::default()).unwrap();
    assert!(outcome.ended_early.unwrap().contains("time limit"));
    assert!(
        gaps(&host.parts())
            .iter()
            .any(|g| g.reason == Reason::Limit)
    );
}

#[test]
fn an_artifact_that_hangs_in_the_host_becomes_a_gap_and_the_rest_goes_on() {
    let mut host = Fixture::new();
    host.patience = Duration::from_millis(300);
    let (hold, held) = sync_channel::<()>(0);
    let held = std::sync::Mutex::new(held);
    let hangs = says("hangs", move |sink| {
        sink.record(record(1))?;
        // As in a read of a disk that doesn't answer: until the test's end.
        let _ = held.lock().unwrap().recv();
        sink.record(record(2))
    });
    let next = says("next", |sink| sink.record(record(3)));
    let outcome = host.run(&[hangs, next], &Follows::default()).unwrap();
    drop(hold);
    assert_eq!(outcome.ended_early, None);
    assert_eq!(outcome.counts.records, 2);
    let gaps = gaps(&host.parts());
    assert_eq!(gaps.len(), 1);
    assert_eq!(
        (gaps[0].artifact.as_str(), gaps[0].severity),
        ("hangs", Severity::Serious)
    );
}

#[test]
fn an_artifact_that_panics_is_a_gap() {
    let host = Fixture::new();
    let panics = says("panics", |sink| {
        sink.record(record(1))?;
        panic!("as a fault of ours would")
    });
    let parts = host.collect(&[panics, says("next", |sink| sink.record(record(2)))]);
    assert_eq!(parts.last().unwrap().record().counts_so_far.records, 2);
    let gaps = gaps(&parts);
    assert!(
        gaps.iter()
            .all(|g| g.artifact == "panics" && g.severity == Severity::Serious)
    );
    assert!(!gaps.is_empty());
}

#[test]
fn too_little_free_space_ends_the_run_in_a_closing_part_that_says_so() {
    let mut host = Fixture::new();
    host.floor = Floor::at_least(1 << 62);
    host.put("a", b"x");
    let outcome = host
        .run(&[files("test", &["/a"])], &Follows::default())
        .unwrap();
    let why = outcome.ended_early.unwrap();
    assert!(why.contains("stay free"), "{why}");
    let parts = host.parts();
    assert_eq!(parts.len(), 1);
    assert!(parts[0].record().last);
    assert!(gaps(&parts).iter().any(|g| g.artifact == "test"));
}

#[test]
fn a_run_is_taken_up_where_its_chain_stands() {
    let mut host = Fixture::new();
    host.put("a", b"x");
    let watch = Follows::default();
    let (told, tells) = channel();
    let told = std::sync::Mutex::new(told);
    let first = volatile("first", |sink| sink.record(record(1)));
    let second = says("second", move |sink| {
        let _ = told.lock().unwrap().send(());
        sink.record(record(2))
    });
    host.run(&[first, second], &watch).unwrap();
    assert!(tells.try_recv().is_ok());
    let all = watch.positions.lock().unwrap().clone();
    assert_eq!(all.last().unwrap().finished, ["first", "second"]);

    // As after kill -9 right after the first part.
    let folder = host.output.path().join(super::fixture::ID.to_string());
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_string_lossy().contains("part-0001") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let position: Position = all[0].clone();
    assert_eq!(position.finished, ["first"]);
    host.position = Some(position);
    let gone = volatile("gone", |sink| sink.record(record(3)));
    let outcome = host
        .run(&[first, gone, second], &Follows::default())
        .unwrap();
    let parts = host.parts();
    assert_eq!(outcome.parts[0].part, 2);
    let last = parts.last().unwrap().record();
    assert_eq!(last.attempt, 2);
    let since_boot = |part: &super::fixture::Part| part.record().monotonic_ns.unwrap();
    let [before, after] = [&parts[0], &parts[1]].map(|p| since_boot(p).parse::<u64>().unwrap());
    assert!(0 < before && before < after, "{before} {after}");
    assert_eq!(last.counts_so_far.records, 2);
    assert_eq!(
        parts[1].record().previous_sha256,
        Some(evidence::digest::Digest::of(&parts[0].bytes))
    );
    let gaps = gaps(&parts);
    assert_eq!(gaps.len(), 1);
    assert_eq!(
        (gaps[0].artifact.as_str(), gaps[0].reason),
        ("gone", Reason::Interrupted)
    );
}

#[test]
fn progress_tells_the_totals_at_the_end() {
    let host = Fixture::new();
    host.put("a", b"four");
    let watch = Follows::default();
    host.run(&[files("test", &["/a"])], &watch).unwrap();
    let progress = watch.progress.lock().unwrap().clone();
    assert_eq!((progress.files, progress.file_bytes), (1, 4));
    assert_eq!((progress.artifacts_done, progress.artifacts_total), (1, 1));
    assert!(progress.parts_sealed >= 2);
    assert_eq!(file(&host.parts(), "/a").size_bytes, Some(4));
    let _ = Path::new("/");
}
