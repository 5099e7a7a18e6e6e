//! What agents say of themselves is kept and shown, and bounded.

use evidence::instant::Instant;
use protocol::messages::{AgentHealth, ErrorSeen, Health, Hosts};

use crate::testing::{Deployment, Running, TestAgent};

/// An agent that was upgraded before its server: what the server does not know it refuses with a word of why, it takes
/// nothing of it in part, and everything else goes on.
#[tokio::test]
async fn an_agent_of_a_newer_version_is_told_so_and_served_as_before() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let known = AgentHealth {
        v: 1,
        health: Health::default(),
    };
    let known = serde_json::to_value(known).unwrap();
    let (mut version, mut field) = (known.clone(), known.clone());
    version["v"] = 2.into();
    field["health"]["mood"] = "good".into();
    for (newer, why) in [(version, "version 2"), (field, "mood")] {
        let answer = s.post(Some(&agent.tls), "/v1/agent/health", &newer).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(why), "{}", answer.text());
    }
    let newer = "/v1/agent/moods";
    assert_eq!(s.post(Some(&agent.tls), newer, &known).await.status, 404);
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    assert!(hosts.hosts[0].health.is_none());
    let orders = "/v1/agent/orders?policy=1&wait_ms=0";
    assert_eq!(s.get(Some(&agent.tls), orders).await.status, 204);
    let post = s.post(Some(&agent.tls), "/v1/agent/health", &known).await;
    assert_eq!(post.status, 204);
}

async fn tell(s: &Running<'_>, agent: &TestAgent, health: Health) -> u16 {
    let message = AgentHealth { v: 1, health };
    let answer = s.post(Some(&agent.tls), "/v1/agent/health", &message).await;
    answer.status
}

fn error(text: &str) -> ErrorSeen {
    let at = |seconds| Instant { seconds, ns: 0 };
    ErrorSeen {
        text: text.to_owned(),
        way: false,
        first: at(1),
        last: at(2),
        times: 3,
        over: false,
    }
}

#[tokio::test]
async fn a_host_is_shown_with_what_its_agent_said_last() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let shown = async || -> Hosts { s.get_as("ann", "/v1/hosts").await.message() };
    assert!(shown().await.hosts[0].health.is_none());
    let health = Health {
        hostname: "renamed".into(),
        system: "Debian 13".into(),
        agent_version: "9.9.9".into(),
        free_bytes: Some(1),
        parts_waiting: 2,
        bytes_waiting: 3,
        clock_ahead_ms: Some(-4),
        problem: Some("the disk is nearly full".into()),
        reader_walls: Some("users".into()),
        courier_walls: Some("landlock".into()),
        cpu_day_ms: Some(5),
        memory_peak_bytes: Some(6),
        errors: vec![error("the disk is nearly full")],
    };
    assert_eq!(tell(&s, &agent, health.clone()).await, 204);
    let host = shown().await.hosts.remove(0);
    assert_eq!(host.health, Some(health.clone()));
    assert!(host.health_told.is_some());
    assert_eq!(host.hostname, "renamed");
    let long = |change: fn(&mut Health)| {
        let mut changed = health.clone();
        change(&mut changed);
        changed
    };
    for bad in [
        long(|h| h.hostname = "x".repeat(300)),
        long(|h| h.problem = Some("x".repeat(2000))),
        long(|h| h.reader_walls = Some("x".repeat(2000))),
        long(|h| h.errors = vec![error(&"x".repeat(300))]),
        long(|h| h.errors = vec![error("one of nine"); 9]),
    ] {
        assert_eq!(tell(&s, &agent, bad).await, 400);
    }
    assert_eq!(shown().await.hosts[0].health, Some(health));
}
