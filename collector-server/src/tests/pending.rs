//! Tokens that hold hosts, and tokens for some networks: who is let in, by whose word, and what the log says of it.

use evidence::{
    custody::{
        event::{Action, Event},
        receipt::Receipt,
    },
    digest::Digest,
    envelope::{self, Envelope},
    instant::Instant,
};
use protocol::{
    admission::{Admission, DecideHost, EnrolmentHeld, PendingHost, PendingHosts, Verdict},
    enrolment::{EnrolRequest, EnrolResponse},
    messages::{Hosts, Logged},
    version::VERSION,
};

use crate::{
    ca,
    testing::{Answer, Deployment, Running, later, name, text},
};

/// A host that asks by a token that holds hosts.
pub(super) fn waiting(s: &Running<'_>, uses: u64) -> EnrolRequest {
    let token = s.deployment.token_named(
        |token| {
            token.held = true;
            token.uses = uses;
        },
        "eve",
    );
    s.request(token).0
}

pub(super) async fn ask(s: &Running<'_>, request: &EnrolRequest) -> Answer {
    s.post(None, "/v1/enrol", request).await
}

/// The one host that `person` sees waiting.
pub(super) async fn the_one(s: &Running<'_>, person: &str) -> PendingHost {
    let mut listed: PendingHosts = s.get_as(person, "/v1/hosts/pending").await.message();
    assert_eq!(listed.hosts.len(), 1);
    listed.hosts.remove(0)
}

pub(super) fn word(host: &PendingHost, by: &str, verdict: Verdict) -> Admission {
    Admission {
        v: VERSION,
        deployment: name("test"),
        agency: host.agency.clone(),
        host: host.host.id,
        seal_key: host.seal_key,
        verdict,
        by: name(by),
        time: Instant::now(),
    }
}

pub(super) fn signed(s: &Running<'_>, word: &Admission, by: &str) -> DecideHost {
    let key = &s.deployment.person(by).signing;
    let signed = Envelope::sign_document(envelope::ADMISSION, word, key).unwrap();
    DecideHost {
        v: VERSION,
        admission: text(&signed),
    }
}

pub(super) async fn decide(
    s: &Running<'_>,
    host: &PendingHost,
    by: &str,
    verdict: Verdict,
) -> Answer {
    let message = signed(s, &word(host, by, verdict), by);
    s.post_as(by, "/v1/hosts/pending", &message).await
}

fn logged(d: &Deployment, receipt: &str) -> Action {
    let receipt = Receipt::parse(receipt.as_bytes()).unwrap();
    let proven = receipt.verify(&d.policy().log_key().unwrap()).unwrap();
    Event::read(&proven.leaf).unwrap().1.action
}

#[tokio::test]
async fn a_held_host_waits_until_an_admin_lets_it_in_and_both_are_logged() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let request = waiting(&s, 1);
    let answer = ask(&s, &request).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    let held: EnrolmentHeld = serde_json::from_slice(&answer.body).unwrap();
    let host = the_one(&s, "eve").await;
    assert_eq!(held.seal_key, host.seal_key);
    assert_eq!(host.host, request.host);
    assert_eq!(host.address, "127.0.0.1");
    // Asking again changes nothing but when it last asked.
    assert_eq!(ask(&s, &request).await.status, 202);
    let again = the_one(&s, "eve").await;
    assert_eq!((again.since, again.asked > host.asked), (host.since, true));
    let approved = decide(&s, &host, "eve", Verdict::Approved).await;
    assert_eq!(approved.status, 200, "{}", approved.text());
    let approved: Logged = approved.message();
    let by = d.person("eve").signing.public().key_id();
    assert!(
        matches!(logged(&d, &approved.receipt), Action::Admitted { seal_key, by_key, .. }
            if (seal_key, by_key) == (host.seal_key, by))
    );
    let enrolled: EnrolResponse = ask(&s, &request).await.message();
    assert!(
        matches!(logged(&d, &enrolled.receipt), Action::Enrolled { seal_key, .. }
            if seal_key == host.seal_key)
    );
    let listed: PendingHosts = s.get_as("eve", "/v1/hosts/pending").await.message();
    assert!(listed.hosts.is_empty());
    let twice = decide(&s, &host, "eve", Verdict::Rejected).await;
    assert_eq!(twice.status, 409, "{}", twice.text());
}

#[tokio::test]
async fn a_host_that_was_turned_away_stays_out_and_uses_up_nothing() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let request = waiting(&s, 1);
    assert_eq!(ask(&s, &request).await.status, 202);
    let host = the_one(&s, "eve").await;
    let rejected = decide(&s, &host, "eve", Verdict::Rejected).await;
    let rejected: Logged = rejected.message();
    assert!(matches!(
        logged(&d, &rejected.receipt),
        Action::TurnedAway { .. }
    ));
    let refused = ask(&s, &request).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.header("fieldseal-reason").is_none());
    // Another host by the same token waits for its own word, and there is a use for it.
    let mut other = s.request(request.token.clone()).0;
    other.host = request.host.clone();
    assert_eq!(ask(&s, &other).await.status, 202);
    let host = the_one(&s, "eve").await;
    decide(&s, &host, "eve", Verdict::Approved).await;
    assert_eq!(ask(&s, &other).await.status, 200);
}

#[tokio::test]
async fn only_an_admin_of_the_agency_decides_by_a_word_on_that_very_host() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let request = waiting(&s, 1);
    ask(&s, &request).await;
    let host = the_one(&s, "eve").await;
    let size = s.server.custody.size();
    assert_eq!(s.get_as("ann", "/v1/hosts/pending").await.status, 403);
    assert_eq!(
        decide(&s, &host, "ann", Verdict::Approved).await.status,
        403
    );
    let of_another_key = PendingHost {
        seal_key: Digest::of(b"another"),
        ..host.clone()
    };
    let answer = decide(&s, &of_another_key, "eve", Verdict::Approved).await;
    assert_eq!(answer.status, 404);
    let of_another_host = Admission {
        host: evidence::ids::HostId::random().unwrap(),
        ..word(&host, "eve", Verdict::Approved)
    };
    let message = signed(&s, &of_another_host, "eve");
    let answer = s.post_as("eve", "/v1/hosts/pending", &message).await;
    assert_eq!(answer.status, 422);
    // Eve's name under ann's signature.
    let message = signed(&s, &word(&host, "eve", Verdict::Approved), "ann");
    let answer = s.post_as("eve", "/v1/hosts/pending", &message).await;
    assert_eq!(answer.status, 422);
    assert_eq!(s.server.custody.size(), size);
    assert_eq!(ask(&s, &request).await.status, 202);
}

#[tokio::test]
async fn a_word_without_its_leaf_is_told_at_the_next_start() {
    let d = Deployment::new().await;
    let request;
    {
        let s = d.start().await;
        request = waiting(&s, 1);
        ask(&s, &request).await;
        let host = the_one(&s, "eve").await;
        let message = signed(&s, &word(&host, "eve", Verdict::Approved), "eve");
        let change = crate::store::pending::Change::Decide {
            seal_key: host.seal_key,
            verdict: Verdict::Approved,
            envelope: message.admission,
        };
        // Cut off right behind the row.
        let change = crate::store::index::Change::Pending(change);
        s.server.change(change).await.unwrap();
        let standing = s.server.index.standing(host.seal_key).await.unwrap();
        assert_eq!(standing.unwrap().verdict, None, "it does not count yet");
        s.stop().await;
    }
    let s = d.start().await;
    assert_eq!(ask(&s, &request).await.status, 200);
}

#[tokio::test]
async fn a_host_that_waited_by_a_token_which_has_ended_waits_by_another() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let request = waiting(&s, 1);
    let waited = PendingHost {
        seal_key: ca::requested_key(&request.seal_csr).unwrap(),
        agency: name("lab"),
        labels: Vec::new(),
        token: "another".into(),
        host: request.host.clone(),
        address: "127.0.0.1".into(),
        since: later(-86_400),
        asked: later(-60),
        expires: later(-1),
    };
    let change = crate::store::pending::Change::Ask {
        host: Box::new(waited),
        uses: 1,
    };
    let change = crate::store::index::Change::Pending(change);
    s.server.change(change).await.unwrap();
    let answer = ask(&s, &request).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let host = the_one(&s, "eve").await;
    assert_ne!(host.token, "another");
    let approved = decide(&s, &host, "eve", Verdict::Approved).await;
    assert_eq!(approved.status, 200, "{}", approved.text());
    assert_eq!(ask(&s, &request).await.status, 200);
}

#[tokio::test]
async fn those_who_wait_are_so_many_and_no_more_and_go_with_their_token() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let token = s.deployment.token_named(|token| token.held = true, "eve");
    for _ in 0..16 {
        let request = s.request(token.clone()).0;
        assert_eq!(ask(&s, &request).await.status, 202);
    }
    let beyond = ask(&s, &s.request(token).0).await;
    assert_eq!(beyond.status, 503, "{}", beyond.text());
    assert!(beyond.header("retry-after").is_some());
    let index = &s.server.index;
    let scope = crate::store::Scope::of([name("lab")]);
    let now = index.pending(&scope, later(0)).await.unwrap();
    let after = index.pending(&scope, later(90_000)).await.unwrap();
    assert_eq!((now.len(), after.len()), (16, 0));
}

#[tokio::test]
async fn a_token_for_other_networks_lets_nobody_in_from_here() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let token = |network: &str| {
        let network = network.parse().unwrap();
        let change = |token: &mut protocol::enrolment::Token| {
            token.networks = [network].into();
        };
        s.deployment.token_named(change, "eve")
    };
    let elsewhere = s.request(token("192.0.2.0/24")).0;
    let refused = ask(&s, &elsewhere).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("127.0.0.1"), "{}", refused.text());
    let here = s.request(token("127.0.0.0/8")).0;
    assert_eq!(ask(&s, &here).await.status, 200);
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    assert_eq!(hosts.hosts.len(), 1);
}
