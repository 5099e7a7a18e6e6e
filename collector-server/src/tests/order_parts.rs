//! All parts of an order come in one stream, to those who may have them.

use data_encoding::BASE64;
use evidence::custody::event::{Action, Event};
use protocol::{
    messages::{Leaves, MAX_INLINE_BYTES, PartFrame},
    order::Order,
    version,
};

use super::{evidence::upload, orders::ordered};
use crate::testing::{Answer, Deployment, Running, TestAgent, TestPart};

/// The stream as `person` gets it, in HTTP/1.0 so that the body is nothing but the stream.
async fn ask(s: &Running<'_>, person: &str, order: &Order, query: &str) -> Answer {
    let path = format!("/v1/orders/{}/parts{query}", order.id);
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    s.raw(Some(&s.deployment.person(person).tls), request.as_bytes())
        .await
}

fn frames(answer: &Answer) -> Vec<(PartFrame, Vec<u8>)> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (mut rest, mut frames) = (&answer.body[..], Vec::new());
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let head: PartFrame = version::read_message(&rest[..end], "frame").unwrap();
        let (content, more) = rest[end + 1..].split_at(head.content_bytes as usize);
        frames.push((head, content.to_vec()));
        rest = more;
    }
    assert_eq!(rest.len(), 0);
    frames
}

/// How often somebody fetched something.
async fn fetched(s: &Running<'_>) -> usize {
    let path = "/v1/custody/leaves?from=0&count=1000";
    let leaves: Leaves = s.get_as("aud", path).await.message();
    let is_fetch = |leaf: &&String| {
        let leaf = BASE64.decode(leaf.as_bytes()).unwrap();
        matches!(Event::read(&leaf).unwrap().1.action, Action::Fetched { .. })
    };
    leaves.leaves.iter().filter(is_fetch).count()
}

/// Two collections of an order: one of two parts, of which the second is long.
async fn collected(s: &Running<'_>, agent: &TestAgent) -> (Order, Vec<TestPart>) {
    let (order, envelope) = ordered(s, agent).await;
    let collection = evidence::ids::CollectionId::random().unwrap();
    let said = Some(envelope.digest());
    let first = agent.part_of(collection, 1_000, None, false, said);
    let long = MAX_INLINE_BYTES as usize + 1;
    let second = agent.part_of(collection, long, Some(&first), true, said);
    upload(s, agent, &first).await;
    upload(s, agent, &second).await;
    // Of no order.
    upload(s, agent, &agent.part(77)).await;
    (order, vec![first, second])
}

#[tokio::test]
async fn each_part_comes_with_what_proves_it_and_long_ones_without_content() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, parts) = collected(&s, &agent).await;
    assert_eq!(fetched(&s).await, 0);
    let all = frames(&ask(&s, "ann", &order, "").await);
    assert_eq!(all.len(), 2);
    for ((head, _), part) in all.iter().zip(&parts) {
        assert_eq!(head.part.stored_sha256, part.digest());
        assert_eq!(head.statement.as_bytes(), part.statement);
        assert_eq!((head.agent, head.complete), (agent.id, true));
        let receipt = s.get_as("ann", &format!("{}/receipt", part.url())).await;
        assert_eq!(head.receipt.as_bytes(), receipt.body);
    }
    assert_eq!(all[0].1, parts[0].bytes);
    assert_eq!((all[1].0.content_bytes, all[1].1.len()), (0, 0));
    // Only what was sent is logged, and once.
    assert_eq!(fetched(&s).await, 1);
    assert_eq!(frames(&ask(&s, "ann", &order, "").await), all);
    assert_eq!(fetched(&s).await, 1);
    let after = format!("?after={}", all[0].0.cursor);
    assert_eq!(frames(&ask(&s, "ann", &order, &after).await), all[1..]);
    let after = format!("?after={}", all[1].0.cursor);
    assert!(frames(&ask(&s, "ann", &order, &after).await).is_empty());
}

#[tokio::test]
async fn other_agencies_and_other_roles_get_nothing() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, _) = collected(&s, &agent).await;
    assert_eq!(ask(&s, "nat", &order, "").await.status, 404);
    assert_eq!(fetched(&s).await, 0);
    for person in ["aud", "bob", "eve"] {
        assert_eq!(ask(&s, person, &order, "").await.status, 403, "{person}");
    }
    assert_eq!(ask(&s, "ann", &order, "?before=1").await.status, 400);
    let path = format!("/v1/orders/{}/parts", order.id);
    let ann = Some(&d.person("ann").tls);
    assert_eq!(s.send(ann, "HEAD", &path, "", &[]).await.status, 200);
    assert_eq!(fetched(&s).await, 0);
}
