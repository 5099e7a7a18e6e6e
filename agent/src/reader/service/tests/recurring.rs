//! Standing orders and watches: captured when due, counted before, judged before each, ended by what ends them.

use std::{
    fs,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use evidence::{capture::Happened, gap::Reason, ids::CollectionId, instant::Instant};
use protocol::{messages::Report, order::Order, policy::Class, recurrence::Recurrence};

use super::{
    cancel::{cancel, hand},
    script::{Courier, Host, PROFILE, entry_of, gaps, parts, record},
};
use crate::{
    link::{FromReader, FromSpool},
    reader::testing::{World, at},
};

const FILES: &str = "v: 1\nname: f\nabout: For tests\nartifacts:\n- name: files\n";
const MINUTE: i64 = 60;

/// How far the host's clock of this test's process is ahead.
static AHEAD: AtomicI64 = AtomicI64::new(0);
/// One test at a time has the clock.
static CLOCK: Mutex<()> = Mutex::new(());

/// The clock, which is right, and nobody else's.
pub(super) fn own_clock() -> MutexGuard<'static, ()> {
    let held = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    AHEAD.store(0, Ordering::SeqCst);
    held
}

pub(super) fn clock() -> Instant {
    let now = Instant::now();
    Instant {
        seconds: now.seconds + AHEAD.load(Ordering::SeqCst),
        ..now
    }
}

pub(super) fn go_on(seconds: i64) {
    AHEAD.fetch_add(seconds, Ordering::SeqCst);
}

pub(super) fn standing(world: &World, every: i64, captures: u32) -> Order {
    let mut order = world.order(7, PROFILE);
    order.expires = at(Instant::now().seconds + 90_000);
    order.recurrence = Some(Recurrence::Standing {
        every_seconds: every.unsigned_abs(),
        window: None,
        captures,
    });
    order
}

pub(super) fn watch(world: &World, paths: &[&str], captures: u32) -> Order {
    let mut order = world.order(7, FILES);
    order.parameters.paths = paths.iter().map(|&p| p.to_owned()).collect();
    order.recurrence = Some(Recurrence::Watch {
        settle_seconds: 1,
        per_hour: 300,
        captures,
    });
    order
}

/// A host on which one person may order files.
pub(super) fn host_for_files() -> Host {
    Host::with(|world| {
        world.policy.thresholds.insert(Class::Files, 1);
    })
}

/// Until the file is older than the kernel's clock is coarse.
pub(super) fn settled(path: &std::path::Path) {
    while std::fs::metadata(path)
        .unwrap()
        .modified()
        .unwrap()
        .elapsed()
        .unwrap()
        .as_millis()
        < 100
    {
        std::thread::yield_now();
    }
}

pub(super) fn held(courier: &mut Courier<'_>) {
    courier.serving_until(|said| {
        matches!(
            said,
            FromReader::Report {
                report: Report::Held { .. }
            }
        )
    });
}

pub(super) fn capturing(courier: &mut Courier<'_>) -> (CollectionId, u32) {
    courier.until(|said| match said {
        FromReader::Report {
            report: Report::Capturing {
                collection, number, ..
            },
        } => Some((*collection, *number)),
        _ => None,
    })
}

/// An ordinary order, obeyed without any capture before its end.
pub(super) fn ordinary(host: &Host, courier: &mut Courier<'_>, id: u8) {
    let mut order = host.world.order(id, PROFILE);
    order.expires = at(Instant::now().seconds + 90_000);
    courier.order(&host.world.handed(&order));
    courier.until(|said| match said {
        FromReader::Report {
            report: Report::Capturing { .. },
        } => panic!("a capture that is not due"),
        FromReader::Report {
            report: Report::Accepted { .. },
        } => Some(()),
        _ => None,
    });
    courier.until(|said| match said {
        FromReader::Report {
            report: Report::Capturing { .. },
        } => panic!("a capture that is not due"),
        FromReader::Report {
            report: Report::Ended { .. },
        } => Some(()),
        _ => None,
    });
}

fn over(courier: &mut Courier<'_>) -> String {
    courier.until(|said| match said {
        FromReader::Report {
            report: Report::Over { why, .. },
        } => Some(why.clone()),
        _ => None,
    })
}

#[test]
fn a_standing_order_collects_once_a_turn_and_tells_what_it_missed() {
    let _clock = own_clock();
    let host = Host::new();
    let mut courier = host.start_at(clock);
    courier.has_time = false;
    courier.order(&host.world.handed(&standing(&host.world, 3600, 100)));
    held(&mut courier);
    // Its spread is half an hour at most.
    go_on(1800);
    let (first, number) = capturing(&mut courier);
    assert_eq!((number, courier.ended().1), (1, None));
    let told = record(&host, first, &parts(&host, first)[0]);
    let capture = told.capture.unwrap();
    assert_eq!((capture.number, capture.missed), (1, 0));
    assert!(capture.due.is_some() && told.order.is_some());
    // Other orders are obeyed meanwhile, and the turn is not captured again by a clock that was set back.
    go_on(-1700);
    ordinary(&host, &mut courier, 8);
    assert!(courier.leave().is_ok());
    // The host was off for four turns.
    go_on(1700 + 5 * 3600);
    let mut courier = host.start_at(clock);
    courier.has_time = false;
    held(&mut courier);
    let (second, number) = capturing(&mut courier);
    courier.ended();
    assert_eq!(number, 2);
    let name = &parts(&host, second)[0];
    assert_eq!(record(&host, second, name).capture.unwrap().missed, 4);
    let gaps = gaps(&host, second, name);
    let missed = gaps
        .iter()
        .find(|g| g.artifact == "standing order")
        .unwrap();
    assert!(missed.text.starts_with("4 collections"), "{missed:?}");
    ordinary(&host, &mut courier, 9);
    assert!(courier.leave().is_ok());
}

#[test]
fn a_capture_that_was_cut_off_goes_on_as_the_same_one() {
    let _clock = own_clock();
    let host = Host::new();
    let mut courier = host.start_at(clock);
    courier.has_time = false;
    courier.dead_after = Some(2);
    courier.order(&host.world.handed(&standing(&host.world, MINUTE, 100)));
    held(&mut courier);
    go_on(MINUTE / 2);
    let first = capturing(&mut courier);
    courier.until_dead();
    let _ = courier.leave();
    assert_eq!(host.known().recurring.values().next().unwrap().captures, 1);
    let mut courier = host.start_at(clock);
    courier.has_time = false;
    assert_eq!(capturing(&mut courier), first);
    courier.ended();
    let last = record(&host, first.0, parts(&host, first.0).last().unwrap());
    assert_eq!((last.attempt, last.capture.unwrap().number), (2, 1));
    go_on(MINUTE);
    assert_eq!(capturing(&mut courier).1, 2);
    courier.ended();
    assert!(courier.leave().is_ok());
}

#[test]
fn the_last_capture_that_is_allowed_ends_the_order() {
    let _clock = own_clock();
    let host = Host::new();
    let mut courier = host.start_at(clock);
    courier.has_time = false;
    let handed = host.world.handed(&standing(&host.world, MINUTE, 1));
    courier.order(&handed);
    held(&mut courier);
    go_on(MINUTE / 2);
    capturing(&mut courier);
    courier.ended();
    assert!(over(&mut courier).contains("all the collections"));
    go_on(10 * MINUTE);
    ordinary(&host, &mut courier, 8);
    // It is used all the same.
    courier.order(&handed);
    courier.refused(&host);
    assert!(courier.leave().is_ok());
    assert!(host.known().recurring.is_empty());
}

#[test]
fn a_cancellation_ends_it_for_good() {
    let _clock = own_clock();
    let host = Host::new();
    let mut courier = host.start_at(clock);
    courier.has_time = false;
    let order = standing(&host.world, MINUTE, 100);
    courier.order(&host.world.handed(&order));
    held(&mut courier);
    let cancelled = cancel(&host.world, &order, "ann");
    hand(&mut courier, &cancelled, &host.world.ann);
    super::cancel::held(&mut courier);
    go_on(3 * MINUTE);
    ordinary(&host, &mut courier, 8);
    assert!(courier.leave().is_ok());
    let mut courier = host.start_at(clock);
    courier.has_time = false;
    ordinary(&host, &mut courier, 9);
    assert!(courier.leave().is_ok());
    assert!(host.known().recurring.is_empty());
}

#[test]
fn past_its_end_nothing_is_collected_and_a_wrong_clock_alone_does_not_end_it() {
    let _clock = own_clock();
    let host = Host::new();
    let mut courier = host.start_at(clock);
    courier.has_time = false;
    let mut order = standing(&host.world, MINUTE, 100);
    order.expires = at(Instant::now().seconds + 1000);
    courier.order(&host.world.handed(&order));
    held(&mut courier);
    go_on(2000);
    // By this clock every order has ended; it is put right again after that was looked at.
    courier.order(&host.world.handed(&host.world.order(8, PROFILE)));
    courier.refused(&host);
    go_on(-2000 + MINUTE / 2);
    capturing(&mut courier);
    courier.ended();
    assert!(courier.leave().is_ok());
    assert_eq!(host.known().recurring.len(), 1);
    // The server has signed a time past its end.
    let mut state = crate::reader::state::State::open(&host.path("reader")).unwrap();
    let time = at(order.expires.seconds + 1);
    let signed = crate::reader::state::Change::SignedTime { time };
    state.keep(signed).unwrap();
    drop(state);
    assert!(host.known().recurring.is_empty());
}

#[test]
fn each_capture_is_judged_by_the_policy_of_its_day() {
    let _clock = own_clock();
    let host = Host::new();
    let mut courier = host.start_at(clock);
    courier.has_time = false;
    courier.order(&host.world.handed(&standing(&host.world, MINUTE, 100)));
    held(&mut courier);
    // A newer policy under which it would be obeyed changes nothing.
    let mut policy = host.world.next_policy();
    courier.hand(&FromSpool::Trust {}, &host.world.trust(&policy));
    courier.serving_until(|said| matches!(said, FromReader::Holds { policy_version: 4 }));
    go_on(MINUTE / 2);
    capturing(&mut courier);
    courier.ended();
    // One that does not know ann any more ends it.
    policy.version += 1;
    policy.people.retain(|p| p.id.as_str() != "ann");
    courier.hand(&FromSpool::Trust {}, &host.world.trust(&policy));
    assert!(over(&mut courier).contains("forged"));
    assert!(courier.leave().is_ok());
    assert!(host.known().recurring.is_empty());
}

#[test]
fn a_watch_captures_what_changes_and_tells_what_was_gone_before() {
    let host = host_for_files();
    fs::create_dir(host.path("host/etc")).unwrap();
    fs::write(host.path("host/etc/old"), "before").unwrap();
    settled(&host.path("host/etc/old"));
    let mut courier = host.start();
    courier.order(&host.world.handed(&watch(&host.world, &["/etc"], 2)));
    held(&mut courier);
    fs::write(host.path("host/etc/new"), "first").unwrap();
    let (first, number) = capturing(&mut courier);
    assert_eq!((number, courier.ended().1), (1, None));
    let names = parts(&host, first);
    let capture = record(&host, first, &names[0]).capture.unwrap();
    let told = |path: &str| capture.changes.iter().find(|c| c.path == path);
    assert_eq!(told("/etc/new").unwrap().event, Happened::Appeared);
    assert!(told("/etc/old").is_none());
    let stored = "fs/$rootfs$/etc/new";
    let stores = names
        .iter()
        .find_map(|part| entry_of(&host, first, part, stored));
    assert_eq!(stores.unwrap(), b"first");
    let old = "fs/$rootfs$/etc/old";
    assert!(
        names
            .iter()
            .all(|part| entry_of(&host, first, part, old).is_none())
    );
    // What changes next is the next one, and the last that is allowed.
    fs::write(host.path("host/etc/gone"), "never stored").unwrap();
    fs::remove_file(host.path("host/etc/gone")).unwrap();
    fs::write(host.path("host/etc/new"), "second").unwrap();
    let (second, number) = capturing(&mut courier);
    courier.ended();
    assert_eq!(number, 2);
    let names = parts(&host, second);
    let gone = names.iter().flat_map(|part| gaps(&host, second, part));
    let gone: Vec<_> = gone.filter(|g| g.subject == "/etc/gone").collect();
    assert!(
        gone.iter().any(|g| g.reason == Reason::Vanished),
        "{gone:?}"
    );
    let stores = names
        .iter()
        .find_map(|part| entry_of(&host, second, part, stored));
    assert_eq!(stores.unwrap(), b"second");
    over(&mut courier);
    assert!(courier.leave().is_ok());
}

#[test]
fn what_changed_while_the_agent_was_away_is_captured_and_the_time_is_told() {
    let host = host_for_files();
    fs::create_dir(host.path("host/etc")).unwrap();
    let mut courier = host.start();
    courier.order(&host.world.handed(&watch(&host.world, &["/etc"], 9)));
    held(&mut courier);
    assert!(courier.leave().is_ok());
    fs::write(host.path("host/etc/meanwhile"), "x").unwrap();
    let mut courier = host.start();
    let (collection, _) = capturing(&mut courier);
    courier.ended();
    let names = parts(&host, collection);
    let capture = record(&host, collection, &names[0]).capture.unwrap();
    assert_eq!(capture.changes[0].path, "/etc/meanwhile");
    assert_eq!(capture.blind.len(), 1);
    let mut gaps = names.iter().flat_map(|part| gaps(&host, collection, part));
    assert!(gaps.any(|g| g.artifact == "watch"));
    assert!(courier.leave().is_ok());
}

#[test]
fn what_the_scope_leaves_out_causes_nothing_and_is_not_named() {
    let host = host_for_files();
    for folder in ["host/etc", "host/etc/in", "host/etc/out"] {
        fs::create_dir(host.path(folder)).unwrap();
    }
    let mut courier = host.start();
    let mut order = watch(&host.world, &["/etc"], 9);
    order.parameters.scope = Some(protocol::scope::Scope {
        basis: "warrant 1".into(),
        users: Default::default(),
        paths: vec!["/etc/in".into()],
        from: None,
        until: None,
    });
    courier.order(&host.world.handed(&order));
    held(&mut courier);
    fs::write(host.path("host/etc/out/secret"), "x").unwrap();
    fs::write(host.path("host/etc/in/wanted"), "x").unwrap();
    let (collection, _) = capturing(&mut courier);
    courier.ended();
    let name = &parts(&host, collection)[0];
    let capture = record(&host, collection, name).capture.unwrap();
    let told: Vec<_> = capture.changes.iter().map(|c| c.path.as_str()).collect();
    assert_eq!((told, capture.out_of_scope), (vec!["/etc/in/wanted"], 1));
    assert!(courier.leave().is_ok());
}

#[test]
fn a_watch_that_stores_files_needs_as_many_people_as_files_do() {
    let host = Host::new();
    let mut courier = host.start();
    courier.order(&host.world.handed(&watch(&host.world, &["/etc"], 9)));
    let refusal = courier.refused(&host).refusal;
    let json = serde_json::to_value(refusal).unwrap();
    assert_eq!(json["code"], "below_threshold");
    // And one that watches nothing is none.
    courier.order(&host.world.handed(&watch(&host.world, &[], 9)));
    let refusal = courier.refused(&host).refusal;
    assert_eq!(
        serde_json::to_value(refusal).unwrap()["code"],
        "bad_profile"
    );
    assert!(courier.leave().is_ok());
}
