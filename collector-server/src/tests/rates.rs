//! Whoever asks too often is told to come later; nobody else notices.

use crate::{
    config::Config,
    testing::{Deployment, Identity},
    tests::{evidence::upload, orders::poll},
};

fn strict(d: &Deployment) -> Config {
    Config {
        max_requests_per_minute_per_agent: 60,
        max_requests_per_minute_per_person: 60,
        max_requests_per_minute_per_address: 10,
        ..d.config()
    }
}

#[tokio::test]
async fn strangers_share_a_bucket_by_address_whatever_they_say_of_themselves() {
    let d = Deployment::new().await;
    let s = d.start_with(strict(&d)).await;
    let (stranger, _) = Identity::by_itself();
    for asker in 0..10 {
        let who = (asker % 2 == 0).then_some(&stranger);
        let headers =
            format!("X-Forwarded-For: 192.0.2.{asker}\r\nForwarded: for=192.0.2.{asker}\r\n");
        let answer = s.send(who, "GET", "/v1/trust", &headers, &[]).await;
        assert_eq!(answer.status, 200);
    }
    for path in ["/v1/trust", "/v1/hosts"] {
        let answer = s.get(None, path).await;
        assert_eq!(answer.status, 429, "{}", answer.text());
        let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=6).contains(&wait), "{wait}");
        assert!(answer.text().contains("Ask again in"), "{}", answer.text());
    }
    assert_eq!(s.get_as("ann", "/v1/trust").await.status, 200);
    assert!(s.metrics().await.contains("status=\"429\"} 2"));
}

#[tokio::test]
async fn one_agent_or_person_that_asks_too_often_holds_up_no_other() {
    let d = Deployment::new().await;
    let s = d.start_with(strict(&d)).await;
    let (wild, calm) = (s.enrol("lab").await, s.enrol("lab").await);
    let mut last = 0;
    for _ in 0..90 {
        last = poll(&s, &wild, "").await.status;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
    // To the uploads too, and said in tus.
    let answer = s.send(Some(&wild.tls), "POST", "/v1/parts", "", &[]).await;
    assert_eq!(
        (answer.status, answer.header("tus-resumable")),
        (429, Some("1.0.0"))
    );
    assert_eq!(poll(&s, &calm, "").await.status, 204);
    upload(&s, &calm, &calm.part(1_000)).await;
    for _ in 0..90 {
        last = s.get_as("ann", "/v1/hosts").await.status;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
    assert_eq!(s.get_as("aud", "/v1/hosts").await.status, 200);
}

#[tokio::test]
async fn the_defaults_let_an_agent_send_many_parts_at_once() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    for _ in 0..100 {
        upload(&s, &agent, &agent.part(10)).await;
        assert_eq!(poll(&s, &agent, "").await.status, 204);
    }
}
