//! What agents say of themselves is kept and shown, and bounded.

use protocol::messages::{AgentHealth, Health, Hosts};

use crate::testing::{Deployment, Running, TestAgent};

async fn tell(s: &Running<'_>, agent: &TestAgent, health: Health) -> u16 {
    let message = AgentHealth { v: 1, health };
    let answer = s.post(Some(&agent.tls), "/v1/agent/health", &message).await;
    answer.status
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
    ] {
        assert_eq!(tell(&s, &agent, bad).await, 400);
    }
    assert_eq!(shown().await.hosts[0].health, Some(health));
}
