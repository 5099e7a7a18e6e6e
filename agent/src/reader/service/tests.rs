//! The service against a courier that follows a script, on a real spool: what is obeyed, refused, remembered, gone on with.

use std::os::fd::AsFd as _;

use evidence::ids::CollectionId;
use protocol::{messages::Report, order::Order, order_check::Refusal, policy::Policy};

use super::{collections::ATTEMPTS, *};
use crate::{
    link::FromReader,
    reader::{
        renewal,
        testing::{World, at},
    },
};

mod cancel;
mod cloned;
mod custody;
mod held;
mod live;
mod recurring;
mod script;
use script::{Host, PROFILE, parts, record};

type Modify = fn(&World, &mut Order);

#[test]
fn an_order_becomes_a_collection_on_its_authority() {
    let host = Host::new();
    let mut courier = host.start();
    courier.order(&host.world.handed(&host.world.order(7, PROFILE)));
    let collection = courier.accepted();
    let (count, ended_early) = courier.ended();
    assert!(count >= 2 && ended_early.is_none());
    let names = parts(&host, collection);
    assert_eq!(names.len(), count as usize);
    let record = record(&host, collection, &names[0]);
    assert_eq!(record.agent, Some(script::AGENT));
    assert_eq!(record.host, Some(host.known().host));
    assert_eq!(record.requester.unwrap().name, "ANN");
    assert_eq!(record.case.as_deref(), Some("2026-1"));
    assert!(record.clock.is_some() && record.order_sha256.is_some());
    assert!(courier.leave().is_ok());
    assert!(host.known().running.is_none());
}

#[test]
fn an_orders_limit_on_memory_holds_for_its_collection() {
    let host = Host::new();
    let mut courier = host.start();
    let mut order = host.world.order(7, PROFILE);
    order.parameters.limits.memory_bytes = 40 << 20;
    courier.order(&host.world.handed(&order));
    let collection = courier.accepted();
    courier.ended();
    let record = record(&host, collection, &parts(&host, collection)[0]);
    assert_eq!(record.limits["memory_bytes"], 40 << 20);
    assert_eq!(record.limits["lanes"], 1);
    assert!(courier.leave().is_ok());
}

#[test]
fn what_is_no_good_order_is_refused_with_a_signed_reason_each() {
    let host = Host::new();
    let mut courier = host.start();
    let world = &host.world;
    let cases: [(&str, Modify); 5] = [
        ("expired", |_, o| o.expires = at(100)),
        ("foreign_target", |_, o| o.targets.open = false),
        ("wrong_profile_digest", |_, o| o.profile.push('#')),
        ("below_threshold", |_, o| {
            o.profile = PROFILE.replace("accounts", "logs");
            o.profile_digest = protocol::profile::digest(&o.profile);
        }),
        ("not_yet_valid", |_, o| o.not_before = o.expires),
    ];
    for (i, (code, change)) in cases.into_iter().enumerate() {
        let mut order = world.order(20 + u8::try_from(i).unwrap(), PROFILE);
        change(world, &mut order);
        courier.order(&world.handed(&order));
        let notice = courier.refused(&host);
        assert_eq!(notice.order, Some(order.id));
        let json = serde_json::to_value(&notice.refusal).unwrap();
        assert_eq!(json["code"], code);
    }
    // By a key that the policy does not know as the requester's.
    courier.order(&world.handed_by(&world.order(30, PROFILE), &world.bob));
    assert_eq!(courier.refused(&host).refusal, Refusal::Forged);
    // Not even an envelope.
    let garbage = HandedOrder {
        order: "x".repeat(100_000),
        proof: None,
    };
    courier.order(&garbage);
    let refusal = courier.refused(&host).refusal;
    assert!(matches!(refusal, Refusal::Malformed { .. }), "{refusal:?}");
    assert!(courier.leave().is_ok());
    // What time may change is judged anew, so it is not among them.
    assert_eq!(host.known().refused.len(), 6);
    assert!(host.known().used.is_empty());
}

#[test]
fn a_used_order_is_refused_for_ever_and_the_same_answer_is_given_twice() {
    let host = Host::new();
    let handed = host.world.handed(&host.world.order(7, PROFILE));
    let mut courier = host.start();
    courier.order(&handed);
    courier.ended();
    assert!(courier.leave().is_ok());
    let mut courier = host.start();
    courier.order(&handed);
    let first = courier.refused(&host);
    assert_eq!(first.refusal, Refusal::Replayed);
    assert!(courier.leave().is_ok());
    let mut courier = host.start();
    courier.order(&handed);
    assert_eq!(courier.refused(&host), first);
    assert!(courier.leave().is_ok());
    assert_eq!(host.known().refused.len(), 1);
}

#[test]
fn a_crippled_copy_does_not_speak_for_the_order() {
    let host = Host::new();
    let order = host.world.order(7, PROFILE);
    let mut courier = host.start();
    // The same payload, so the same digest, under a signature that counts for nothing.
    courier.order(&host.world.handed_by(&order, &host.world.bob));
    assert_eq!(courier.refused(&host).refusal, Refusal::Forged);
    courier.order(&host.world.handed(&order));
    courier.accepted();
    courier.ended();
    assert!(courier.leave().is_ok());
}

#[test]
fn what_was_refused_is_told_by_the_next_collection_and_no_other() {
    let host = Host::new();
    let world = &host.world;
    let mut courier = host.start();
    courier.order(&world.handed_by(&world.order(7, PROFILE), &world.bob));
    courier.refused(&host);
    for (id, told) in [(8, 1), (9, 0)] {
        courier.order(&world.handed(&world.order(id, PROFILE)));
        let collection = courier.accepted();
        courier.ended();
        let names = parts(&host, collection);
        let refusals = record(&host, collection, &names[0]).refusals;
        assert_eq!(refusals.len(), told, "{refusals:?}");
        assert!(refusals.iter().all(|r| r.why.contains("forged")));
    }
    assert!(courier.leave().is_ok());
}

#[test]
fn an_order_of_a_policy_on_its_way_waits_for_it() {
    let host = Host::new();
    let mut courier = host.start();
    let mut order = host.world.order(7, PROFILE);
    order.policy_version = 4;
    courier.order(&host.world.handed(&order));
    courier.until(|said| matches!(said, FromReader::Holds { policy_version: 3 }).then_some(()));
    let policy: Policy = host.world.next_policy();
    courier.hand(&FromSpool::Trust {}, &host.world.trust(&policy));
    courier.accepted();
    courier.ended();
    assert!(courier.leave().is_ok());
}

#[test]
fn an_order_that_ended_by_the_servers_time_is_refused_by_a_slow_clock() {
    let host = Host::new();
    let mut courier = host.start_at(|| at(Instant::now().seconds - 5000));
    let mut order = host.world.order(7, PROFILE);
    order.not_before = at(0);
    order.expires = at(Instant::now().seconds - 1);
    courier.order(&host.world.handed(&order));
    let refusal = courier.refused(&host).refusal;
    assert!(matches!(refusal, Refusal::Expired { .. }), "{refusal:?}");
    assert!(courier.leave().is_ok());
    assert!(host.known().highest_signed.is_some());
}

#[test]
fn without_a_time_the_collection_goes_on_and_says_so() {
    let host = Host::new();
    let mut courier = host.start();
    courier.has_time = false;
    courier.order(&host.world.handed(&host.world.order(7, PROFILE)));
    let collection = courier.accepted();
    courier.ended();
    let names = parts(&host, collection);
    assert!(record(&host, collection, &names[0]).clock.is_none());
    assert!(courier.leave().is_ok());
}

#[test]
fn orders_wait_their_turn_and_bad_ones_are_refused_meanwhile() {
    let host = Host::new();
    let mut courier = host.start();
    let world = &host.world;
    courier.order(&world.handed(&world.order(7, PROFILE)));
    courier.order(&world.handed(&world.order(8, PROFILE)));
    courier.order(&world.handed_by(&world.order(9, PROFILE), &world.bob));
    let mut heard = Vec::new();
    while heard.len() < 5 {
        heard.push(courier.until(|said| match said {
            FromReader::Report {
                report: Report::Progress { .. },
            } => None,
            FromReader::Report { report } => Some(report.clone()),
            _ => None,
        }));
    }
    let of = |wanted: u8| {
        let id = world.order(wanted, PROFILE).id;
        let is_of = |r: &&Report| match r {
            Report::Accepted { order, .. } | Report::Ended { order, .. } => *order == id,
            _ => false,
        };
        heard.iter().filter(is_of).count()
    };
    assert_eq!((of(7), of(8), of(9)), (2, 2, 0));
    let first_end = heard.iter().position(|r| matches!(r, Report::Ended { .. }));
    let last_begin = heard
        .iter()
        .rposition(|r| matches!(r, Report::Accepted { .. }));
    assert!(first_end < last_begin);
    assert!(courier.leave().is_ok());
}

#[test]
fn what_was_cut_off_goes_on_with_the_same_chain_even_past_its_end() {
    let host = Host::new();
    let handed = host.world.handed(&host.world.order(7, PROFILE));
    let mut courier = host.start();
    courier.dead_after = Some(2);
    courier.order(&handed);
    let collection = courier.accepted();
    courier.until_dead();
    // The halves are gone before part 2 is durable.
    let _ = courier.leave();
    let running = host.known().running.unwrap();
    assert_eq!((running.collection, running.attempt), (collection, 1));
    assert_eq!(running.position.unwrap().parts(), 1);
    assert_eq!(running.sealing.unwrap().parts(), 2);
    let mut courier = host.start_at(|| at(Instant::now().seconds + 5000));
    assert_eq!(courier.accepted(), collection);
    let (count, _) = courier.ended();
    let names = parts(&host, collection);
    assert_eq!(names.len(), count as usize);
    assert!(courier.leave().is_ok());
    assert!(host.known().running.is_none());
    let last = record(&host, collection, names.last().unwrap());
    assert!(last.last);
    assert_eq!(last.attempt, 2);
}

#[test]
fn told_to_stop_it_seals_what_is_open_and_goes_on_at_the_next_start() {
    let mut host = Host::new();
    // Hours of zeros to digest, and nothing on the disk.
    for name in 0..64 {
        let file = std::fs::File::create(host.path("host").join(format!("{name}"))).unwrap();
        file.set_len(1 << 30).unwrap();
    }
    let profile = "v: 1\nname: long\nabout: For tests\nartifacts:\n- name: mounts\n- name: accounts\n- name: file_hashes\npaths: [/]\n";
    let mut courier = host.start();
    courier.order(&host.world.handed(&host.world.order(7, profile)));
    let collection = courier.accepted();
    courier.serving_until(|said| matches!(said, FromReader::OpenSlot { slot: 2.., .. }));
    host.stop.tell();
    let told = Moment::now();
    assert!(courier.serving_to_the_end().is_ok());
    assert!(told.elapsed() < Duration::from_secs(10));
    let running = host.known().running.unwrap();
    let sealed = parts(&host, collection);
    assert!(sealed.len() >= 2, "{sealed:?}");
    assert_eq!(running.position.unwrap().parts() as usize, sealed.len());
    assert!(!record(&host, collection, sealed.last().unwrap()).last);
    // As on a host that is switched off every evening: however often, it is no failure.
    for _ in 0..ATTEMPTS {
        host.stop = Stop::default();
        let courier = host.start();
        host.stop.tell();
        assert!(courier.serving_to_the_end().is_ok());
    }
    for name in 0..64 {
        std::fs::remove_file(host.path("host").join(format!("{name}"))).unwrap();
    }
    host.stop = Stop::default();
    let mut courier = host.start();
    let (count, ended_early) = courier.ended();
    assert_eq!(ended_early, None);
    assert!(courier.leave().is_ok());
    let names = parts(&host, collection);
    assert_eq!(names.len(), count as usize);
    let last = record(&host, collection, names.last().unwrap());
    assert!(last.last);
    assert_eq!(last.attempt, 2 + ATTEMPTS);
    assert!(host.known().running.is_none());
}

#[test]
fn what_is_cut_off_again_and_again_is_closed() {
    let host = Host::new();
    let mut courier = host.start();
    courier.dead_after = Some(1);
    courier.order(&host.world.handed(&host.world.order(7, PROFILE)));
    let collection = courier.accepted();
    courier.until_dead();
    let _ = courier.leave();
    for _ in 1..ATTEMPTS {
        let mut courier = host.start();
        courier.dead_after = Some(1);
        courier.until_dead();
        let _ = courier.leave();
    }
    let mut courier = host.start();
    let (count, ended_early) = courier.ended();
    assert_eq!(count, 1);
    assert!(ended_early.unwrap().contains("cut off"));
    let last = record(&host, collection, &parts(&host, collection)[0]);
    assert!(last.last && last.ended_early.is_some());
    assert!(courier.leave().is_ok());
}

#[test]
fn a_courier_that_breaks_the_protocol_ends_the_conversation() {
    let host = Host::new();
    let mut courier = host.start();
    let collection = CollectionId::from_bytes([9; 16]);
    courier.say(&FromSpool::Durable {
        collection,
        part: 1,
    });
    assert!(matches!(
        courier.ending(),
        Err(ServiceError::Link(LinkError::OutOfTurn(_)))
    ));
    // A pipe in place of a file.
    let mut courier = host.start();
    let (pipe, _other) = std::io::pipe().unwrap();
    let link = courier.link();
    link.send(&FromSpool::Order {}, Some(pipe.as_fd())).unwrap();
    assert!(courier.ending().is_err());
    // A descriptor where none belongs.
    let mut courier = host.start();
    let chain_pem = String::new();
    courier.hand(&FromSpool::SealRenewed { chain_pem }, b"");
    assert!(courier.ending().is_err());
    // What is no order is told and passed over.
    let mut courier = host.start();
    courier.hand(&FromSpool::Order {}, b"[]");
    courier.hand(&FromSpool::Trust {}, b"{}");
    courier.until(|said| matches!(said, FromReader::Holds { policy_version: 3 }).then_some(()));
    assert!(courier.leave().is_ok());
}

#[test]
fn a_seal_past_half_its_life_is_renewed_for_the_same_key() {
    let host = Host::new();
    let mut courier = host.start_at(|| at(Instant::now().seconds + 600 * 86_400));
    let envelope = courier.until(|said| match said {
        FromReader::RenewSeal { envelope } => Some(envelope.clone()),
        _ => None,
    });
    let envelope = evidence::envelope::Envelope::parse(envelope.as_bytes()).unwrap();
    let keys = [host.seal_key];
    let asked = protocol::enrolment::SealRequest::open(&envelope, script::AGENT, &keys).unwrap();
    let from = at(Instant::now().seconds + 599 * 86_400);
    let chain_pem = host.world.seal_chain(script::AGENT, &asked.csr, from, 1000);
    let other = protocol_foreign_chain(&host.world, from);
    courier.say(&FromSpool::SealRenewed { chain_pem: other });
    courier.say(&FromSpool::SealRenewed { chain_pem });
    let renewed = || host.known().enrolment.unwrap().seal_from == from;
    while !renewed() {
        thread::yield_now();
    }
    assert!(courier.leave().is_ok());
    let seal = host.known().enrolment.unwrap().seal().unwrap();
    assert_eq!(seal.key().public(), host.seal_key);
}

/// A chain for somebody else's key.
fn protocol_foreign_chain(world: &World, from: Instant) -> String {
    let key = evidence::keys::SigningKey::generate().unwrap();
    let csr = renewal::csr(&key).unwrap();
    world.seal_chain(script::AGENT, &csr, from, 1000)
}
