//! Orders on their way to the reader, and reports on their way back.

use std::{fs::File, io::Read as _};

use evidence::{
    digest::Digest,
    envelope::{self, Envelope},
    ids::{AgentId, OrderId},
    instant::Instant,
    keys::SigningKey,
};
use protocol::{
    messages::{HandedOrder, Progress, Report},
    order::RefusalNotice,
    order_check::Refusal,
};
use serde_json::json;

use super::{World, names};
use crate::{
    courier::testing::{Act, COLLECTION, Courier, until},
    link::{FromReader, FromSpool},
};

pub(super) fn order(number: u8) -> (OrderId, HandedOrder) {
    let id = OrderId::from_bytes([number; 16]);
    let key = SigningKey::generate().unwrap();
    let signed = Envelope::sign_document(envelope::ORDER, &json!({"v": 1, "id": id}), &key);
    let order = String::from_utf8(signed.unwrap().to_json().unwrap()).unwrap();
    (id, HandedOrder { order, proof: None })
}

/// The next document that the courier hands over.
pub(super) fn handed(courier: &mut Courier) -> (FromSpool, String) {
    let (said, file) = courier.hear();
    let mut text = String::new();
    File::from(file.unwrap()).read_to_string(&mut text).unwrap();
    (said, text)
}

pub(super) fn accepted(order: OrderId) -> Report {
    Report::Accepted {
        order,
        collection: COLLECTION,
    }
}

fn progress(order: OrderId, records: u64) -> Report {
    Report::Progress {
        order,
        collection: COLLECTION,
        progress: Progress {
            records,
            ..Progress::default()
        },
    }
}

pub(super) fn ended(order: OrderId) -> Report {
    Report::Ended {
        order,
        collection: COLLECTION,
        parts: 1,
        ended_early: None,
    }
}

#[test]
fn a_newer_policy_comes_before_the_order_and_an_order_comes_once() {
    let world = World::new();
    let (first, one) = order(1);
    world.server.with(|s| {
        s.policy_version = 2;
        s.orders.push(one.clone());
    });
    let mut courier = world.start();
    let (said, trust) = handed(&mut courier);
    assert_eq!(said, FromSpool::Trust {});
    assert!(trust.contains("policy"));
    let (said, text) = handed(&mut courier);
    assert_eq!(said, FromSpool::Order {});
    assert_eq!(serde_json::from_str::<HandedOrder>(&text).unwrap(), one);
    // While the first waits for its report, only the second is handed over; the reader's policy is asked for no more.
    let (_, two) = order(2);
    world.server.with(|s| s.orders.push(two.clone()));
    let (_, text) = handed(&mut courier);
    assert_eq!(serde_json::from_str::<HandedOrder>(&text).unwrap(), two);
    let trusts = |s: &mut crate::courier::testing::State| {
        s.requests
            .iter()
            .filter(|r| r.contains("/v1/trust"))
            .count()
    };
    assert_eq!(world.server.with(trusts), 1);
    courier.say(&FromReader::Report {
        report: accepted(first),
    });
    until("the report is taken", || {
        world.server.with(|s| s.reports == [accepted(first)])
    });
    courier.stop().unwrap();
}

/// What a reader says that refuses this copy of an order.
fn refused(copy: &HandedOrder) -> Report {
    let notice = RefusalNotice {
        v: 1,
        order_digest: Digest::of(copy.order.as_bytes()),
        handed_digest: copy.digest(),
        order: None,
        agent: AgentId::from_bytes([7; 16]),
        time: Instant { seconds: 0, ns: 0 },
        refusal: Refusal::Forged,
    };
    let key = SigningKey::generate().unwrap();
    let signed = Envelope::sign_document(envelope::REFUSAL, &notice, &key).unwrap();
    Report::Refused {
        notice: String::from_utf8(signed.to_json().unwrap()).unwrap(),
    }
}

#[test]
fn orders_that_nobody_can_read_are_settled_by_their_refusals_and_hold_up_no_other() {
    let world = World::new();
    let garbage = |n: usize| HandedOrder {
        order: format!("garbage {n}"),
        proof: None,
    };
    // More than may be open at once; and the server will hear nothing of the first.
    world.server.with(|s| s.orders.extend((0..70).map(garbage)));
    world
        .server
        .fault("POST", "/v1/agent/reports", Act::Refuse(404, None));
    let mut courier = world.start();
    for _ in 0..70 {
        let (_, text) = handed(&mut courier);
        let copy = serde_json::from_str(&text).unwrap();
        courier.say(&FromReader::Report {
            report: refused(&copy),
        });
    }
    until("their refusals are taken", || {
        world.server.with(|s| s.reports.len() == 69)
    });
    let (_, one) = order(1);
    world.server.with(|s| s.orders.push(one.clone()));
    let (_, text) = handed(&mut courier);
    assert_eq!(serde_json::from_str::<HandedOrder>(&text).unwrap(), one);
}

#[test]
fn a_fuller_copy_of_an_order_is_handed_over_as_well() {
    let world = World::new();
    let (id, one) = order(1);
    let mut envelope = Envelope::parse(one.order.as_bytes()).unwrap();
    envelope.add_signature(&SigningKey::generate().unwrap());
    let fuller = HandedOrder {
        order: String::from_utf8(envelope.to_json().unwrap()).unwrap(),
        proof: None,
    };
    world.server.with(|s| s.orders.push(one.clone()));
    let mut courier = world.start();
    let (_, text) = handed(&mut courier);
    assert_eq!(serde_json::from_str::<HandedOrder>(&text).unwrap(), one);
    courier.say(&FromReader::Report {
        report: refused(&one),
    });
    until("the refusal is taken", || {
        world.server.with(|s| s.reports.len() == 1)
    });
    world.server.with(|s| s.orders = vec![fuller.clone()]);
    let (_, text) = handed(&mut courier);
    assert_eq!(serde_json::from_str::<HandedOrder>(&text).unwrap(), fuller);
    courier.say(&FromReader::Report {
        report: accepted(id),
    });
    until("and accepted", || {
        world
            .server
            .with(|s| s.reports.last() == Some(&accepted(id)))
    });
}

#[test]
fn a_long_question_does_not_hold_up_the_end() {
    let world = World::new();
    let courier = world.start();
    until("the question is asked", || {
        let is_asked = |r: &String| r.contains("/v1/agent/orders");
        world.server.with(|s| s.requests.iter().any(is_asked))
    });
    courier.stop().unwrap();
}

#[test]
fn reports_survive_the_courier_and_keep_their_order() {
    let world = World::new();
    let (id, _) = order(1);
    world.server.vanish();
    let mut courier = world.start();
    for report in [accepted(id), progress(id, 1), ended(id)] {
        courier.say(&FromReader::Report { report });
    }
    until("two wait on the disk", || {
        names(&world.folder.reports()).len() == 2
    });
    courier.stop().unwrap();
    world.server.come_back();
    let courier = world.start();
    until("they are taken", || {
        world
            .server
            .with(|s| s.reports == [accepted(id), ended(id)])
    });
    until("none waits", || names(&world.folder.reports()).is_empty());
    courier.stop().unwrap();
}

#[test]
fn of_progress_only_the_newest_is_sent_and_never_before_what_matters() {
    let world = World::new();
    let (id, _) = order(1);
    world
        .server
        .fault("POST", "/v1/agent/reports", Act::Refuse(503, Some(1)));
    let mut courier = world.start();
    courier.say(&FromReader::Report {
        report: accepted(id),
    });
    until("it is refused", || world.server.is_faultless());
    for records in 1..=50 {
        courier.say(&FromReader::Report {
            report: progress(id, records),
        });
    }
    until("the newest is there", || {
        world
            .server
            .with(|s| s.reports.last() == Some(&progress(id, 50)))
    });
    world.server.with(|s| {
        assert_eq!(s.reports.first(), Some(&accepted(id)));
        assert!(s.reports.len() < 50, "{}", s.reports.len());
    });
}

#[test]
fn a_report_that_the_server_will_never_take_is_set_aside() {
    let world = World::new();
    let (id, _) = order(1);
    world
        .server
        .fault("POST", "/v1/agent/reports", Act::Refuse(422, None));
    let mut courier = world.start();
    for report in [accepted(id), ended(id)] {
        courier.say(&FromReader::Report { report });
    }
    until("the next is taken", || {
        world.server.with(|s| s.reports == [ended(id)])
    });
    let kept = names(&world.folder.reports());
    assert!(kept.iter().any(|n| n.ends_with(".refused")), "{kept:?}");
}

#[test]
fn garbage_for_orders_harms_nobody() {
    let world = World::new();
    let (_, one) = order(1);
    for lie in [&b"{}"[..], b"\xff\xfe", b"", &[b'['; 100_000]] {
        let lie = Act::Lie(lie.to_vec());
        world.server.fault("GET", "/v1/agent/orders", lie);
    }
    world.server.with(|s| s.orders.push(one.clone()));
    let mut courier = world.start();
    let (_, text) = handed(&mut courier);
    assert_eq!(serde_json::from_str::<HandedOrder>(&text).unwrap(), one);
    assert!(world.server.is_faultless());
}
