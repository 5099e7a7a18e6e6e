//! Clients who go away at a bad moment, and what they leave: nothing stays half done, and nobody is locked out by it.

use std::time::Duration;

use evidence::{
    custody::event::Action,
    digest::Digest,
    envelope::{self, Envelope},
    ids::AgentId,
    instant::Instant,
};
use protocol::{
    admission::Verdict,
    enrolment::{EnrolRequest, EnrolResponse, Token},
    hold::{Covers, LiftHold},
    messages::{Hosts, Logged},
    version::VERSION,
};
use tokio::time::timeout;

use super::{
    clones::{self, Copy, FORK},
    enrolment::revoke,
    holds,
    orders::{self, submit},
    pending::{decide, signed, the_one, waiting, word},
    retention,
};
use crate::{
    ca,
    store::{
        agents::{Change as AgentChange, NewAgent, SealKey},
        holds as hold_rows,
        index::Change,
        pending as pending_rows,
    },
    testing::{Answer, Deployment, Running, order, text},
};

const ENROL: &str = "/v1/enrol";

/// Asks again until the answer is another one than this: what goes on by itself is awaited.
async fn unless(status: u16, ask: impl AsyncFn() -> Answer) -> Answer {
    let asking = async {
        loop {
            let answer = ask().await;
            if answer.status != status {
                return answer;
            }
        }
    };
    timeout(Duration::from_secs(60), asking)
        .await
        .expect("it never ends")
}

fn token_of(request: &EnrolRequest) -> (Token, Digest) {
    let envelope = Envelope::parse(request.token.as_bytes()).unwrap();
    (
        envelope.document(envelope::TOKEN).unwrap(),
        envelope.digest(),
    )
}

/// How many leaves say that a host was enrolled.
async fn enrolled_leaves(s: &Running<'_>) -> usize {
    let told = |action: &Action| matches!(action, Action::Enrolled { .. });
    let actions = retention::actions(s).await;
    actions.iter().filter(|action| told(action)).count()
}

async fn hosts(s: &Running<'_>) -> Vec<AgentId> {
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    hosts.hosts.iter().map(|host| host.agent).collect()
}

#[tokio::test]
async fn a_host_that_goes_away_while_it_is_let_in_is_let_in_once() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let request = s.request(d.token("lab", 1)).0;
    let stalled = s.server.custody.stall().await;
    s.hang_up(None, ENROL, &request, || stalled.is_met()).await;
    // Somebody is at work on it still: neither does it begin twice, nor is it undone.
    assert_eq!(s.post(None, ENROL, &request).await.status, 503);
    s.server.finish_enrolments().await.unwrap();
    drop(stalled);
    let answer = unless(503, async || s.post(None, ENROL, &request).await).await;
    let response: EnrolResponse = answer.message();
    assert_eq!(hosts(&s).await, [response.agent]);
    assert_eq!(enrolled_leaves(&s).await, 1);
}

#[tokio::test]
async fn a_copy_that_goes_away_while_it_is_forked_is_forked_once() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    clones::clone(&s, &agent).await;
    let request = Copy::new().request(agent.id, &agent.seal);
    let stalled = s.server.custody.stall().await;
    s.hang_up(Some(&agent.tls), FORK, &request, || stalled.is_met())
        .await;
    drop(stalled);
    let ask = async || clones::ask(&s, &agent, &request).await;
    let response: EnrolResponse = unless(503, ask).await.message();
    let origin = clones::row(&s, agent.id).await;
    assert_eq!(origin.forked_into, [response.agent]);
    assert_eq!(enrolled_leaves(&s).await, 2);
}

#[tokio::test]
async fn an_admin_who_goes_away_while_the_word_is_logged_has_let_the_host_in() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let request = waiting(&s, 1);
    let ask = async || s.post(None, ENROL, &request).await;
    assert_eq!(ask().await.status, 202);
    let host = the_one(&s, "eve").await;
    let said = signed(&s, &word(&host, "eve", Verdict::Approved), "eve");
    let stalled = s.server.custody.stall().await;
    let eve = &d.person("eve").tls;
    s.hang_up(Some(eve), "/v1/hosts/pending", &said, || stalled.is_met())
        .await;
    assert_eq!(ask().await.status, 202, "it counts once it is logged");
    drop(stalled);
    assert_eq!(unless(202, ask).await.status, 200);
}

#[tokio::test]
async fn an_admin_who_goes_away_while_a_revocation_is_logged_has_revoked() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let event = revoke("eve", &agent, &d);
    let stalled = s.server.custody.stall().await;
    let eve = &d.person("eve").tls;
    s.hang_up(Some(eve), "/v1/custody/events", &event, || stalled.is_met())
        .await;
    assert_eq!(orders::poll(&s, &agent, "").await.status, 204);
    drop(stalled);
    let shut_out = unless(204, async || orders::poll(&s, &agent, "").await).await;
    assert_eq!(shut_out.header("fieldseal-reason"), Some("revoked"));
}

#[tokio::test]
async fn who_goes_away_while_an_order_is_logged_has_ordered() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (_, envelope) = order(&d, &[agent.id], |_| {}, &["ann"]);
    let sent = submit(&envelope, &[agent.id]);
    let stalled = s.server.custody.stall().await;
    let ann = &d.person("ann").tls;
    s.hang_up(Some(ann), "/v1/orders", &sent, || stalled.is_met())
        .await;
    drop(stalled);
    let handed = unless(204, async || orders::poll(&s, &agent, "").await).await;
    assert_eq!(handed.status, 200);
}

/// The row of an enrolment that was cut off behind it, and what its leaf says.
async fn left(s: &Running<'_>, request: &EnrolRequest, forked_from: Option<AgentId>) -> Action {
    let agent = AgentId::random().unwrap();
    let (token, token_sha256) = token_of(request);
    let seal_key = ca::requested_key(&request.seal_csr).unwrap();
    let new = NewAgent {
        agent,
        host: request.host.clone(),
        agency: token.agency,
        labels: token.labels,
        enrolled: Instant::now(),
        token: token.id,
        uses: token.uses,
        forked_from,
        kit: None,
        seal: SealKey {
            key_sha256: seal_key,
            chain: String::new(),
        },
    };
    let change = AgentChange::Enrol(Box::new(new));
    s.server.change(Change::Agent(change)).await.unwrap();
    Action::Enrolled {
        agent,
        host: request.host.id,
        token_sha256,
        seal_key,
        tls_key: ca::requested_key(&request.tls_csr).unwrap(),
        forked_from,
    }
}

#[tokio::test]
async fn an_enrolment_that_was_left_before_its_leaf_is_undone_when_its_host_comes_again() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let request = s.request(d.token("lab", 1)).0;
    left(&s, &request, None).await;
    // The one use was counted, and is there again.
    let response: EnrolResponse = s.post(None, ENROL, &request).await.message();
    assert_eq!(hosts(&s).await, [response.agent]);
    assert_eq!(enrolled_leaves(&s).await, 1);
}

#[tokio::test]
async fn an_enrolment_that_was_left_behind_its_leaf_is_finished_when_its_host_comes_again() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let request = s.request(d.token("lab", 1)).0;
    let leaf = left(&s, &request, None).await;
    s.server.custody.log(leaf.clone()).await.unwrap();
    let response: EnrolResponse = s.post(None, ENROL, &request).await.message();
    assert!(matches!(leaf, Action::Enrolled { agent, .. } if agent == response.agent));
    assert_eq!(hosts(&s).await, [response.agent]);
    assert_eq!(enrolled_leaves(&s).await, 1);
}

#[tokio::test]
async fn an_enrolment_whose_leaf_is_in_the_file_alone_is_finished_and_gives_no_use_back() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let token = d.token("lab", 1);
    let request = s.request(token.clone()).0;
    let leaf = left(&s, &request, None).await;
    s.server.custody.append_alone(leaf.clone());
    let response: EnrolResponse = s.post(None, ENROL, &request).await.message();
    assert!(matches!(leaf, Action::Enrolled { agent, .. } if agent == response.agent));
    assert_eq!(enrolled_leaves(&s).await, 1);
    assert_ne!(s.try_enrol(token).await.0.status, 200);
}

#[tokio::test]
async fn a_fork_that_was_left_is_undone_or_finished_when_its_copy_comes_again() {
    for is_logged in [false, true] {
        let d = Deployment::new().await;
        let s = d.start().await;
        let agent = s.enrol("lab").await;
        clones::clone(&s, &agent).await;
        let copy = Copy::new();
        let request = copy.request(agent.id, &agent.seal);
        let mut as_enrolment = s.request(d.token("lab", 1)).0;
        as_enrolment.host = request.host.clone();
        as_enrolment.seal_csr = copy.csr();
        let leaf = left(&s, &as_enrolment, Some(agent.id)).await;
        if is_logged {
            s.server.custody.log(leaf.clone()).await.unwrap();
        }
        let answer = clones::ask(&s, &agent, &request).await;
        let response: EnrolResponse = answer.message();
        let is_same = matches!(leaf, Action::Enrolled { agent, .. } if agent == response.agent);
        assert_eq!(is_same, is_logged);
        let origin = clones::row(&s, agent.id).await;
        assert_eq!(origin.forked_into, [response.agent]);
    }
}

#[tokio::test]
async fn enrolments_that_nobody_asks_for_again_are_brought_to_an_end_while_the_server_runs() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let token = d.token("lab", 1);
    let undone = s.request(token.clone()).0;
    left(&s, &undone, None).await;
    let finished = s.request(d.token("lab", 1)).0;
    let leaf = left(&s, &finished, None).await;
    s.server.custody.log(leaf.clone()).await.unwrap();
    s.server.finish_enrolments().await.unwrap();
    let [agent] = hosts(&s).await[..] else {
        panic!("one is finished")
    };
    assert!(matches!(leaf, Action::Enrolled { agent: id, .. } if id == agent));
    // With other keys, by the use that was given back.
    assert_eq!(s.try_enrol(token).await.0.status, 200);
}

/// A host that waits and on which eve's word is stored, without its leaf.
async fn decided(s: &Running<'_>, verdict: Verdict) -> EnrolRequest {
    let request = waiting(s, 1);
    assert_eq!(s.post(None, ENROL, &request).await.status, 202);
    let host = the_one(s, "eve").await;
    let said = signed(s, &word(&host, "eve", verdict), "eve");
    let change = pending_rows::Change::Decide {
        seal_key: host.seal_key,
        verdict,
        envelope: said.admission,
    };
    s.server.change(Change::Pending(change)).await.unwrap();
    request
}

#[tokio::test]
async fn a_word_that_was_left_before_its_leaf_is_logged_by_the_next_one_and_counts() {
    for second in [Verdict::Approved, Verdict::Rejected] {
        let d = Deployment::new().await;
        let s = d.start().await;
        let request = decided(&s, Verdict::Approved).await;
        // Whoever decides finds it in the list still.
        let host = the_one(&s, "eve").await;
        let answer = decide(&s, &host, "eve", second).await;
        match second {
            Verdict::Approved => drop(answer.message::<Logged>()),
            Verdict::Rejected => assert_eq!(answer.status, 409, "{}", answer.text()),
        }
        let told = |action: &Action| matches!(action, Action::Admitted { .. });
        assert!(retention::actions(&s).await.iter().any(told));
        assert_eq!(s.post(None, ENROL, &request).await.status, 200);
    }
}

#[tokio::test]
async fn a_word_that_was_left_before_its_leaf_is_logged_when_its_host_comes_again() {
    for (verdict, status) in [(Verdict::Approved, 200), (Verdict::Rejected, 403)] {
        let d = Deployment::new().await;
        let s = d.start().await;
        let request = decided(&s, verdict).await;
        // Somebody is at work, perhaps on this very word.
        let keeping = s.server.keeping.lock().await;
        assert_eq!(s.post(None, ENROL, &request).await.status, 202);
        drop(keeping);
        let answer = s.post(None, ENROL, &request).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}

#[tokio::test]
async fn a_lifting_that_was_left_before_its_leaf_is_logged_by_the_next_one_and_counts() {
    let d = Deployment::new().await;
    let s = retention::started(&d).await;
    let agent = s.enrol("lab").await;
    let part = retention::collected(&s, &agent).await;
    let collection = part.said.collection;
    let hold = holds::hold("ann", Covers::Collection { collection });
    assert_eq!(holds::place(&s, "ann", &hold).await.status, 200);
    let eve = &d.person("eve").signing;
    let lift = text(&holds::signed_lift(eve, &holds::lift_of(&hold, "eve")));
    let stored = hold_rows::Change::Lift {
        hold: hold.id,
        envelope: lift.clone(),
        at: Instant::now(),
    };
    s.server.change(Change::Hold(stored)).await.unwrap();
    assert!(retention::collections(&s).await.collections[0].held);
    let other = holds::lift(&s, "eve", &hold).await;
    assert_eq!(other.status, 409, "{}", other.text());
    assert!(!retention::collections(&s).await.collections[0].held);
    let path = format!("/v1/holds/{}/lift", hold.id);
    let again = LiftHold { v: VERSION, lift };
    let again: Logged = s.post_as("eve", &path, &again).await.message();
    assert!(!again.receipt.is_empty());
}
