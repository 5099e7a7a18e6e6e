//! Orders are taken in, handed to their hosts, and followed to the end.

use evidence::{
    custody::{event::Action, event::Event, receipt::Receipt},
    envelope::{self, Envelope},
    ids::{AgentId, CollectionId},
    instant::Instant,
};
use protocol::{
    messages::{
        AgentOrders, AgentReport, HandedOrder, HostState, Logged, OrderStatus, Orders, Progress,
        Report, SubmitOrder,
    },
    order::{Order, RefusalNotice},
    order_check::Refusal,
    version::VERSION,
};

use crate::{
    lapse,
    testing::{Answer, Deployment, Running, TestAgent, later, name, order, text},
};

pub(super) fn submit(envelope: &Envelope, targets: &[AgentId]) -> SubmitOrder {
    SubmitOrder {
        v: VERSION,
        order: text(envelope),
        targets: targets.to_vec(),
    }
}

/// An order by ann for one host, taken in.
pub(super) async fn ordered(s: &Running<'_>, agent: &TestAgent) -> (Order, Envelope) {
    order_by(s, agent, &["ann"]).await
}

/// An order for one host by these people, taken in from ann.
async fn order_by(s: &Running<'_>, agent: &TestAgent, signers: &[&str]) -> (Order, Envelope) {
    let (order, envelope) = order(s.deployment, &[agent.id], |_| {}, signers);
    let answer = s
        .post_as("ann", "/v1/orders", &submit(&envelope, &[agent.id]))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    (order, envelope)
}

pub(super) async fn report(s: &Running<'_>, agent: &TestAgent, report: Report) -> Answer {
    let report = AgentReport { v: VERSION, report };
    s.post(Some(&agent.tls), "/v1/agent/reports", &report).await
}

pub(super) async fn poll(s: &Running<'_>, agent: &TestAgent, more: &str) -> Answer {
    let path = format!("/v1/agent/orders?policy=1{more}");
    s.get(Some(&agent.tls), &path).await
}

pub(super) async fn status(s: &Running<'_>, order: &Order) -> OrderStatus {
    let path = format!("/v1/orders/{}", order.id);
    s.get_as("ann", &path).await.message()
}

#[tokio::test]
async fn an_order_is_logged_handed_over_followed_and_survives_a_restart() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, envelope) = order(&d, &[agent.id], |_| {}, &["ann"]);
    let sent = submit(&envelope, &[agent.id]);
    let logged: Logged = s.post_as("ann", "/v1/orders", &sent).await.message();
    let receipt = Receipt::parse(logged.receipt.as_bytes()).unwrap();
    let proven = receipt.verify(&d.policy().log_key().unwrap()).unwrap();
    let action = Event::read(&proven.leaf).unwrap().1.action;
    let (order_id, order_sha256) = (order.id, envelope.digest());
    let expected = Action::Ordered {
        order: order_id,
        order_sha256,
    };
    assert_eq!(action, expected);
    // The same again is the same leaf, and no second order.
    let again: Logged = s.post_as("ann", "/v1/orders", &sent).await.message();
    let again = Receipt::parse(again.receipt.as_bytes()).unwrap();
    let again = again.verify(&d.policy().log_key().unwrap()).unwrap();
    assert_eq!(again.index, proven.index);
    s.stop().await;

    let s = d.start().await;
    let handed: AgentOrders = poll(&s, &agent, "").await.message();
    assert_eq!(handed.orders.len(), 1);
    assert_eq!(handed.orders[0].order, text(&envelope));
    let proof = handed.orders[0].proof.as_ref().unwrap();
    let subject = s.server.index.agent(agent.id).await.unwrap().unwrap();
    assert!(order.targets.include(&subject.subject(), Some(proof)));
    let known = format!("&known={}", handed.orders[0].digest());
    assert_eq!(poll(&s, &agent, &known).await.status, 204);
    let collection = CollectionId::random().unwrap();
    let accepted = Report::Accepted {
        order: order.id,
        collection,
    };
    assert_eq!(report(&s, &agent, accepted.clone()).await.status, 204);
    assert_eq!(
        report(&s, &agent, accepted).await.status,
        204,
        "after a crash"
    );
    assert_eq!(poll(&s, &agent, "").await.status, 204);
    let before = status(&s, &order).await;
    assert_eq!(before.hosts[0].state, HostState::Running);
    let progress = Progress {
        artifact: "processes".into(),
        records: 7,
        ..Progress::default()
    };
    let progress = Report::Progress {
        order: order.id,
        collection,
        progress,
    };
    assert_eq!(report(&s, &agent, progress).await.status, 204);
    let after = status(&s, &order).await;
    assert!(after.revision > before.revision);
    assert_eq!(after.hosts[0].progress.as_ref().unwrap().records, 7);
}

#[tokio::test]
async fn an_agent_that_waits_hears_of_an_order_at_once() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (handed, _) = tokio::join!(poll(&s, &agent, "&wait_ms=50000"), async {
        while s.server.polls.available_permits() == s.server.config.max_polls {
            tokio::task::yield_now().await;
        }
        ordered(&s, &agent).await
    });
    assert_eq!(handed.message::<AgentOrders>().orders.len(), 1);
}

#[tokio::test]
async fn who_follows_an_order_hears_of_each_change_at_once() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, _) = ordered(&s, &agent).await;
    let now = status(&s, &order).await.revision;
    let path = format!("/v1/orders/{}?since={now}&wait_ms=50000", order.id);
    let accepted = Report::Accepted {
        order: order.id,
        collection: CollectionId::random().unwrap(),
    };
    let (answer, _) = tokio::join!(s.get_as("ann", &path), async {
        while s.server.polls.available_permits() == s.server.config.max_polls {
            tokio::task::yield_now().await;
        }
        report(&s, &agent, accepted).await
    });
    let status: OrderStatus = answer.message();
    assert_eq!(status.hosts[0].state, HostState::Running);
    // Without news the answer comes when the time is up.
    let path = format!("/v1/orders/{}?since=999&wait_ms=1", order.id);
    let later: OrderStatus = s.get_as("ann", &path).await.message();
    assert_eq!(
        (later.revision, later.totals),
        (status.revision, status.totals)
    );
    assert!(later.hosts.is_empty());
}

#[tokio::test]
async fn orders_that_no_agent_could_obey_are_refused_at_once() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let (agent, other) = (s.enrol("lab").await, s.enrol("navy").await);
    type Change = fn(&mut Order);
    let changes: &[(Change, &[&str])] = &[
        (|o| o.deployment = name("other"), &["ann"]),
        (|o| o.policy_version = 2, &["ann"]),
        (|o| o.expires = later(-1), &["ann"]),
        (|o| o.profile.push(' '), &["ann"]),
        (|o| o.recipients.clear(), &["ann"]),
        (|o| o.nonce.clear(), &["ann"]),
        (|o| o.targets.count += 1, &["ann"]),
        (|o| o.targets.expression = "*".parse().unwrap(), &["eve"]),
        (|_| {}, &["ann", "ann"]),
    ];
    for (i, (change, signers)) in changes.iter().enumerate() {
        let (_, envelope) = order(&d, &[agent.id], *change, signers);
        let sent = submit(&envelope, &[agent.id]);
        let answer = s.post_as("ann", "/v1/orders", &sent).await;
        assert_eq!(answer.status, 422, "{i} {}", answer.text());
    }
    // A host of another agency, nobody at all, an unknown one.
    for targets in [vec![other.id], vec![], vec![AgentId::random().unwrap()]] {
        let (_, envelope) = order(&d, &targets, |_| {}, &["ann"]);
        let sent = submit(&envelope, &targets);
        let answer = s.post_as("ann", "/v1/orders", &sent).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
    }
    // Ann's order in nat's hands.
    let (_, envelope) = order(&d, &[agent.id], |_| {}, &["ann"]);
    let answer = s
        .post_as("nat", "/v1/orders", &submit(&envelope, &[agent.id]))
        .await;
    assert_eq!(answer.status, 403);
    assert_eq!(poll(&s, &agent, "").await.status, 204);
    let orders: Orders = s.get_as("ann", "/v1/orders").await.message();
    assert!(orders.orders.is_empty());
}

#[tokio::test]
async fn an_order_for_later_is_handed_over_when_it_may_begin() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (_, envelope) = order(&d, &[agent.id], |o| o.not_before = later(2), &["ann"]);
    let sent = submit(&envelope, &[agent.id]);
    assert_eq!(s.post_as("ann", "/v1/orders", &sent).await.status, 200);
    assert_eq!(poll(&s, &agent, "").await.status, 204);
    let handed: AgentOrders = poll(&s, &agent, "&wait_ms=50000").await.message();
    assert_eq!(handed.orders.len(), 1);
}

#[tokio::test]
async fn hosts_that_fit_join_an_open_order() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let open = |o: &mut Order, expression: &str| {
        o.targets.open = true;
        o.targets.expression = expression.parse().unwrap();
    };
    let (joined, envelope) = order(&d, &[], |o| open(o, "label=dc os=linux"), &["ann"]);
    let sent = submit(&envelope, &[]);
    assert_eq!(s.post_as("ann", "/v1/orders", &sent).await.status, 200);
    let (_, elsewhere) = order(&d, &[], |o| open(o, "label=web"), &["ann"]);
    let sent = submit(&elsewhere, &[]);
    assert_eq!(s.post_as("ann", "/v1/orders", &sent).await.status, 200);
    let late = s.enrol("lab").await;
    let handed: AgentOrders = poll(&s, &late, "").await.message();
    assert_eq!(handed.orders.len(), 1);
    assert_eq!(handed.orders[0].order, text(&envelope));
    assert!(handed.orders[0].proof.is_none());
    // Of another agency, whose hosts ann may not order for.
    let navy = s.enrol("navy").await;
    assert_eq!(poll(&s, &navy, "").await.status, 204);
    assert_eq!(status(&s, &joined).await.hosts[0].agent, late.id);
}

/// The one order that the agent is handed now.
async fn handed(s: &Running<'_>, agent: &TestAgent) -> HandedOrder {
    let mut all: AgentOrders = poll(s, agent, "").await.message();
    assert_eq!(all.orders.len(), 1);
    all.orders.remove(0)
}

fn notice(agent: &TestAgent, copy: &HandedOrder, by: &evidence::keys::SigningKey) -> Report {
    let order = Envelope::parse(copy.order.as_bytes()).unwrap();
    let notice = RefusalNotice {
        v: VERSION,
        order_digest: order.digest(),
        handed_digest: copy.digest(),
        order: None,
        agent: agent.id,
        time: later(0),
        refusal: Refusal::Replayed,
    };
    let signed = Envelope::sign_document(envelope::REFUSAL, &notice, by).unwrap();
    Report::Refused {
        notice: text(&signed),
    }
}

#[tokio::test]
async fn a_refusal_counts_with_the_seal_keys_signature_and_is_logged() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let (agent, other) = (s.enrol("lab").await, s.enrol("lab").await);
    let (order, _) = ordered(&s, &agent).await;
    let copy = handed(&s, &agent).await;
    let forged = notice(&agent, &copy, &other.seal);
    assert_eq!(report(&s, &agent, forged).await.status, 422);
    let swapped = notice(&other, &copy, &agent.seal);
    assert_eq!(report(&s, &agent, swapped).await.status, 422);
    let foreign = notice(&other, &copy, &other.seal);
    assert_eq!(report(&s, &other, foreign).await.status, 404);
    let size = s.server.custody.size();
    let good = notice(&agent, &copy, &agent.seal);
    assert_eq!(report(&s, &agent, good.clone()).await.status, 204);
    assert_eq!(report(&s, &agent, good.clone()).await.status, 204);
    assert_eq!(s.server.custody.size(), size + 1);
    let status = status(&s, &order).await;
    assert_eq!(status.hosts[0].state, HostState::Refused);
    let Report::Refused { notice } = good else {
        panic!()
    };
    assert_eq!(status.hosts[0].refusal, Some(notice));
    assert_eq!(poll(&s, &agent, "").await.status, 204);
    let orders: Orders = s.get_as("bob", "/v1/orders").await.message();
    assert_eq!((orders.orders[0].hosts, orders.orders[0].settled), (1, 1));
}

#[tokio::test]
async fn a_refusal_of_a_crippled_copy_is_shown_and_settles_nothing() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, _) = order_by(&s, &agent, &["ann", "bob"]).await;
    let genuine = handed(&s, &agent).await;
    // As a captured courier would: the approver's signature is gone, or the proof.
    let mut json: serde_json::Value = serde_json::from_str(&genuine.order).unwrap();
    json["signatures"].as_array_mut().unwrap().pop();
    let stripped = HandedOrder {
        order: json.to_string(),
        ..genuine.clone()
    };
    let unproven = HandedOrder {
        proof: None,
        ..genuine.clone()
    };
    let size = s.server.custody.size();
    for copy in [&stripped, &unproven, &stripped] {
        let refusal = notice(&agent, copy, &agent.seal);
        assert_eq!(report(&s, &agent, refusal).await.status, 204);
    }
    let now = status(&s, &order).await;
    assert_eq!(now.hosts[0].state, HostState::Waiting);
    let Report::Refused { notice: first } = notice(&agent, &stripped, &agent.seal) else {
        panic!()
    };
    let kept = now.hosts[0].refusal.clone().unwrap();
    let digest = |text: &str| {
        let envelope = Envelope::parse(text.as_bytes()).unwrap();
        let notice: RefusalNotice = envelope.document(envelope::REFUSAL).unwrap();
        notice.handed_digest
    };
    assert_eq!(digest(&kept), digest(&first), "the first is kept");
    assert_eq!(s.server.custody.size(), size, "nothing was refused");
    assert_eq!(handed(&s, &agent).await, genuine, "it goes on waiting");
    let refusal = notice(&agent, &genuine, &agent.seal);
    assert_eq!(report(&s, &agent, refusal).await.status, 204);
    let now = status(&s, &order).await;
    assert_eq!(now.hosts[0].state, HostState::Refused);
    assert_eq!(s.server.custody.size(), size + 1);
}

#[tokio::test]
async fn one_more_signature_is_taken_in_logged_and_handed_to_who_refused() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, alone) = ordered(&s, &agent).await;
    let before = handed(&s, &agent).await;
    let refusal = notice(&agent, &before, &agent.seal);
    assert_eq!(report(&s, &agent, refusal).await.status, 204);
    assert_eq!(poll(&s, &agent, "").await.status, 204);
    let revision = status(&s, &order).await.revision;

    let mut both = alone.clone();
    both.add_signature(&d.person("bob").signing);
    let size = s.server.custody.size();
    for _ in 0..2 {
        let sent = submit(&both, &[agent.id]);
        assert_eq!(s.post_as("ann", "/v1/orders", &sent).await.status, 200);
        assert_eq!(s.server.custody.size(), size + 1, "once");
    }
    let leaves = s.server.custody.leaves(size, 1, 1 << 20).await.unwrap();
    let leaf = data_encoding::BASE64.decode(leaves[0].as_bytes()).unwrap();
    let approved = Action::Approved {
        order: order.id,
        order_sha256: alone.digest(),
        by_key: d.person("bob").signing.public().key_id(),
    };
    assert_eq!(Event::read(&leaf).unwrap().1.action, approved);
    let now = status(&s, &order).await;
    assert!(now.revision > revision);
    assert_eq!(now.hosts[0].state, HostState::Waiting);
    let after = handed(&s, &agent).await;
    let signed_by = |copy: &HandedOrder| {
        let envelope = Envelope::parse(copy.order.as_bytes()).unwrap();
        d.policy().signers(&envelope).len()
    };
    assert_eq!((signed_by(&before), signed_by(&after)), (1, 2));
    // The old answer is to the old copy.
    let late = notice(&agent, &before, &agent.seal);
    assert_eq!(report(&s, &agent, late).await.status, 204);
    assert_eq!(handed(&s, &agent).await, after);

    // Never fewer, and none that does not hold.
    let sent = submit(&alone, &[agent.id]);
    assert_eq!(s.post_as("ann", "/v1/orders", &sent).await.status, 200);
    assert_eq!(handed(&s, &agent).await, after);
    let mut stray = alone.clone();
    stray.add_signature(&evidence::keys::SigningKey::generate().unwrap());
    let sent = submit(&stray, &[agent.id]);
    assert_eq!(s.post_as("ann", "/v1/orders", &sent).await.status, 422);
    // Who has begun is asked no more.
    let accepted = Report::Accepted {
        order: order.id,
        collection: CollectionId::random().unwrap(),
    };
    assert_eq!(report(&s, &agent, accepted).await.status, 204);
    assert_eq!(poll(&s, &agent, "").await.status, 204);
}

#[tokio::test]
async fn that_an_orders_time_is_up_is_logged_once_and_told_to_whoever_follows() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, envelope) = order(&d, &[agent.id], |o| o.expires = later(60), &["ann"]);
    let sent = submit(&envelope, &[agent.id]);
    assert_eq!(s.post_as("ann", "/v1/orders", &sent).await.status, 200);
    assert_eq!(lapse::run(&s.server, Instant::now()).await.unwrap(), 0);
    let (before, size) = (status(&s, &order).await.revision, s.server.custody.size());
    let url = format!("/v1/orders/{}?since={before}&wait_ms=20000", order.id);
    let (told, lapsed) = tokio::join!(s.get_as("ann", &url), async {
        let lapsed = lapse::run(&s.server, later(60)).await.unwrap();
        (lapsed, lapse::run(&s.server, later(60)).await.unwrap())
    });
    assert_eq!(lapsed, (1, 0));
    assert!(told.message::<OrderStatus>().revision > before);
    let leaves = s.server.custody.leaves(size, 5, 1 << 20).await.unwrap();
    let leaf = data_encoding::BASE64.decode(leaves[0].as_bytes()).unwrap();
    let Action::Lapsed { order: lapsed, .. } = Event::read(&leaf).unwrap().1.action else {
        panic!("another event");
    };
    assert_eq!((lapsed, leaves.len()), (order.id, 1));
}

#[tokio::test]
async fn reports_on_orders_of_others_or_other_collections_change_nothing() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let (agent, other) = (s.enrol("lab").await, s.enrol("lab").await);
    let (order, _) = ordered(&s, &agent).await;
    let accepted = |collection| Report::Accepted {
        order: order.id,
        collection,
    };
    let (first, second) = (
        CollectionId::random().unwrap(),
        CollectionId::random().unwrap(),
    );
    assert_eq!(report(&s, &other, accepted(first)).await.status, 404);
    assert_eq!(report(&s, &agent, accepted(first)).await.status, 204);
    assert_eq!(report(&s, &agent, accepted(second)).await.status, 409);
    let ended = Report::Ended {
        order: order.id,
        collection: second,
        parts: 1,
        ended_early: None,
    };
    assert_eq!(report(&s, &agent, ended).await.status, 409);
    assert_eq!(status(&s, &order).await.hosts[0].collection, Some(first));
}

#[tokio::test]
async fn an_order_that_nobody_asked_for_in_time_has_expired() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, envelope) = order(&d, &[agent.id], |o| o.expires = later(4), &["ann"]);
    let sent = submit(&envelope, &[agent.id]);
    assert_eq!(s.post_as("ann", "/v1/orders", &sent).await.status, 200);
    while status(&s, &order).await.hosts[0].state != HostState::Expired {
        tokio::task::yield_now().await;
    }
    assert_eq!(poll(&s, &agent, "").await.status, 204);
}
