//! Many hosts at once behind one address: some are told to come later, and in the end each is there once.

use std::{collections::BTreeSet, time::Duration};

use evidence::custody::event::{Action, Event};
use futures_util::future::join_all;
use protocol::{
    enrolment::{EnrolRequest, EnrolResponse},
    messages::{Hosts, SubmitEvent},
    version::VERSION,
};

use crate::{
    config::Config,
    testing::{Deployment, Running, later, text},
};

const HOSTS: usize = 300;
/// As many of them as the token lets in.
const USES: u64 = 290;

/// Asks as an agent does: not before it was told, again with the same keys, until there is an answer. Gives the agent, or
/// none where the token is used up, and how often it was told to come later.
async fn enrol(s: &Running<'_>, request: &EnrolRequest) -> (Option<EnrolResponse>, u32) {
    let mut later = 0;
    loop {
        let answer = s.post(None, "/v1/enrol", request).await;
        match answer.status {
            200 => return (Some(answer.message()), later),
            409 => return (None, later),
            429 | 503 => {
                later += 1;
                let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
                tokio::time::sleep(Duration::from_secs(wait)).await;
            }
            other => panic!("{other} {}", answer.text()),
        }
    }
}

#[tokio::test]
async fn a_flood_of_enrolments_is_slowed_down_and_each_host_is_there_once_in_the_end() {
    let d = Deployment::new().await;
    let config = Config {
        max_requests_per_minute_per_address: 250,
        ..d.config()
    };
    let s = d.start_with(config).await;
    let token = d.token("lab", USES);
    let requests: Vec<_> = (0..HOSTS).map(|_| s.request(token.clone()).0).collect();
    let answers = join_all(requests.iter().map(|request| enrol(&s, request))).await;
    let told_later: u32 = answers.iter().map(|(_, later)| later).sum();
    assert!(told_later > 0, "nobody was told to come later");
    let agents: BTreeSet<_> = answers
        .iter()
        .filter_map(|(answer, _)| Some(answer.as_ref()?.agent))
        .collect();
    assert_eq!(agents.len() as u64, USES, "as many as the token lets in");
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    let there: BTreeSet<_> = hosts.hosts.iter().map(|host| host.agent).collect();
    assert_eq!((hosts.hosts.len() as u64, there), (USES, agents));
}

#[tokio::test]
async fn who_asks_again_with_the_same_key_is_the_same_agent_and_uses_the_token_once() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let token = d.token("lab", 2);
    let request = s.request(token.clone()).0;
    // At once, as after a line that broke; and later.
    let answers = join_all((0..8).map(|_| enrol(&s, &request))).await;
    let agents: BTreeSet<_> = answers
        .into_iter()
        .map(|(answer, _)| answer.unwrap().agent)
        .collect();
    assert_eq!(agents.len(), 1);
    let again: EnrolResponse = enrol(&s, &request).await.0.unwrap();
    assert!(agents.contains(&again.agent));
    assert!(enrol(&s, &s.request(token.clone()).0).await.0.is_some());
    assert!(enrol(&s, &s.request(token).0).await.0.is_none());
    // A host that was shut out is not let in again by its old key.
    let action = Action::Revoked {
        agent: again.agent,
        invalid_from: later(-60),
    };
    let leaf = Event::sign(action, later(0), &d.person("eve").signing).unwrap();
    let revoked = SubmitEvent {
        v: VERSION,
        event: text(&leaf),
        reason: None,
    };
    let answer = s.post_as("eve", "/v1/custody/events", &revoked).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let refused = s.post(None, "/v1/enrol", &request).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("fieldseal-reason"), Some("revoked"));
}
