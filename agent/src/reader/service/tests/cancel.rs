//! Cancellations: who may, what they stop, and that they are remembered.

use evidence::{
    envelope::{self, Envelope},
    gap::Reason,
    instant::Instant,
    keys::SigningKey,
};
use protocol::{
    messages::Report,
    order::{Cancel, Order},
    order_check::Refusal,
};

use super::script::{Courier, Host, PROFILE, parts, record};
use crate::{
    link::{FromReader, FromSpool},
    reader::testing::{World, at, text},
};

/// Zeros to digest for hours.
pub(super) const LONG: &str = "v: 1\nname: long\nabout: For tests\nartifacts:\n- name: mounts\n- name: accounts\n- name: file_hashes\npaths: [/]\n";

pub(super) fn cancel(world: &World, order: &Order, by: &str) -> Cancel {
    let signed = Envelope::sign_document(envelope::ORDER, order, &world.ann).unwrap();
    Cancel {
        v: 1,
        deployment: order.deployment.clone(),
        order: order.id,
        order_digest: signed.digest(),
        expires: order.expires,
        by: by.parse().unwrap(),
        time: Instant::now(),
        reason: "the wrong host".into(),
    }
}

pub(super) fn hand(courier: &mut Courier<'_>, cancel: &Cancel, key: &SigningKey) {
    let signed = Envelope::sign_document(envelope::CANCEL, cancel, key).unwrap();
    courier.hand(&FromSpool::Cancel {}, text(&signed).as_bytes());
}

/// Serves until the reader says that it keeps a cancellation.
pub(super) fn held(courier: &mut Courier<'_>) {
    courier.serving_until(|said| {
        matches!(
            said,
            FromReader::Report {
                report: Report::Cancelled { .. }
            }
        )
    });
}

#[test]
fn what_runs_stops_with_what_it_has_and_is_not_begun_again() {
    let host = Host::new();
    for name in 0..64 {
        let file = std::fs::File::create(host.path("host").join(format!("{name}"))).unwrap();
        file.set_len(1 << 30).unwrap();
    }
    let order = host.world.order(7, LONG);
    let handed = host.world.handed(&order);
    let mut courier = host.start();
    courier.order(&handed);
    let collection = courier.accepted();
    courier.serving_until(|said| matches!(said, FromReader::OpenSlot { slot: 2.., .. }));
    // An approver may as well.
    hand(
        &mut courier,
        &cancel(&host.world, &order, "bob"),
        &host.world.bob,
    );
    held(&mut courier);
    let (_, why) = courier.ended();
    assert_eq!(why.as_deref(), Some("cancelled by bob: the wrong host"));
    let names = parts(&host, collection);
    let last = record(&host, collection, names.last().unwrap());
    assert!(last.last && last.ended_early == why);
    assert!(courier.leave().is_ok());
    assert!(host.known().running.is_none());
    let mut courier = host.start();
    courier.order(&handed);
    assert_eq!(courier.refused(&host).refusal, Refusal::Cancelled);
    assert!(courier.leave().is_ok());
}

#[test]
fn an_order_that_never_came_or_that_waits_is_refused_after_a_restart_too() {
    let host = Host::new();
    let world = &host.world;
    let (later, unseen) = (world.order(8, PROFILE), world.order(9, PROFILE));
    let mut courier = host.start();
    let mut waits = later.clone();
    waits.not_before = at(Instant::now().seconds + 20);
    courier.order(&world.handed(&waits));
    for order in [&waits, &unseen] {
        hand(&mut courier, &cancel(world, order, "eve"), &world.eve);
    }
    // It is not waited for any more.
    assert_eq!(courier.refused(&host).refusal, Refusal::Cancelled);
    held(&mut courier);
    assert!(courier.leave().is_ok());
    // With a clock that was set back.
    let mut courier = host.start_at(|| at(Instant::now().seconds - 50));
    courier.order(&world.handed(&unseen));
    assert_eq!(courier.refused(&host).refusal, Refusal::Cancelled);
    assert!(courier.leave().is_ok());
}

#[test]
fn a_word_of_nobody_who_may_stops_nothing() {
    let host = Host::new();
    let world = &host.world;
    let order = world.order(7, PROFILE);
    let good = cancel(world, &order, "ann");
    let stranger = SigningKey::generate().unwrap();
    let mut elsewhere = good.clone();
    elsewhere.deployment = "another".parse().unwrap();
    let mut courier = host.start();
    // In ann's name by somebody else; by nobody; of another deployment; no cancellation at all.
    hand(&mut courier, &good, &world.bob);
    hand(&mut courier, &good, &stranger);
    hand(&mut courier, &elsewhere, &world.ann);
    courier.hand(&FromSpool::Cancel {}, b"{}");
    courier.hand(&FromSpool::Cancel {}, world.handed(&order).order.as_bytes());
    courier.order(&world.handed(&order));
    courier.accepted();
    assert_eq!(courier.ended().1, None);
    assert!(courier.leave().is_ok());
    assert!(host.known().cancelled.is_empty());
}

#[test]
fn a_collection_that_was_cut_off_and_cancelled_is_closed_and_says_why() {
    let host = Host::new();
    let order = host.world.order(7, PROFILE);
    let mut courier = host.start();
    courier.dead_after = Some(2);
    courier.order(&host.world.handed(&order));
    let collection = courier.accepted();
    courier.until_dead();
    hand(
        &mut courier,
        &cancel(&host.world, &order, "ann"),
        &host.world.ann,
    );
    let asked = std::time::Instant::now();
    while host.known().cancelled.is_empty() {
        assert!(asked.elapsed().as_secs() < 60);
        std::thread::yield_now();
    }
    let _ = courier.leave();
    let mut courier = host.start();
    assert_eq!(courier.accepted(), collection);
    let (_, why) = courier.ended();
    assert!(why.unwrap().starts_with("cancelled by ann"));
    assert!(courier.leave().is_ok());
    let names = parts(&host, collection);
    let last = record(&host, collection, names.last().unwrap());
    assert!(last.last && last.attempt == 2);
    let gaps = super::script::gaps(&host, collection, names.last().unwrap());
    assert!(gaps.iter().any(|g| g.reason == Reason::Cancelled));
}
