//! Hosts become known by a token, renew, and are shut out.

use std::{collections::BTreeSet, process::Command};

use evidence::{
    custody::{
        event::{Action, Event},
        receipt::Receipt,
    },
    envelope::Envelope,
    keys::SigningKey,
};
use protocol::{
    admission::PendingHosts,
    enrolment::{EnrolRequest, RenewRequest, RenewResponse, SealRequest, Token},
    messages::{Hosts, Logged, SubmitEvent, TimeRequest, Trust},
    policy::Policy,
    root::Root,
    time::SignedTime,
    version::VERSION,
};
use rcgen::KeyPair;

use crate::{
    ca,
    testing::{Deployment, Running, later, name, text},
};

pub(super) fn revoke(
    person: &str,
    agent: &crate::testing::TestAgent,
    d: &Deployment,
) -> SubmitEvent {
    let action = Action::Revoked {
        agent: agent.id,
        invalid_from: later(-60),
    };
    let leaf = Event::sign(action, later(0), &d.person(person).signing).unwrap();
    SubmitEvent {
        v: VERSION,
        event: text(&leaf),
        reason: None,
    }
}

#[tokio::test]
async fn anybody_learns_the_trust_and_the_signed_time() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let trust: Trust = s.get(None, "/v1/trust").await.message();
    let root = Root::open(&Envelope::parse(trust.roots[0].as_bytes()).unwrap()).unwrap();
    let policy = Envelope::parse(trust.policy.as_bytes()).unwrap();
    let policy = Policy::open(&policy, &root).unwrap();
    let nonce = "0b".repeat(16);
    let asked = TimeRequest { v: 1, nonce };
    let answer = s.post(None, "/v1/time", &asked).await;
    let signed = Envelope::parse(&answer.body).unwrap();
    SignedTime::open(&signed, &policy, &[0x0b; 16]).unwrap();
    let bad = TimeRequest {
        v: 1,
        nonce: "x".into(),
    };
    assert_eq!(s.post(None, "/v1/time", &bad).await.status, 400);
}

#[tokio::test]
async fn a_token_lets_in_as_many_hosts_as_it_says_and_logs_each() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let token = d.token("lab", 2);
    for status in [200, 200, 409] {
        assert_eq!(s.try_enrol(token.clone()).await.0.status, status);
    }
    let agent = s.enrol("lab").await;
    let receipt = Receipt::parse(agent.response.receipt.as_bytes()).unwrap();
    let proven = receipt.verify(&d.policy().log_key().unwrap()).unwrap();
    let (envelope, event) = Event::read(&proven.leaf).unwrap();
    assert!(!envelope.verify(&d.policy().time_keys).is_empty());
    let Action::Enrolled {
        agent: id,
        seal_key,
        ..
    } = event.action
    else {
        panic!("{event:?}")
    };
    assert_eq!((id, seal_key), (agent.id, agent.seal.public().key_id()));
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    assert_eq!(hosts.hosts.len(), 3);
    let row = hosts.hosts.iter().find(|h| h.agent == agent.id).unwrap();
    assert_eq!(
        (&row.agency, row.labels.as_slice()),
        (&name("lab"), &[name("dc")][..])
    );
}

#[tokio::test]
async fn a_question_is_answered_as_an_enrolment_would_be_and_uses_nothing_up() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let asked = async |token: &str| {
        let question = EnrolRequest {
            v: VERSION,
            token: token.to_owned(),
            tls_csr: String::new(),
            seal_csr: String::new(),
            host: crate::testing::facts(),
        };
        s.post(None, "/v1/enrol", &question).await
    };
    let token = d.token("lab", 1);
    for _ in 0..3 {
        assert_eq!(asked(&token).await.status, 204);
    }
    // Nobody waits by it either.
    let held = d.token_named(|t| t.held = true, "eve");
    assert_eq!(asked(&held).await.status, 204);
    let waiting: PendingHosts = s.get_as("eve", "/v1/hosts/pending").await.message();
    assert!(waiting.hosts.is_empty());
    let elsewhere = |t: &mut Token| t.networks = BTreeSet::from(["192.0.2.0/24".parse().unwrap()]);
    for (token, status) in [
        (d.token_named(|_| {}, "ann"), 422),
        (d.token_named(|t| t.expires = later(-1), "eve"), 422),
        (d.token_named(elsewhere, "eve"), 422),
    ] {
        assert_eq!(asked(&token).await.status, status);
    }
    assert_eq!(s.try_enrol(token.clone()).await.0.status, 200);
    assert_eq!(asked(&token).await.status, 409);
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    assert_eq!(hosts.hosts.len(), 1);
}

#[tokio::test]
async fn bad_tokens_and_requests_let_nobody_in() {
    let d = Deployment::new().await;
    let s = d.start().await;
    for (token, status) in [
        (String::new(), 400),
        ("{}".into(), 400),
        (d.token_named(|_| {}, "ann"), 422),
        (d.token_named(|t| t.issuer = name("ann"), "ann"), 422),
        (d.token_named(|t| t.agency = name("navy"), "eve"), 422),
        (d.token_named(|t| t.deployment = name("other"), "eve"), 422),
        (d.token_named(|t| t.expires = later(-1), "eve"), 422),
        (d.token_named(|t| t.uses = 0, "eve"), 409),
    ] {
        let answer = s.try_enrol(token.clone()).await.0;
        assert_eq!(answer.status, status, "{token} {}", answer.text());
    }
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    assert!(hosts.hosts.is_empty());
}

#[tokio::test]
async fn certificates_are_issued_under_root_crt() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let dir = tempfile::tempdir().unwrap();
    for (file, chain, purpose) in [
        ("tls", &agent.response.tls_chain, "sslclient"),
        ("seal", &agent.response.seal_chain, "smimesign"),
    ] {
        let path = dir.path().join(file);
        std::fs::write(&path, chain).unwrap();
        let checked = Command::new("openssl")
            .args(["verify", "-x509_strict", "-no-CApath", "-no-CAstore"])
            .args(["-purpose", purpose, "-CAfile"])
            .arg(d.folder().root_certificate())
            .arg("-untrusted")
            .arg(d.folder().issuing_certificate())
            .arg(&path)
            .output()
            .unwrap();
        assert!(checked.status.success(), "{checked:?}");
    }
}

fn csr(key: &KeyPair) -> Option<String> {
    Some(ca::request(key).unwrap())
}

async fn renew(s: &Running<'_>, agent: &crate::testing::TestAgent, asked: &RenewRequest) -> u16 {
    s.post(Some(&agent.tls), "/v1/agent/renew", asked)
        .await
        .status
}

#[tokio::test]
async fn a_new_seal_certificate_needs_the_present_seal_key() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let next = SigningKey::generate().unwrap();
    let pair = KeyPair::from_pem(&next.to_pem().unwrap()).unwrap();
    let ask = |by: &SigningKey, id| RenewRequest {
        v: VERSION,
        tls_csr: None,
        seal_csr: Some(text(
            &SealRequest::sign(id, &ca::request(&pair).unwrap(), by).unwrap(),
        )),
    };
    assert_eq!(renew(&s, &agent, &ask(&next, agent.id)).await, 422);
    let other = s.enrol("lab").await;
    assert_eq!(renew(&s, &agent, &ask(&agent.seal, other.id)).await, 422);
    let answer = s
        .post(
            Some(&agent.tls),
            "/v1/agent/renew",
            &ask(&agent.seal, agent.id),
        )
        .await;
    let response: RenewResponse = answer.message();
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    let row = hosts.hosts.iter().find(|h| h.agent == agent.id).unwrap();
    assert_eq!(Some(&row.seal_chain), response.seal_chain.as_ref());
    // From the next on the new key asks.
    assert_eq!(renew(&s, &agent, &ask(&next, agent.id)).await, 200);
}

/// Asks with the agent's first seal key that `next` be certified.
fn seal_request(agent: &crate::testing::TestAgent, next: &SigningKey) -> RenewRequest {
    let pair = KeyPair::from_pem(&next.to_pem().unwrap()).unwrap();
    let request = SealRequest::sign(agent.id, &ca::request(&pair).unwrap(), &agent.seal);
    RenewRequest {
        v: VERSION,
        tls_csr: None,
        seal_csr: Some(text(&request.unwrap())),
    }
}

#[tokio::test]
async fn seal_keys_are_remembered_once_each_and_not_without_end() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let same = seal_request(&agent, &agent.seal);
    let kept = async || s.server.index.seal_chains(agent.id).await.unwrap().len();
    for _ in 0..3 {
        assert_eq!(renew(&s, &agent, &same).await, 200);
        assert_eq!(kept().await, 1);
    }
    let another = || seal_request(&agent, &SigningKey::generate().unwrap());
    for count in 2..=64 {
        assert_eq!(renew(&s, &agent, &another()).await, 200);
        assert_eq!(kept().await, count);
    }
    assert_eq!(renew(&s, &agent, &another()).await, 409);
    assert_eq!(kept().await, 64);
    // The keys that it has are renewed all the same.
    assert_eq!(renew(&s, &agent, &same).await, 200);
}

#[tokio::test]
async fn a_tls_certificate_is_renewed_for_the_same_key_or_a_new_one() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let asked = RenewRequest {
        v: VERSION,
        tls_csr: csr(&ca::new_key().unwrap()),
        seal_csr: None,
    };
    assert_eq!(renew(&s, &agent, &asked).await, 200);
    let nothing = RenewRequest {
        tls_csr: None,
        ..asked
    };
    assert_eq!(renew(&s, &agent, &nothing).await, 400);
}

#[tokio::test]
async fn the_revoked_are_out_at_once_and_only_admins_of_the_agency_revoke() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let orders = "/v1/agent/orders?policy=1";
    assert_eq!(s.get(Some(&agent.tls), orders).await.status, 204);
    for (person, status) in [("ann", 404), ("nat", 404), ("aud", 403), ("bob", 403)] {
        let answer = s
            .post_as(person, "/v1/custody/events", &revoke(person, &agent, &d))
            .await;
        assert_eq!(answer.status, status, "{person} {}", answer.text());
    }
    // Signed by another than who asks.
    let answer = s
        .post_as("ann", "/v1/custody/events", &revoke("eve", &agent, &d))
        .await;
    assert_eq!(answer.status, 422);
    let event = revoke("eve", &agent, &d);
    let wait = format!("{orders}&wait_ms=50000");
    let (waiting, answer) = tokio::join!(s.get(Some(&agent.tls), &wait), async {
        while s.server.polls.available_permits() == s.server.config.max_polls {
            tokio::task::yield_now().await;
        }
        s.post_as("eve", "/v1/custody/events", &event).await
    });
    assert_eq!(waiting.status, 403, "an open question ends");
    assert_eq!(waiting.header("fieldseal-reason"), Some("revoked"));
    let logged: Logged = answer.message();
    let receipt = Receipt::parse(logged.receipt.as_bytes()).unwrap();
    let proven = receipt.verify(&d.policy().log_key().unwrap()).unwrap();
    assert_eq!(proven.leaf, event.event.as_bytes());
    let shut_out = s.get(Some(&agent.tls), orders).await;
    assert_eq!(shut_out.status, 403);
    assert_eq!(shut_out.header("fieldseal-reason"), Some("revoked"));
    // Who was never let in is told nothing of the kind.
    let stranger = s.get(None, orders).await;
    assert_eq!(
        (stranger.status, stranger.header("fieldseal-reason")),
        (403, None)
    );
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    assert!(hosts.hosts[0].revoked.is_some());
    let again = s.post_as("eve", "/v1/custody/events", &event).await;
    assert_eq!(again.status, 409);
}

#[tokio::test]
async fn the_two_keys_of_an_agent_must_differ() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let csr = ca::request(&ca::new_key().unwrap()).unwrap();
    let request = EnrolRequest {
        v: VERSION,
        token: d.token("lab", 1),
        tls_csr: csr.clone(),
        seal_csr: csr,
        host: crate::testing::facts(),
    };
    assert_eq!(s.post(None, "/v1/enrol", &request).await.status, 422);
}
