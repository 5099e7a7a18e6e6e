//! When a standing order is due on a host, whatever its clock and its power did.

use evidence::ids::AgentId;
use protocol::{order::Order, recurrence::Window};

use super::*;
use crate::reader::testing::{World, at};

/// A Saturday, at midnight.
const SATURDAY: i64 = 1_795_824_000;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn kept(world: &World, order: &Order, accepted: i64) -> Recurring {
    Recurring {
        handed: world.handed(order),
        policy: String::new(),
        order: order.id,
        signers: Vec::new(),
        until: order.expires,
        accepted: at(accepted),
        captures: 0,
        turn: None,
        recent: std::collections::VecDeque::new(),
        looked: at(accepted),
    }
}

fn live(kept: &Recurring) -> Live {
    let subject = Subject {
        id: AgentId::from_bytes([1; 16]),
        agency: "lab".parse().unwrap(),
        labels: std::collections::BTreeSet::new(),
        os: "linux".parse().unwrap(),
        arch: "x86_64".parse().unwrap(),
    };
    Live::of(kept, &subject).unwrap().unwrap()
}

fn order(world: &World, every: i64, window: Option<Window>) -> Order {
    let mut order = world.order(1, "v: 1\nname: p\nabout: a\nartifacts: [{name: system}]\n");
    order.not_before = at(SATURDAY);
    order.expires = at(SATURDAY + 365 * DAY);
    order.recurrence = Some(Recurrence::Standing {
        every_seconds: every.unsigned_abs(),
        window,
        captures: 100,
    });
    order
}

#[test]
fn a_turn_is_captured_once_even_when_the_clock_is_set_back() {
    let world = World::new();
    let mut kept = kept(&world, &order(&world, 7 * DAY, None), SATURDAY);
    let live = live(&kept);
    assert_eq!(live.turn(&kept, at(SATURDAY - 1)), None);
    // The spread of the hosts is an hour at most.
    let turn = live.turn(&kept, at(SATURDAY + HOUR)).unwrap();
    assert_eq!((turn.number, live.missed(&kept, turn)), (0, 0));
    kept.turn = Some(0);
    assert_eq!(live.turn(&kept, at(SATURDAY + HOUR)), None);
    assert_eq!(live.turn(&kept, at(SATURDAY - 40 * DAY)), None);
    let next = live.turn(&kept, at(SATURDAY + 7 * DAY + HOUR)).unwrap();
    assert_eq!(next.number, 1);
    kept.turn = Some(1);
    assert_eq!(live.turn(&kept, at(SATURDAY + HOUR)), None);
}

#[test]
fn after_a_month_off_there_is_one_capture_that_counts_the_others() {
    let world = World::new();
    let mut kept = kept(&world, &order(&world, DAY, None), SATURDAY);
    let live = live(&kept);
    kept.turn = Some(2);
    let now = at(SATURDAY + 33 * DAY + 2 * HOUR);
    let turn = live.turn(&kept, now).unwrap();
    assert_eq!((turn.number, live.missed(&kept, turn)), (33, 30));
    kept.turn = Some(turn.number);
    assert_eq!(live.turn(&kept, now), None);
}

#[test]
fn what_was_over_when_the_order_came_was_not_missed() {
    let world = World::new();
    let kept = kept(&world, &order(&world, DAY, None), SATURDAY + 5 * DAY + 7);
    let live = live(&kept);
    let turn = live.turn(&kept, at(SATURDAY + 5 * DAY + HOUR)).unwrap();
    assert_eq!((turn.number, live.missed(&kept, turn)), (5, 0));
    let later = live.turn(&kept, at(SATURDAY + 7 * DAY + HOUR)).unwrap();
    assert_eq!(live.missed(&kept, later), 2);
}

#[test]
fn a_window_that_passed_is_not_made_up_for_outside_of_it() {
    let world = World::new();
    let night = Window {
        days: [protocol::recurrence::Day::Saturday].into(),
        from_minute: 22 * 60,
        minutes: 6 * 60,
    };
    let order = order(&world, 7 * DAY, Some(night));
    let mut kept = kept(&world, &order, SATURDAY);
    let live = live(&kept);
    let opens = SATURDAY + 22 * HOUR;
    assert_eq!(live.turn(&kept, at(opens - 1)), None);
    // Late, past midnight, and still within the window.
    let late = live.turn(&kept, at(opens + 5 * HOUR)).unwrap();
    assert_eq!(late.end, at(opens + 6 * HOUR));
    assert_eq!(live.turn(&kept, at(opens + 6 * HOUR)), None);
    let next = live.turn(&kept, at(opens + 7 * DAY + 2 * HOUR)).unwrap();
    assert_eq!(live.missed(&kept, next), 1);
    kept.turn = Some(next.number);
    assert_eq!(live.turn(&kept, at(opens + 7 * DAY + 3 * HOUR)), None);
}

#[test]
fn the_rate_of_a_watch_counts_the_last_hour_whatever_the_clock_says() {
    let world = World::new();
    let mut order = order(&world, DAY, None);
    order.parameters.paths = vec!["/etc".into()];
    order.recurrence = Some(Recurrence::Watch {
        settle_seconds: 1,
        per_hour: 2,
        captures: 3,
    });
    let mut kept = kept(&world, &order, 0);
    let live = live(&kept);
    for (time, number) in [(1000, 1), (2000, 2)] {
        assert!(live.has_rate(&kept, at(time)));
        kept.recent.push_back(at(time));
        kept.captures = number;
    }
    assert!(!live.has_rate(&kept, at(2500)));
    assert!(!live.has_rate(&kept, at(100)));
    assert!(live.has_rate(&kept, at(1000 + HOUR)));
    assert!(!live.is_spent(&kept));
    kept.captures = 3;
    assert!(live.is_spent(&kept));
}
