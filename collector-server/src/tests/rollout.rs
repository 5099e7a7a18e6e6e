//! An order for many hosts: it goes out at its rate, stops by itself, and is followed by what has changed.

use evidence::{
    custody::event::{Action, Event},
    ids::CollectionId,
};
use protocol::{
    messages::{AgentOrders, HostState, OrderStatus, Orders, Report},
    order::{Order, Rollout},
    target::TargetList,
};

use crate::{
    testing::{Deployment, Running, TestAgent, order},
    tests::orders::{poll, report, status, submit},
};

/// Enrols `count` hosts, in the order in which they are handed things.
async fn hosts(s: &Running<'_>, count: usize) -> Vec<TestAgent> {
    let mut hosts = Vec::new();
    for _ in 0..count {
        hosts.push(s.enrol("lab").await);
    }
    hosts.sort_by_key(|host| host.id);
    hosts
}

async fn ordered(s: &Running<'_>, hosts: &[TestAgent], rollout: Rollout) -> Order {
    let ids: Vec<_> = hosts.iter().map(|host| host.id).collect();
    let change = |o: &mut Order| o.rollout = Some(rollout);
    let (order, envelope) = order(s.deployment, &ids, change, &["ann"]);
    let answer = s
        .post_as("ann", "/v1/orders", &submit(&envelope, &ids))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    order
}

async fn is_handed(s: &Running<'_>, host: &TestAgent, wait_ms: u64) -> bool {
    let answer = poll(s, host, &format!("&wait_ms={wait_ms}")).await;
    answer.status == 200 && !answer.message::<AgentOrders>().orders.is_empty()
}

async fn since(s: &Running<'_>, order: &Order, revision: u64) -> OrderStatus {
    let path = format!("/v1/orders/{}?since={revision}", order.id);
    s.get_as("ann", &path).await.message()
}

#[tokio::test]
async fn hosts_get_the_order_in_their_turn() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let hosts = hosts(&s, 3).await;
    let rollout = Rollout {
        hosts_per_minute: 30,
        ..Rollout::default()
    };
    let order = ordered(&s, &hosts, rollout).await;
    // The third's turn begins after four seconds.
    assert!(!is_handed(&s, &hosts[2], 0).await);
    assert_eq!(status(&s, &order).await.totals.waiting, 3);
    assert!(is_handed(&s, &hosts[0], 20_000).await);
    assert!(is_handed(&s, &hosts[2], 20_000).await);
}

#[tokio::test]
async fn an_order_stops_by_itself_when_too_many_of_its_hosts_fail() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let hosts = hosts(&s, 6).await;
    let rollout = Rollout {
        stop_past_failed_percent: 20,
        ..Rollout::default()
    };
    let order = ordered(&s, &hosts, rollout).await;
    let mut size = s.server.custody.size();
    for (number, host) in (1_u8..).zip(&hosts[..5]) {
        assert_eq!(status(&s, &order).await.halted, None);
        let collection = CollectionId::from_bytes([number; 16]);
        let order = order.id;
        let accepted = Report::Accepted { order, collection };
        assert_eq!(report(&s, host, accepted).await.status, 204);
        let ended = Report::Ended {
            order,
            collection,
            parts: 1,
            ended_early: Some("the disk is full".into()),
        };
        size = s.server.custody.size();
        assert_eq!(report(&s, host, ended).await.status, 204);
    }
    assert!(!is_handed(&s, &hosts[5], 0).await);
    let now = status(&s, &order).await;
    assert_eq!(
        now.halted.as_deref(),
        Some("more than 20 % of the hosts that answered failed")
    );
    assert_eq!((now.totals.ended_early, now.totals.not_begun), (5, 1));
    let last = now.hosts.iter().find(|h| h.agent == hosts[5].id).unwrap();
    assert_eq!(last.state, HostState::Halted);
    let leaves = s.server.custody.leaves(size, 5, 1 << 20).await.unwrap();
    let leaf = data_encoding::BASE64.decode(leaves[0].as_bytes()).unwrap();
    let Action::Halted { order: halted, .. } = Event::read(&leaf).unwrap().1.action else {
        panic!("another event");
    };
    assert_eq!((halted, leaves.len()), (order.id, 1));
    let listed: Orders = s.get_as("ann", "/v1/orders").await.message();
    assert!(listed.orders[0].halted.is_some());
}

#[tokio::test]
async fn who_follows_is_told_of_the_hosts_that_changed() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let hosts = hosts(&s, 3).await;
    let order = ordered(&s, &hosts, Rollout::default()).await;
    let first = since(&s, &order, 0).await;
    assert_eq!(first.hosts.len(), 3);
    let accepted = Report::Accepted {
        order: order.id,
        collection: CollectionId::from_bytes([1; 16]),
    };
    assert_eq!(report(&s, &hosts[1], accepted).await.status, 204);
    let next = since(&s, &order, first.revision).await;
    let told: Vec<_> = next.hosts.iter().map(|h| (h.agent, h.state)).collect();
    assert_eq!(told, [(hosts[1].id, HostState::Running)]);
    assert_eq!((next.totals.hosts, next.totals.running), (3, 1));
    assert!(since(&s, &order, next.revision).await.hosts.is_empty());
}

#[tokio::test]
async fn one_host_of_an_open_order_stops_nothing() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let hosts = hosts(&s, 2).await;
    let change = |o: &mut Order| {
        o.targets = TargetList::new([]).targets("*".parse().unwrap(), true);
        o.rollout = Some(Rollout {
            stop_past_failed_percent: 10,
            ..Rollout::default()
        });
    };
    let (order, envelope) = order(&d, &[], change, &["ann"]);
    let answer = s
        .post_as("ann", "/v1/orders", &submit(&envelope, &[]))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(is_handed(&s, &hosts[0], 0).await);
    let (order, collection) = (order.id, CollectionId::from_bytes([1; 16]));
    let accepted = Report::Accepted { order, collection };
    assert_eq!(report(&s, &hosts[0], accepted).await.status, 204);
    let ended = Report::Ended {
        order,
        collection,
        parts: 1,
        ended_early: Some("the disk is full".into()),
    };
    assert_eq!(report(&s, &hosts[0], ended).await.status, 204);
    assert!(is_handed(&s, &hosts[1], 0).await);
}
