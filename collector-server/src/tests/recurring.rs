//! Orders that make many collections: what their hosts' states say, from the first capture to the end.

use evidence::ids::CollectionId;
use protocol::{
    messages::{Captures, Collections, HostState, OrderHost, Progress, Report},
    order::Order,
    recurrence::Recurrence,
};

use super::{
    cancels::{cancel, handed, word},
    evidence::upload,
    orders::{report, status, submit},
};
use crate::testing::{Deployment, Running, TestAgent, later, order};

async fn standing(
    s: &Running<'_>,
    agent: &TestAgent,
    expires: i64,
) -> (Order, evidence::envelope::Envelope) {
    let change = |order: &mut Order| {
        order.expires = later(expires);
        order.recurrence = Some(Recurrence::Standing {
            every_seconds: 60,
            window: None,
            captures: 100,
        });
    };
    let (order, envelope) = order(s.deployment, &[agent.id], change, &["ann"]);
    let sent = submit(&envelope, &[agent.id]);
    let answer = s.post_as("ann", "/v1/orders", &sent).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    (order, envelope)
}

async fn said(s: &Running<'_>, agent: &TestAgent, what: Report) {
    let answer = report(s, agent, what).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
}

async fn host(s: &Running<'_>, order: &Order) -> OrderHost {
    status(s, order).await.hosts.remove(0)
}

fn capturing(order: &Order, collection: CollectionId, number: u32) -> Report {
    Report::Capturing {
        order: order.id,
        collection,
        number,
    }
}

#[tokio::test]
async fn captures_are_counted_until_a_cancellation_that_the_host_keeps() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, envelope) = standing(&s, &agent, 3_600).await;
    assert_eq!(handed(&s, &agent).await.0, 1);
    said(&s, &agent, Report::Held { order: order.id }).await;
    assert_eq!(handed(&s, &agent).await.0, 0);
    let now = host(&s, &order).await;
    let none = Captures {
        begun: 0,
        delivered: 0,
        newest: None,
        over: None,
    };
    assert_eq!((now.state, now.captures), (HostState::Standing, Some(none)));
    let of = Some(envelope.digest());
    let collections = [(); 2].map(|()| CollectionId::random().unwrap());
    for (number, collection) in (1..).zip(collections) {
        said(&s, &agent, capturing(&order, collection, number)).await;
        let progress = Progress::default();
        let order = order.id;
        said(
            &s,
            &agent,
            Report::Progress {
                order,
                collection,
                progress,
            },
        )
        .await;
        upload(&s, &agent, &agent.part_of(collection, 100, None, true, of)).await;
        let ended_early = None;
        said(
            &s,
            &agent,
            Report::Ended {
                order,
                collection,
                parts: 1,
                ended_early,
            },
        )
        .await;
    }
    // What is told again, and of one before the newest, changes nothing.
    said(&s, &agent, capturing(&order, collections[0], 1)).await;
    let now = host(&s, &order).await;
    assert_eq!(now.state, HostState::Standing);
    assert_eq!(now.collection, Some(collections[1]));
    let captures = now.captures.unwrap();
    assert_eq!((captures.begun, captures.delivered), (2, 2));
    assert!(captures.newest.is_some());
    let totals = status(&s, &order).await.totals;
    assert_eq!((totals.running, totals.delivered), (1, 0));
    let path = format!("/v1/collections?order={}", order.id);
    let found: Collections = s.get_as("ann", &path).await.message();
    assert_eq!(found.collections.len(), 2);
    // One more is on its way when it is cancelled.
    let third = CollectionId::random().unwrap();
    said(&s, &agent, capturing(&order, third, 3)).await;
    let answer = cancel(&s, "ann", &word(&order, &envelope, "ann"), "ann").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(host(&s, &order).await.state, HostState::Cancelling);
    assert_eq!(handed(&s, &agent).await.1.len(), 1);
    said(&s, &agent, Report::Cancelled { order: order.id }).await;
    assert_eq!(host(&s, &order).await.state, HostState::Running);
    upload(&s, &agent, &agent.part_of(third, 100, None, true, of)).await;
    let now = host(&s, &order).await;
    assert_eq!(now.state, HostState::Delivered);
    assert_eq!(now.captures.unwrap().delivered, 3);
    s.stop().await;
}

#[tokio::test]
async fn it_ends_with_its_time_or_with_the_hosts_word_and_the_newest_must_be_here() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (short, _) = standing(&s, &agent, 2).await;
    let (spent, envelope) = standing(&s, &agent, 3_600).await;
    for order in [&short, &spent] {
        said(&s, &agent, Report::Held { order: order.id }).await;
    }
    let collection = CollectionId::random().unwrap();
    said(&s, &agent, capturing(&spent, collection, 1)).await;
    let (order, why) = (spent.id, "it has made all".to_owned());
    said(&s, &agent, Report::Over { order, why }).await;
    let now = host(&s, &spent).await;
    assert_eq!(now.state, HostState::Running);
    assert_eq!(
        now.captures.unwrap().over.as_deref(),
        Some("it has made all")
    );
    let of = Some(envelope.digest());
    upload(&s, &agent, &agent.part_of(collection, 100, None, true, of)).await;
    assert_eq!(host(&s, &spent).await.state, HostState::Delivered);
    while host(&s, &short).await.state != HostState::Delivered {
        tokio::task::yield_now().await;
    }
    s.stop().await;
}

#[tokio::test]
async fn an_order_for_one_collection_does_not_become_many() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, _) = super::orders::ordered(&s, &agent).await;
    let collection = CollectionId::random().unwrap();
    for what in [
        Report::Held { order: order.id },
        capturing(&order, collection, 1),
    ] {
        assert_eq!(report(&s, &agent, what).await.status, 409);
    }
    let now = host(&s, &order).await;
    assert_eq!((now.state, now.captures), (HostState::Waiting, None));
    s.stop().await;
}
