//! A collection that its limits hold makes way for what is due, goes on when it may, and is whole.

use std::{
    fs,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
};

use evidence::{
    digest::Digest,
    gap::Reason,
    ids::{CollectionId, OrderId},
};
use protocol::{
    messages::{Report, WaitsFor},
    order::Order,
};

use super::{
    super::{SELDOM_LOOK, asides::ASIDE_MOST},
    Moment, cancel, cloned, recurring,
    script::{Courier, Host, PROFILE, gaps, parts, plain, record},
};
use crate::{
    link::{FromReader, FromSpool},
    reader::{
        state::{Change, Known, Running, State},
        testing::{World, later},
        waits,
    },
};

static IS_ON_MAINS: AtomicBool = AtomicBool::new(false);
static MINUTE: AtomicU16 = AtomicU16::new(0);
/// One test at a time has them.
static SAYS: Mutex<()> = Mutex::new(());

const NOON: u16 = 12 * 60;
const EVENING: u16 = 18 * 60;

/// A host on its battery, on Monday at noon.
fn on_battery(change: impl FnOnce(&mut World)) -> (MutexGuard<'static, ()>, Host) {
    let held = SAYS.lock().unwrap_or_else(PoisonError::into_inner);
    mains(false);
    hour(NOON);
    let mut host = Host::with(change);
    host.says = waits::Host {
        is_on_mains: || Some(IS_ON_MAINS.load(Ordering::SeqCst)),
        minute: || MINUTE.load(Ordering::SeqCst),
    };
    (held, host)
}

fn mains(is_on: bool) {
    IS_ON_MAINS.store(is_on, Ordering::SeqCst);
}

fn hour(minute: u16) {
    MINUTE.store(minute, Ordering::SeqCst);
}

/// An order that waits for mains.
fn for_mains(host: &Host, id: u8) -> Order {
    let mut order = plain_order(host, id);
    order.parameters.limits.mains_only = true;
    order
}

/// An order that waits for the evening.
fn for_evening(host: &Host, id: u8) -> Order {
    let mut order = plain_order(host, id);
    order.parameters.limits.hours = Some("Mon 18:00-20:00".parse().unwrap());
    order
}

fn plain_order(host: &Host, id: u8) -> Order {
    let mut order = host.world.order(id, PROFILE);
    order.expires = later(90_000);
    order
}

fn give(host: &Host, courier: &mut Courier<'_>, order: &Order) {
    courier.order(&host.world.handed(order));
}

/// Hands the order over; what it becomes.
fn begins(host: &Host, courier: &mut Courier<'_>, order: &Order) -> CollectionId {
    give(host, courier, order);
    accepted(courier, order)
}

fn accepted(courier: &mut Courier<'_>, wanted: &Order) -> CollectionId {
    courier.until(|said| match said {
        FromReader::Report {
            report: Report::Accepted { order, collection },
        } if *order == wanted.id => Some(*collection),
        _ => None,
    })
}

/// As [`begins`], and waits until it is held.
fn is_held(host: &Host, courier: &mut Courier<'_>, order: &Order, what: WaitsFor) -> CollectionId {
    let collection = begins(host, courier, order);
    held(courier, collection, what);
    collection
}

fn held(courier: &mut Courier<'_>, wanted: CollectionId, what: WaitsFor) {
    courier.until(|said| match said {
        FromReader::Report {
            report:
                Report::Progress {
                    collection,
                    progress,
                    ..
                },
        } if *collection == wanted && progress.waits_for == Some(what) => Some(()),
        _ => None,
    });
}

/// The next collection that ends, and why it ended early.
fn ended(courier: &mut Courier<'_>) -> (CollectionId, Option<String>) {
    courier.until(|said| match said {
        FromReader::Report {
            report:
                Report::Ended {
                    collection,
                    ended_early,
                    ..
                },
        } => Some((*collection, ended_early.clone())),
        _ => None,
    })
}

/// Every part names the one before, and the last alone is the last; how many attempts it took.
fn whole(host: &Host, collection: CollectionId) -> u32 {
    let (names, mut before, mut attempt) = (parts(host, collection), None, 0);
    for (at, name) in names.iter().enumerate() {
        let record = record(host, collection, name);
        assert_eq!(record.part as usize, at + 1);
        assert_eq!(record.previous_sha256, before);
        assert_eq!(record.last, at + 1 == names.len());
        assert!(record.attempt >= attempt);
        before = Some(Digest::of(&plain(host, collection, name)));
        attempt = record.attempt;
    }
    attempt
}

/// It lacks nothing.
fn has_all(host: &Host, collection: CollectionId) {
    for name in parts(host, collection) {
        let gaps = gaps(host, collection, &name);
        assert!(
            gaps.iter().all(|g| g.reason != Reason::Interrupted),
            "{gaps:?}"
        );
    }
    let last = parts(host, collection).pop().unwrap();
    assert_eq!(record(host, collection, &last).ended_early, None);
}

fn aside(known: &Known) -> Vec<CollectionId> {
    known.aside.iter().map(|r| r.collection).collect()
}

/// Several looks of the service, each of which could have begun something.
fn it_had_time() {
    let since = Moment::now();
    while since.elapsed() < 2 * SELDOM_LOOK {
        std::thread::yield_now();
    }
}

#[test]
fn an_order_goes_before_one_that_is_held_which_goes_on_whole() {
    let (_one, host) = on_battery(|_| {});
    let (first, second) = (for_mains(&host, 7), plain_order(&host, 8));
    let mut courier = host.start();
    let held = is_held(&host, &mut courier, &first, WaitsFor::Mains);
    let other = begins(&host, &mut courier, &second);
    assert_eq!(ended(&mut courier), (other, None));
    // Handed over again, it is what it was.
    assert_eq!(begins(&host, &mut courier, &first), held);
    let known = host.known();
    assert_eq!(aside(&known), [held]);
    assert!(known.running.is_none());
    assert_eq!((known.aside[0].attempt, known.aside[0].pauses), (1, 1));
    mains(true);
    assert_eq!(ended(&mut courier), (held, None));
    assert!(courier.leave().is_ok());
    assert_eq!((whole(&host, held), whole(&host, other)), (2, 1));
    has_all(&host, held);
    has_all(&host, other);
    assert!(host.known().begun().next().is_none());
}

#[test]
fn one_that_is_not_held_makes_way_for_nobody() {
    let (_one, host) = on_battery(|_| {});
    for name in 0..64 {
        let file = fs::File::create(host.path("host").join(format!("{name}"))).unwrap();
        file.set_len(1 << 30).unwrap();
    }
    let mut long = host.world.order(7, cancel::LONG);
    long.parameters.limits.mains_only = true;
    mains(true);
    let mut courier = host.start();
    let first = begins(&host, &mut courier, &long);
    courier.serving_until(|said| matches!(said, FromReader::OpenSlot { slot: 2.., .. }));
    give(&host, &mut courier, &plain_order(&host, 8));
    it_had_time();
    let known = host.known();
    assert_eq!(known.running.as_ref().unwrap().collection, first);
    assert!(known.aside.is_empty());
    // From here on it is held, and makes way for the one that waited all the time.
    mains(false);
    let second = accepted(&mut courier, &plain_order(&host, 8));
    assert_eq!(ended(&mut courier), (second, None));
    assert_eq!(aside(&host.known()), [first]);
    let word = cancel::cancel(&host.world, &long, "ann");
    cancel::hand(&mut courier, &word, &host.world.ann);
    assert_eq!(ended(&mut courier).0, first);
    assert!(courier.leave().is_ok());
    whole(&host, first);
}

#[test]
fn a_capture_of_a_standing_order_goes_before_one_that_is_held() {
    let _clock = recurring::own_clock();
    let (_one, host) = on_battery(|_| {});
    let mut courier = host.start_at(recurring::clock);
    courier.has_time = false;
    let first = is_held(&host, &mut courier, &for_mains(&host, 8), WaitsFor::Mains);
    give(
        &host,
        &mut courier,
        &recurring::standing(&host.world, 3600, 100),
    );
    recurring::held(&mut courier);
    recurring::go_on(1800);
    let (capture, number) = recurring::capturing(&mut courier);
    assert_eq!((number, ended(&mut courier)), (1, (capture, None)));
    recurring::go_on(3600);
    let (next, number) = recurring::capturing(&mut courier);
    assert_eq!((number, ended(&mut courier)), (2, (next, None)));
    mains(true);
    assert_eq!(ended(&mut courier), (first, None));
    assert!(courier.leave().is_ok());
    // It was not begun in between, only to be held again.
    assert_eq!((whole(&host, first), whole(&host, next)), (2, 1));
}

#[test]
fn what_a_watch_saw_goes_before_one_that_is_held() {
    let (_one, host) = on_battery(|world| {
        let files = protocol::policy::Class::Files;
        world.policy.thresholds.insert(files, 1);
    });
    fs::create_dir(host.path("host/etc")).unwrap();
    let mut courier = host.start();
    give(
        &host,
        &mut courier,
        &recurring::watch(&host.world, &["/etc"], 9),
    );
    recurring::held(&mut courier);
    let first = is_held(&host, &mut courier, &for_mains(&host, 8), WaitsFor::Mains);
    fs::write(host.path("host/etc/new"), "x").unwrap();
    let (capture, _) = recurring::capturing(&mut courier);
    assert_eq!(ended(&mut courier), (capture, None));
    mains(true);
    assert_eq!(ended(&mut courier), (first, None));
    assert!(courier.leave().is_ok());
    assert_eq!((whole(&host, first), whole(&host, capture)), (2, 1));
}

#[test]
fn a_capture_that_is_held_is_followed_by_none_of_its_order() {
    let _clock = recurring::own_clock();
    let (_one, host) = on_battery(|_| {});
    let mut courier = host.start_at(recurring::clock);
    courier.has_time = false;
    let mut standing = recurring::standing(&host.world, 60, 100);
    standing.parameters.limits.mains_only = true;
    give(&host, &mut courier, &standing);
    recurring::held(&mut courier);
    recurring::go_on(30);
    let (first, _) = recurring::capturing(&mut courier);
    held(&mut courier, first, WaitsFor::Mains);
    recurring::go_on(300);
    recurring::ordinary(&host, &mut courier, 8);
    assert_eq!(aside(&host.known()), [first]);
    mains(true);
    assert_eq!(ended(&mut courier), (first, None));
    let (second, number) = recurring::capturing(&mut courier);
    assert_eq!((number, ended(&mut courier)), (2, (second, None)));
    assert!(courier.leave().is_ok());
    let missed = record(&host, second, &parts(&host, second)[0])
        .capture
        .unwrap()
        .missed;
    assert!(missed >= 4, "{missed}");
}

#[test]
fn two_that_wait_for_different_things_hold_up_neither_each_other_nor_a_third() {
    let (_one, host) = on_battery(|_| {});
    let mut courier = host.start();
    let first = is_held(&host, &mut courier, &for_mains(&host, 7), WaitsFor::Mains);
    let second = is_held(&host, &mut courier, &for_evening(&host, 8), WaitsFor::Hours);
    let known = host.known();
    assert_eq!(
        (aside(&known), known.running.unwrap().collection),
        (vec![first], second)
    );
    let third = begins(&host, &mut courier, &plain_order(&host, 9));
    assert_eq!(ended(&mut courier), (third, None));
    assert_eq!(aside(&host.known()), [first, second]);
    // What its limits let go on first is the first, though it came last.
    hour(EVENING);
    assert_eq!(ended(&mut courier), (second, None));
    mains(true);
    assert_eq!(ended(&mut courier), (first, None));
    assert!(courier.leave().is_ok());
    // Each was put aside once: none went back and forth.
    assert_eq!([first, second, third].map(|c| whole(&host, c)), [2, 2, 1]);
    [first, second, third]
        .iter()
        .for_each(|c| has_all(&host, *c));
}

#[test]
fn one_that_may_go_on_goes_before_one_that_is_held() {
    let (_one, host) = on_battery(|_| {});
    let mut courier = host.start();
    let first = is_held(&host, &mut courier, &for_mains(&host, 7), WaitsFor::Mains);
    let second = is_held(&host, &mut courier, &for_evening(&host, 8), WaitsFor::Hours);
    mains(true);
    assert_eq!(ended(&mut courier), (first, None));
    assert_eq!(aside(&host.known()), [second]);
    hour(EVENING);
    assert_eq!(ended(&mut courier), (second, None));
    assert!(courier.leave().is_ok());
    assert_eq!([first, second].map(|c| whole(&host, c)), [2, 2]);
}

#[test]
fn what_would_wait_in_vain_since_the_host_has_other_limits_now_ends_and_says_so() {
    let (_one, mut host) = on_battery(|_| {});
    let mut courier = host.start();
    let first = is_held(&host, &mut courier, &for_evening(&host, 7), WaitsFor::Hours);
    let other = begins(&host, &mut courier, &plain_order(&host, 8));
    assert_eq!(ended(&mut courier), (other, None));
    assert_eq!(aside(&host.known()), [first]);
    assert!(courier.leave().is_ok());
    host.limits.hours = Some("never".parse().unwrap());
    let mut courier = host.start();
    // The last end is told once more at each start.
    assert_eq!(ended(&mut courier), (other, None));
    let (collection, why) = ended(&mut courier);
    assert_eq!(collection, first);
    assert!(why.unwrap().contains("none in the week"));
    assert!(courier.leave().is_ok());
}

#[test]
fn two_that_wait_for_the_same_do_not_displace_one_another() {
    let (_one, host) = on_battery(|_| {});
    let mut courier = host.start();
    let first = is_held(&host, &mut courier, &for_mains(&host, 7), WaitsFor::Mains);
    let second = is_held(&host, &mut courier, &for_mains(&host, 8), WaitsFor::Mains);
    mains(true);
    assert_eq!(ended(&mut courier), (second, None));
    assert_eq!(ended(&mut courier), (first, None));
    assert!(courier.leave().is_ok());
    assert_eq!([first, second].map(|c| whole(&host, c)), [2, 1]);
}

#[test]
fn one_that_was_put_aside_and_is_cancelled_ends_soon() {
    let (_one, host) = on_battery(|_| {});
    let mut courier = host.start();
    let (one, two) = (for_mains(&host, 7), for_evening(&host, 8));
    let first = is_held(&host, &mut courier, &one, WaitsFor::Mains);
    let second = is_held(&host, &mut courier, &two, WaitsFor::Hours);
    let is_cancelled = |courier: &mut Courier<'_>, order: &Order| {
        let word = cancel::cancel(&host.world, order, "ann");
        cancel::hand(courier, &word, &host.world.ann);
        let (collection, why) = ended(courier);
        assert!(why.unwrap().starts_with("cancelled by ann"));
        let name = parts(&host, collection).pop().unwrap();
        let gaps = gaps(&host, collection, &name);
        assert!(gaps.iter().any(|g| g.reason == Reason::Cancelled));
        collection
    };
    // While another runs, which is held too; then while nothing runs.
    assert_eq!(is_cancelled(&mut courier, &one), first);
    assert_eq!(aside(&host.known()), [second]);
    assert_eq!(is_cancelled(&mut courier, &two), second);
    assert!(courier.leave().is_ok());
    for one in [first, second] {
        whole(&host, one);
    }
    assert!(host.known().begun().next().is_none());
}

#[test]
fn of_a_cloned_identity_all_are_closed_before_another_is_asked_for() {
    let (_one, host) = on_battery(|_| {});
    let mut courier = host.start();
    let first = is_held(&host, &mut courier, &for_mains(&host, 7), WaitsFor::Mains);
    let second = is_held(&host, &mut courier, &for_evening(&host, 8), WaitsFor::Hours);
    courier.say(&FromSpool::Cloned {});
    for wanted in [second, first] {
        let (collection, why) = ended(&mut courier);
        assert_eq!(collection, wanted);
        assert!(why.unwrap().contains("two machines"));
        whole(&host, collection);
    }
    cloned::asked(&mut courier, &host);
    assert!(courier.leave().is_ok());
}

/// What the state says after `changes`, as where a crash came right then.
fn crashed(host: &Host, changes: impl IntoIterator<Item = Change>) {
    let mut state = State::open(&host.path("reader")).unwrap();
    for change in changes {
        state.keep(change).unwrap();
    }
}

#[test]
fn whatever_change_a_crash_follows_all_that_was_begun_goes_on() {
    let (_one, host) = on_battery(|_| {});
    let (one, two) = (for_mains(&host, 7), for_evening(&host, 8));
    let mut courier = host.start();
    let first = is_held(&host, &mut courier, &one, WaitsFor::Mains);
    let _cut = courier.leave();
    // Before anything took its place.
    crashed(&host, [Change::PutAside {}]);
    let mut courier = host.start();
    assert_eq!(accepted(&mut courier, &one), first);
    let second = is_held(&host, &mut courier, &two, WaitsFor::Hours);
    let _cut = courier.leave();
    // While another runs: that one is told first.
    let mut courier = host.start();
    assert_eq!((courier.accepted(), courier.accepted()), (second, first));
    held(&mut courier, second, WaitsFor::Hours);
    let _cut = courier.leave();
    // Once it was taken up, before it ran.
    let taken = Change::TakenUp { collection: first };
    crashed(&host, [Change::PutAside {}, taken]);
    let mut courier = host.start();
    assert_eq!((courier.accepted(), courier.accepted()), (first, second));
    held(&mut courier, first, WaitsFor::Mains);
    let _cut = courier.leave();
    // Cancelled while it was put aside, before it ran.
    let word = cancel::cancel(&host.world, &two, "ann");
    let cancelled = Change::Cancelled {
        order: two.id,
        expires: word.expires,
        why: "cancelled by ann".to_owned(),
    };
    crashed(&host, [cancelled]);
    let mut courier = host.start();
    assert!(ended(&mut courier).1.unwrap().contains("cancelled by ann"));
    mains(true);
    assert_eq!(ended(&mut courier), (first, None));
    assert!(courier.leave().is_ok());
    for one in [first, second] {
        whole(&host, one);
    }
    has_all(&host, first);
}

/// Collections that wait for mains and were put aside, none of them with a part.
fn many_aside(host: &Host) -> Vec<Change> {
    let policy = host.known().policy.unwrap();
    let begun = |id: u8| Change::Accepted {
        expires: later(90_000),
        running: Running::new(
            (host.world.handed(&for_mains(host, id)), policy.clone()),
            OrderId::from_bytes([id; 16]),
            CollectionId::from_bytes([id; 16]),
            Vec::new(),
        ),
    };
    let ids = 100..100 + u8::try_from(ASIDE_MOST).unwrap();
    ids.flat_map(|id| [begun(id), Change::PutAside {}])
        .collect()
}

#[test]
fn where_many_are_put_aside_the_next_waits_behind_the_one_that_is_held() {
    let (_one, host) = on_battery(|_| {});
    crashed(&host, many_aside(&host));
    let mut courier = host.start();
    let first = is_held(&host, &mut courier, &for_evening(&host, 7), WaitsFor::Hours);
    give(&host, &mut courier, &plain_order(&host, 8));
    it_had_time();
    assert_eq!(host.known().running.unwrap().collection, first);
    assert_eq!(host.known().aside.len(), ASIDE_MOST);
    hour(EVENING);
    assert_eq!(ended(&mut courier), (first, None));
    let second = accepted(&mut courier, &plain_order(&host, 8));
    assert_eq!(ended(&mut courier), (second, None));
    assert!(courier.leave().is_ok());
}
