//! Orders are cancelled: by whom, what of them goes out afterwards, and what is written down.

use evidence::{
    custody::event::{Action, Event},
    envelope::{self, Envelope},
    ids::CollectionId,
    instant::Instant,
};
use protocol::{
    messages::{AgentOrders, CancelOrder, HostState, Progress, Report},
    order::{Cancel, Order},
    target::TargetList,
    version::VERSION,
};

use crate::{
    testing::{Answer, Deployment, Running, TestAgent, name, order, text},
    tests::orders::{ordered, poll, report, status, submit},
};

pub(super) fn word(order: &Order, signed: &Envelope, by: &str) -> Cancel {
    Cancel {
        v: VERSION,
        deployment: order.deployment.clone(),
        order: order.id,
        order_digest: signed.digest(),
        expires: order.expires,
        by: name(by),
        time: Instant::now(),
        reason: "the wrong host".into(),
    }
}

pub(super) async fn cancel(s: &Running<'_>, who: &str, cancel: &Cancel, key: &str) -> Answer {
    let key = &s.deployment.person(key).signing;
    let signed = Envelope::sign_document(envelope::CANCEL, cancel, key).unwrap();
    let sent = CancelOrder {
        v: VERSION,
        cancel: text(&signed),
    };
    let path = format!("/v1/orders/{}/cancel", cancel.order);
    s.post_as(who, &path, &sent).await
}

/// What the agent gets: orders and cancellations.
pub(super) async fn handed(s: &Running<'_>, agent: &TestAgent) -> (usize, Vec<String>) {
    let answer = poll(s, agent, "").await;
    if answer.status == 204 {
        return (0, Vec::new());
    }
    let orders: AgentOrders = answer.message();
    (orders.orders.len(), orders.cancels)
}

#[tokio::test]
async fn a_cancelled_order_goes_out_no_more_and_its_hosts_hear_of_it_until_they_hold_it() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, signed) = ordered(&s, &agent).await;
    let size = s.server.custody.size();
    let said = word(&order, &signed, "bob");
    for _ in 0..2 {
        let answer = cancel(&s, "bob", &said, "bob").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(s.server.custody.size(), size + 1, "logged once");
    }
    let leaves = s.server.custody.leaves(size, 1, 1 << 20).await.unwrap();
    let leaf = data_encoding::BASE64.decode(leaves[0].as_bytes()).unwrap();
    let Action::Cancelled { by_key, .. } = Event::read(&leaf).unwrap().1.action else {
        panic!("another event");
    };
    assert_eq!(by_key, d.person("bob").signing.public().key_id());
    let (orders, cancels) = handed(&s, &agent).await;
    assert_eq!((orders, cancels.len()), (0, 1));
    let known = evidence::digest::Digest::of(cancels[0].as_bytes());
    let told = poll(&s, &agent, &format!("&known={known}")).await;
    assert_eq!(told.status, 204);
    let now = status(&s, &order).await;
    assert_eq!(now.hosts[0].state, HostState::Cancelled);
    assert_eq!(now.cancel.as_deref(), Some(cancels[0].as_str()));
    let held = Report::Cancelled { order: order.id };
    assert_eq!(report(&s, &agent, held).await.status, 204);
    assert_eq!(handed(&s, &agent).await.1.len(), 0);
}

#[tokio::test]
async fn a_host_that_is_at_it_hears_of_it_and_delivers_what_it_has() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, signed) = ordered(&s, &agent).await;
    let collection = CollectionId::from_bytes([9; 16]);
    let accepted = Report::Accepted {
        order: order.id,
        collection,
    };
    assert_eq!(report(&s, &agent, accepted).await.status, 204);
    let answer = cancel(&s, "ann", &word(&order, &signed, "ann"), "ann").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(handed(&s, &agent).await.1.len(), 1);
    assert_eq!(status(&s, &order).await.hosts[0].state, HostState::Running);
}

#[tokio::test]
async fn only_the_own_word_of_who_may_about_this_very_order_counts() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (one, signed) = ordered(&s, &agent).await;
    let good = word(&one, &signed, "ann");
    let with = |change: fn(&mut Cancel)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    for (who, said, key, expected) in [
        ("aud", word(&one, &signed, "aud"), "aud", 403),
        ("nat", word(&one, &signed, "nat"), "nat", 404),
        // Ann's word, sent by another; in ann's name, by another hand.
        ("bob", good.clone(), "ann", 403),
        ("ann", good.clone(), "bob", 403),
        (
            "ann",
            with(|c| c.deployment = name("elsewhere")),
            "ann",
            403,
        ),
        ("ann", with(|c| c.order_digest.0[0] ^= 1), "ann", 422),
        ("ann", with(|c| c.expires.seconds += 1), "ann", 422),
        ("ann", with(|c| c.reason = "x".repeat(2000)), "ann", 400),
        ("ann", with(|c| c.v = 2), "ann", 422),
    ] {
        let answer = cancel(&s, who, &said, key).await;
        assert_eq!(answer.status, expected, "{who}: {}", answer.text());
    }
    assert_eq!(handed(&s, &agent).await, (1, Vec::new()));
}

#[tokio::test]
async fn nobody_joins_a_cancelled_order() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let open = |o: &mut Order| {
        o.targets = TargetList::new([]).targets("*".parse().unwrap(), true);
    };
    let (order, signed) = order(&d, &[], open, &["ann"]);
    let answer = s.post_as("ann", "/v1/orders", &submit(&signed, &[])).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = cancel(&s, "ann", &word(&order, &signed, "ann"), "ann").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(handed(&s, &agent).await, (0, Vec::new()));
}

#[tokio::test]
async fn a_host_that_was_handed_the_order_is_not_called_cancelled_before_it_says_so() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, signed) = ordered(&s, &agent).await;
    assert_eq!(handed(&s, &agent).await.0, 1);
    let answer = cancel(&s, "ann", &word(&order, &signed, "ann"), "ann").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let now = status(&s, &order).await;
    assert_eq!(now.hosts[0].state, HostState::Cancelling);
    assert_eq!((now.totals.waiting, now.totals.not_begun), (1, 0));
    let held = Report::Cancelled { order: order.id };
    assert_eq!(report(&s, &agent, held).await.status, 204);
    let now = status(&s, &order).await;
    assert_eq!(now.hosts[0].state, HostState::Cancelled);
    assert_eq!((now.totals.waiting, now.totals.not_begun), (0, 1));
}

#[tokio::test]
async fn a_later_word_takes_the_place_of_one_that_no_host_holds_yet() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, signed) = ordered(&s, &agent).await;
    for who in ["ann", "bob"] {
        let answer = cancel(&s, who, &word(&order, &signed, who), who).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let told = handed(&s, &agent).await.1;
        let envelope = Envelope::parse(told[0].as_bytes()).unwrap();
        assert_eq!(Cancel::read(&envelope).unwrap().by, name(who));
    }
    let held = Report::Cancelled { order: order.id };
    assert_eq!(report(&s, &agent, held).await.status, 204);
    let answer = cancel(&s, "ann", &word(&order, &signed, "ann"), "ann").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(handed(&s, &agent).await.1.is_empty());
}

#[tokio::test]
async fn no_host_can_report_an_order_out_of_sight() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, _) = ordered(&s, &agent).await;
    let collection = CollectionId::from_bytes([9; 16]);
    let accepted = Report::Accepted {
        order: order.id,
        collection,
    };
    assert_eq!(report(&s, &agent, accepted).await.status, 204);
    for (records, expected) in [(u64::MAX, 400), ((1 << 53) + 1, 400), (1 << 53, 204)] {
        let progress = Report::Progress {
            order: order.id,
            collection,
            progress: Progress {
                records,
                ..Progress::default()
            },
        };
        assert_eq!(report(&s, &agent, progress).await.status, expected);
    }
    assert_eq!(status(&s, &order).await.totals.records, 1 << 53);
}
