//! A host is removed: shut out, no target, in no list that does not ask for it, and all that was collected stays.

use evidence::{
    custody::{
        event::{Action, Event},
        receipt::Receipt,
    },
    digest::Digest,
};
use protocol::{
    messages::{Collections, HostState, Hosts, Logged, SubmitEvent},
    version::VERSION,
};

use super::{
    enrolment::revoke,
    evidence::upload,
    orders::{ordered, poll, status, submit},
};
use crate::testing::{Deployment, TestAgent, later, order, text};

const EVENTS: &str = "/v1/custody/events";

fn remove(d: &Deployment, by: &str, agent: &TestAgent, reason: &str) -> SubmitEvent {
    let action = Action::Removed {
        agent: agent.id,
        invalid_from: later(0),
        reason_sha256: Digest::of(reason.as_bytes()),
    };
    let leaf = Event::sign(action, later(0), &d.person(by).signing).unwrap();
    SubmitEvent {
        v: VERSION,
        event: text(&leaf),
        reason: Some(reason.to_owned()),
    }
}

#[tokio::test]
async fn a_removed_host_is_shut_out_and_its_evidence_and_history_stay() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let (agent, other) = (s.enrol("lab").await, s.enrol("lab").await);
    let part = agent.part(10);
    upload(&s, &agent, &part).await;
    let (waits, _) = ordered(&s, &agent).await;
    let gone = remove(&d, "eve", &agent, "Sold.");
    let before = status(&s, &waits).await;
    let logged: Logged = s.post_as("eve", EVENTS, &gone).await.message();
    let receipt = Receipt::parse(logged.receipt.as_bytes()).unwrap();
    let proven = receipt.verify(&d.policy().log_key().unwrap()).unwrap();
    assert_eq!(proven.leaf, gone.event.as_bytes());
    let answer = poll(&s, &agent, "").await;
    assert_eq!(answer.header("fieldseal-reason"), Some("revoked"));
    assert!(answer.text().contains("removed"), "{}", answer.text());
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    let row = hosts.hosts.iter().find(|h| h.agent == agent.id).unwrap();
    assert_eq!(row.removal_reason.as_deref(), Some("Sold."));
    assert!(row.removed.is_some() && row.revoked.is_some() && !row.is_target());
    let now = status(&s, &waits).await;
    assert_eq!(now.hosts[0].state, HostState::Removed);
    assert!(
        now.revision > before.revision,
        "whoever follows hears of it"
    );
    assert_eq!((now.totals.waiting, now.totals.not_begun), (0, 1));
    let again = order(&d, &[agent.id], |_| {}, &["ann"]).1;
    let answer = s
        .post_as("ann", "/v1/orders", &submit(&again, &[agent.id]))
        .await;
    assert_eq!(answer.status, 422);
    let kept: Collections = s.get_as("ann", "/v1/collections").await.message();
    assert!(kept.collections[0].revocation.is_some());
    assert_eq!(s.get_as("ann", &part.url()).await.status, 200);
    assert_eq!(poll(&s, &other, "").await.status, 204);
    assert_eq!(s.post_as("eve", EVENTS, &gone).await.status, 409);
    // Another reason than the one that was signed, and none.
    s.stop().await;
    let s = d.start().await;
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    let row = hosts.hosts.iter().find(|h| h.agent == agent.id).unwrap();
    assert_eq!(
        row.removal_reason.as_deref(),
        Some("Sold."),
        "after a restart"
    );
}

#[tokio::test]
async fn only_an_admin_of_the_agency_removes_and_with_the_reason_that_was_signed() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    for (person, status) in [("ann", 404), ("nat", 404), ("aud", 403)] {
        let sent = remove(&d, person, &agent, "Sold.");
        assert_eq!(s.post_as(person, EVENTS, &sent).await.status, status);
    }
    let good = remove(&d, "eve", &agent, "Sold.");
    for reason in [None, Some("Lost.".to_owned()), Some(String::new())] {
        let bad = SubmitEvent {
            reason,
            ..good.clone()
        };
        assert_eq!(s.post_as("eve", EVENTS, &bad).await.status, 422);
    }
    assert_eq!(poll(&s, &agent, "").await.status, 204);
    // One that was revoked before can be removed from the lists all the same.
    assert_eq!(
        s.post_as("eve", EVENTS, &revoke("eve", &agent, &d))
            .await
            .status,
        200
    );
    assert_eq!(s.post_as("eve", EVENTS, &good).await.status, 200);
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    let row = &hosts.hosts[0];
    assert!(row.revoked < row.removed, "the earlier time counts");
}

#[tokio::test]
async fn a_removal_that_was_cut_off_after_its_leaf_is_made_good_at_the_next_start() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let gone = remove(&d, "eve", &agent, "Sold.");
    let (_, event) = Event::read(gone.event.as_bytes()).unwrap();
    let logged = s
        .server
        .custody
        .log_signed(&event.action, gone.event.as_bytes());
    logged.await.unwrap();
    s.stop().await;
    let s = d.start().await;
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    assert!(hosts.hosts[0].removed.is_some());
}
