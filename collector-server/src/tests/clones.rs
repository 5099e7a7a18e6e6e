//! One identity on two machines: noticed, given no more orders, and forked into identities of their own.

use evidence::{
    custody::{
        event::{Action, Event},
        receipt::Receipt,
    },
    digest::Digest,
    envelope::Envelope,
    ids::{AgentId, HostId},
    keys::SigningKey,
};
use protocol::{
    enrolment::{EnrolResponse, Fork, ForkRequest, RenewRequest},
    messages::{AgentHealth, AgentOrders, Health, HostRow, HostState, Hosts},
    version::VERSION,
};
use rcgen::KeyPair;

use super::{
    evidence::upload,
    orders::{ordered, poll, status, submit},
};
use crate::{
    ca,
    testing::{Answer, Deployment, Identity, Running, TestAgent, facts, order, text},
};

pub(super) const FORK: &str = "/v1/agent/fork";

/// Which start of an agent asks.
fn instance(number: u8) -> String {
    format!("&instance={}", format!("{number:02x}").repeat(16))
}

async fn asks(s: &Running<'_>, agent: &TestAgent, starts: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for start in starts {
        statuses.push(poll(s, agent, &instance(*start)).await.status);
    }
    statuses
}

/// Two copies of the agent ask by turns until it is noticed.
pub(super) async fn clone(s: &Running<'_>, agent: &TestAgent) {
    asks(s, agent, &[1, 2, 1, 1]).await;
    let told = poll(s, agent, &instance(2)).await;
    assert_eq!(told.header("fieldseal-reason"), Some("cloned"));
}

/// A copy's own half of a fork.
pub(super) struct Copy {
    tls: KeyPair,
    seal: SigningKey,
    host: HostId,
}

impl Copy {
    pub(super) fn new() -> Self {
        Self {
            tls: ca::new_key().unwrap(),
            seal: SigningKey::generate().unwrap(),
            host: HostId::random().unwrap(),
        }
    }

    pub(super) fn csr(&self) -> String {
        let pair = KeyPair::from_pem(&self.seal.to_pem().unwrap()).unwrap();
        ca::request(&pair).unwrap()
    }

    pub(super) fn request(&self, agent: AgentId, by: &SigningKey) -> ForkRequest {
        let fork = Fork {
            v: VERSION,
            agent,
            host: self.host,
            csr: self.csr(),
        };
        let mut host = facts();
        host.id = self.host;
        ForkRequest {
            v: VERSION,
            tls_csr: ca::request(&self.tls).unwrap(),
            fork: text(&fork.sign(by).unwrap()),
            host,
        }
    }

    fn agent(self, response: EnrolResponse) -> TestAgent {
        TestAgent {
            id: response.agent,
            tls: Identity {
                chain_pem: response.tls_chain.clone(),
                key_pem: self.tls.serialize_pem(),
            },
            seal: self.seal,
            host: self.host,
            response,
        }
    }
}

pub(super) async fn ask(s: &Running<'_>, by: &TestAgent, request: &ForkRequest) -> Answer {
    s.post(Some(&by.tls), FORK, request).await
}

async fn fork(s: &Running<'_>, origin: &TestAgent) -> TestAgent {
    let copy = Copy::new();
    let answer = ask(s, origin, &copy.request(origin.id, &origin.seal)).await;
    copy.agent(answer.message())
}

pub(super) async fn row(s: &Running<'_>, agent: AgentId) -> HostRow {
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    hosts.hosts.into_iter().find(|h| h.agent == agent).unwrap()
}

fn leaf(d: &Deployment, receipt: &str) -> Action {
    let receipt = Receipt::parse(receipt.as_bytes()).unwrap();
    let proven = receipt.verify(&d.policy().log_key().unwrap()).unwrap();
    Event::read(&proven.leaf).unwrap().1.action
}

#[tokio::test]
async fn a_restart_and_one_late_question_are_no_clone() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    // Started, started anew; the first one's last question comes late; started three times more.
    let starts = [1, 1, 2, 2, 1, 2, 2, 3, 2, 4, 5, 5];
    assert_eq!(asks(&s, &agent, &starts).await, [204; 12]);
    // One that doesn't say which start it is can't be told apart, and more than the server remembers are forgotten.
    assert_eq!(poll(&s, &agent, "").await.status, 204);
    let many: Vec<u8> = (10..40).collect();
    assert_eq!(asks(&s, &agent, &many).await, [204; 30]);
    assert_eq!(asks(&s, &agent, &[5, 5]).await, [204; 2]);
    assert_eq!(row(&s, agent.id).await.cloned, None);
    assert_eq!(poll(&s, &agent, "&instance=x").await.status, 400);
}

#[tokio::test]
async fn two_starts_that_ask_by_turns_are_noticed_logged_and_given_no_orders() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (waits, envelope) = ordered(&s, &agent).await;
    assert_eq!(asks(&s, &agent, &[1, 2]).await, [200, 200]);
    // A start that was followed by another gets nothing, and asks again at once; then it is sure.
    assert_eq!(asks(&s, &agent, &[1, 1]).await, [204, 409]);
    let told = poll(&s, &agent, &instance(2)).await;
    assert_eq!(told.status, 409);
    assert_eq!(told.header("fieldseal-reason"), Some("cloned"));
    assert_eq!(poll(&s, &agent, "").await.status, 409);
    assert!(row(&s, agent.id).await.cloned.is_some());
    let now = status(&s, &waits).await;
    assert_eq!(now.hosts[0].state, HostState::Cloned);
    assert_eq!((now.totals.waiting, now.totals.not_begun), (0, 1));
    let again = s
        .post_as(
            "ann",
            "/v1/orders",
            &submit(&order(&d, &[agent.id], |_| {}, &["ann"]).1, &[agent.id]),
        )
        .await;
    assert_eq!(
        again.status,
        422,
        "no order is taken for it: {}",
        envelope.digest()
    );
    let size = s.server.custody.size();
    let leaves = s.server.custody.leaves(0, size, 1 << 20).await.unwrap();
    let cloned = leaves.iter().filter(|leaf| {
        let leaf = data_encoding::BASE64.decode(leaf.as_bytes()).unwrap();
        let (signed, event) = Event::read(&leaf).unwrap();
        let is_by_server = !signed.verify(&d.policy().time_keys).is_empty();
        is_by_server && event.action == Action::Cloned { agent: agent.id }
    });
    assert_eq!(cloned.count(), 1);
    // What it has it delivers, and nothing else.
    upload(&s, &agent, &agent.part(10)).await;
    let health = AgentHealth {
        v: VERSION,
        health: Health::default(),
    };
    let answer = s.post(Some(&agent.tls), "/v1/agent/health", &health).await;
    assert_eq!(answer.status, 409);
}

#[tokio::test]
async fn a_question_that_is_open_when_another_start_asks_is_answered_at_once() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let wait = format!("{}&wait_ms=50000", instance(1));
    let (open, other) = tokio::join!(poll(&s, &agent, &wait), async {
        while s.server.polls.available_permits() == s.server.config.max_polls {
            tokio::task::yield_now().await;
        }
        poll(&s, &agent, &instance(2)).await
    });
    assert_eq!((open.status, other.status), (204, 204));
    // Its program runs: it asks again, and once more. The other's open question ends by that.
    let wait = format!("{}&wait_ms=50000", instance(2));
    let (open, late) = tokio::join!(poll(&s, &agent, &wait), async {
        while s.server.polls.available_permits() == s.server.config.max_polls {
            tokio::task::yield_now().await;
        }
        asks(&s, &agent, &[1, 1]).await
    });
    assert_eq!((open.status, late), (409, vec![204, 409]));
}

#[tokio::test]
async fn each_copy_has_an_identity_of_its_own_by_the_same_token_and_a_third_too() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    clone(&s, &agent).await;
    let forks = [
        fork(&s, &agent).await,
        fork(&s, &agent).await,
        fork(&s, &agent).await,
    ];
    let Action::Enrolled {
        token_sha256: token,
        ..
    } = leaf(&d, &agent.response.receipt)
    else {
        panic!("no enrolment")
    };
    for copy in &forks {
        let shown = row(&s, copy.id).await;
        let Action::Enrolled {
            agent: id,
            host,
            token_sha256,
            seal_key,
            forked_from,
            ..
        } = leaf(&d, &copy.response.receipt)
        else {
            panic!("no enrolment")
        };
        assert_eq!((id, host, token_sha256), (copy.id, shown.host, token));
        assert_eq!(seal_key, copy.seal.public().key_id());
        assert_eq!(
            (forked_from, shown.forked_from),
            (Some(agent.id), Some(agent.id))
        );
        let origin = row(&s, agent.id).await;
        assert_eq!(
            (&shown.agency, &shown.labels),
            (&origin.agency, &origin.labels)
        );
        assert_ne!(shown.host, origin.host);
        assert!(origin.forked_into.contains(&copy.id));
        // It is a host like any other.
        let (_, envelope) = ordered(&s, copy).await;
        let handed: AgentOrders = poll(&s, copy, &instance(9)).await.message();
        assert_eq!(handed.orders[0].order, text(&envelope));
    }
    assert_eq!(row(&s, agent.id).await.forked_into.len(), 3);
    s.stop().await;
    let s = d.start().await;
    assert_eq!(
        row(&s, agent.id).await.forked_into.len(),
        3,
        "also after a restart"
    );
    assert_eq!(poll(&s, &agent, "").await.status, 409);
    // A fork that is copied is forked again.
    clone(&s, &forks[0]).await;
    let second = fork(&s, &forks[0]).await;
    assert_eq!(row(&s, second.id).await.forked_from, Some(forks[0].id));
}

#[tokio::test]
async fn a_lost_answer_is_given_again_for_the_same_agent() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    clone(&s, &agent).await;
    let copy = Copy::new();
    let request = copy.request(agent.id, &agent.seal);
    let first: EnrolResponse = ask(&s, &agent, &request).await.message();
    let again: EnrolResponse = ask(&s, &agent, &request).await.message();
    assert_eq!((first.agent, &first.receipt), (again.agent, &again.receipt));
    assert_eq!(row(&s, agent.id).await.forked_into, [first.agent]);
    let (one, other) = (Copy::new(), Copy::new());
    let request = one.request(agent.id, &agent.seal);
    let (a, b) = tokio::join!(ask(&s, &agent, &request), ask(&s, &agent, &request));
    assert!(
        [a.status, b.status].contains(&200),
        "{} {}",
        a.text(),
        b.text()
    );
    assert_eq!(
        row(&s, agent.id).await.forked_into.len(),
        2,
        "asked twice at once"
    );
    let third = ask(&s, &agent, &other.request(agent.id, &agent.seal)).await;
    assert_eq!(third.status, 200);
}

#[tokio::test]
async fn nobody_else_forks_an_identity_and_no_key_of_the_old_one_is_taken() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let (agent, other) = (s.enrol("lab").await, s.enrol("lab").await);
    let copy = Copy::new();
    let good = copy.request(agent.id, &agent.seal);
    assert_eq!(
        ask(&s, &agent, &good).await.status,
        409,
        "it is one machine's"
    );
    clone(&s, &agent).await;
    clone(&s, &other).await;
    let by_itself = copy.request(agent.id, &copy.seal);
    assert_eq!(
        ask(&s, &agent, &by_itself).await.status,
        422,
        "not countersigned"
    );
    let by_other = copy.request(agent.id, &other.seal);
    assert_eq!(ask(&s, &agent, &by_other).await.status, 422);
    assert_eq!(ask(&s, &other, &good).await.status, 422, "another agent's");
    let of_other = copy.request(other.id, &agent.seal);
    assert_eq!(ask(&s, &agent, &of_other).await.status, 422);
    assert_eq!(s.post(None, FORK, &good).await.status, 403);
    let mut elsewhere = good.clone();
    elsewhere.host.id = HostId::random().unwrap();
    assert_eq!(
        ask(&s, &agent, &elsewhere).await.status,
        422,
        "not the host that was signed"
    );
    let old_seal = Copy {
        seal: agent.seal.clone(),
        ..Copy::new()
    };
    assert_eq!(
        ask(&s, &agent, &old_seal.request(agent.id, &agent.seal))
            .await
            .status,
        422
    );
    let tls = KeyPair::from_pem(&agent.tls.key_pem).unwrap();
    let old_tls = Copy { tls, ..Copy::new() };
    assert_eq!(
        ask(&s, &agent, &old_tls.request(agent.id, &agent.seal))
            .await
            .status,
        422
    );
    assert!(row(&s, agent.id).await.forked_into.is_empty());
    assert_eq!(ask(&s, &agent, &good).await.status, 200);
}

#[tokio::test]
async fn a_cloned_identity_renews_its_own_tls_certificate_and_no_other() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    clone(&s, &agent).await;
    let own = KeyPair::from_pem(&agent.tls.key_pem).unwrap();
    for (key, expected) in [(own, 200), (ca::new_key().unwrap(), 409)] {
        let asked = RenewRequest {
            v: VERSION,
            tls_csr: Some(ca::request(&key).unwrap()),
            seal_csr: None,
        };
        let answer = s.post(Some(&agent.tls), "/v1/agent/renew", &asked).await;
        assert_eq!(answer.status, expected, "{}", answer.text());
    }
}

#[tokio::test]
async fn a_fork_joins_open_orders_and_takes_no_use_of_the_token() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (closed, _) = ordered(&s, &agent).await;
    let open = |o: &mut protocol::order::Order| o.targets.open = true;
    let (_, envelope) = order(&d, &[agent.id], open, &["ann"]);
    let sent = submit(&envelope, &[agent.id]);
    assert_eq!(s.post_as("ann", "/v1/orders", &sent).await.status, 200);
    clone(&s, &agent).await;
    // The token of one use is used up, and that doesn't matter.
    let copy = fork(&s, &agent).await;
    let handed: AgentOrders = poll(&s, &copy, "").await.message();
    let digests: Vec<Digest> = handed
        .orders
        .iter()
        .map(|o| Envelope::parse(o.order.as_bytes()).unwrap().digest())
        .collect();
    assert_eq!(digests, [envelope.digest()], "not {}", closed.id);
}
