//! The limits of waiting.

use crate::{
    config::Config,
    testing::Deployment,
    tests::orders::{ordered, poll},
};

#[tokio::test]
async fn too_many_that_wait_are_told_to_come_later() {
    let d = Deployment::new().await;
    let config = Config {
        max_polls: 1,
        ..d.config()
    };
    let s = d.start_with(config).await;
    let agents = [s.enrol("lab").await, s.enrol("lab").await];
    let (waited, _) = tokio::join!(poll(&s, &agents[0], "&wait_ms=50000"), async {
        while s.server.polls.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let answer = poll(&s, &agents[1], "&wait_ms=50000").await;
        assert_eq!(answer.status, 503);
        assert!(answer.header("retry-after").is_some());
        // Who does not want to wait is answered.
        assert_eq!(poll(&s, &agents[1], "").await.status, 204);
        ordered(&s, &agents[0]).await
    });
    assert_eq!(waited.status, 200);
}

#[tokio::test]
async fn one_agent_never_takes_all_places_of_those_who_wait() {
    let d = Deployment::new().await;
    let config = Config {
        max_polls_per_caller: 1,
        ..d.config()
    };
    let s = d.start_with(config).await;
    let agents = [s.enrol("lab").await, s.enrol("lab").await];
    let (waited, _) = tokio::join!(poll(&s, &agents[0], "&wait_ms=50000"), async {
        while s.server.polls.available_permits() == s.server.config.max_polls {
            tokio::task::yield_now().await;
        }
        let refused = poll(&s, &agents[0], "&wait_ms=50000").await;
        assert_eq!(refused.status, 503);
        assert!(refused.header("retry-after").is_some());
        // It waits, if only for a moment.
        assert_eq!(poll(&s, &agents[1], "&wait_ms=1").await.status, 204);
        ordered(&s, &agents[0]).await
    });
    assert_eq!(waited.status, 200);
    // Given back, it may wait again.
    let known = "&wait_ms=1&policy=99";
    assert_ne!(poll(&s, &agents[0], known).await.status, 503);
}

#[tokio::test]
async fn a_server_that_ends_answers_those_who_wait() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let server = s.server.clone();
    let (waited, ()) = tokio::join!(poll(&s, &agent, "&wait_ms=50000"), async {
        while server.polls.available_permits() == server.config.max_polls {
            tokio::task::yield_now().await;
        }
        server.stopping.send_replace(true);
    });
    assert_eq!(waited.status, 204);
}

#[tokio::test]
async fn a_newer_policy_is_told_and_odd_questions_are_refused() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let answer = s.get(Some(&agent.tls), "/v1/agent/orders?policy=0").await;
    assert_eq!(answer.status, 200);
    for (odd, status) in [
        ("&wait_ms=-1", 400),
        ("&x=1", 400),
        ("&wait_ms=1&wait_ms=2", 400),
        (&format!("&known={}", "o,".repeat(3_000)) as &str, 204),
    ] {
        assert_eq!(poll(&s, &agent, odd).await.status, status, "{odd:.40}");
    }
}
