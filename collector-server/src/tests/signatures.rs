//! An order that more than one person must sign waits at the server until they have.

use evidence::{
    custody::event::{Action, Event},
    envelope::Envelope,
    keys::SigningKey,
};
use protocol::{
    messages::{AgentOrders, HostState, OrderStatus, SignOrder},
    order::Order,
    version::VERSION,
};

use crate::{
    testing::{Answer, Deployment, Running, TestAgent, later, order, text},
    tests::{
        orders::{ordered, poll, status, submit},
        trust::bring_into_force,
    },
};

async fn sign(s: &Running<'_>, person: &str, order: &Order, envelope: &Envelope) -> Answer {
    let sent = SignOrder {
        v: VERSION,
        order: text(envelope),
    };
    let path = format!("/v1/orders/{}/signatures", order.id);
    s.post_as(person, &path, &sent).await
}

fn with(d: &Deployment, envelope: &Envelope, person: &str) -> Envelope {
    let mut more = envelope.clone();
    more.add_signature(&d.person(person).signing);
    more
}

async fn handed(s: &Running<'_>, agent: &TestAgent) -> usize {
    let answer = poll(s, agent, "").await;
    // The policy that it holds is older, so that there is always an answer.
    answer.message::<AgentOrders>().orders.len()
}

async fn two_must_sign(s: &Running<'_>) {
    bring_into_force(s, |p| p.thresholds.values_mut().for_each(|n| *n = 2)).await;
}

#[tokio::test]
async fn an_order_waits_for_the_second_persons_signature_and_then_goes_out() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    two_must_sign(&s).await;
    let (order, alone) = ordered(&s, &agent).await;
    assert_eq!(handed(&s, &agent).await, 0);
    assert_eq!(status(&s, &order).await.hosts[0].state, HostState::Waiting);
    // A second signature by the same hand, or by somebody who may not approve, changes nothing of that.
    let both = with(&d, &alone, "bob");
    let size = s.server.custody.size();
    for _ in 0..2 {
        let answer: OrderStatus = sign(&s, "bob", &order, &both).await.message();
        let held = Envelope::parse(answer.order.as_bytes()).unwrap();
        assert_eq!(d.policy().signers(&held).len(), 2);
        assert_eq!(s.server.custody.size(), size + 1, "logged once");
    }
    let leaves = s.server.custody.leaves(size, 1, 1 << 20).await.unwrap();
    let leaf = data_encoding::BASE64.decode(leaves[0].as_bytes()).unwrap();
    let approved = Action::Approved {
        order: order.id,
        order_sha256: alone.digest(),
        by_key: d.person("bob").signing.public().key_id(),
    };
    assert_eq!(Event::read(&leaf).unwrap().1.action, approved);
    assert_eq!(handed(&s, &agent).await, 1);
}

#[tokio::test]
async fn only_an_approvers_own_signature_on_this_very_order_counts() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    two_must_sign(&s).await;
    let (one, alone) = ordered(&s, &agent).await;
    let change = |o: &mut Order| (o.id, o.reason) = (one.id, "another".into());
    let (_, other) = order(&d, &[agent.id], change, &["ann"]);
    let mut stray = with(&d, &alone, "bob");
    stray.add_signature(&SigningKey::generate().unwrap());
    let by_bob = with(&d, &alone, "bob");
    for (who, envelope, expected) in [
        ("ann", &by_bob, 403),
        ("eve", &by_bob, 403),
        ("nat", &with(&d, &alone, "nat"), 404),
        ("bob", &alone, 422),
        ("bob", &with(&d, &alone, "eve"), 422),
        ("bob", &with(&d, &other, "bob"), 422),
        ("bob", &stray, 422),
    ] {
        let answer = sign(&s, who, &one, envelope).await;
        assert_eq!(answer.status, expected, "{who}: {}", answer.text());
    }
    assert_eq!(handed(&s, &agent).await, 0);
    let (late, ended) = order(&d, &[agent.id], |o| o.expires = later(4), &["ann"]);
    let sent = submit(&ended, &[agent.id]);
    assert_eq!(s.post_as("ann", "/v1/orders", &sent).await.status, 200);
    while status(&s, &late).await.hosts[0].state != HostState::Expired {
        tokio::task::yield_now().await;
    }
    let answer = sign(&s, "bob", &late, &with(&d, &ended, "bob")).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
}
