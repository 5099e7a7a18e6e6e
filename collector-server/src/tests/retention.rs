//! Retention rules: who sets them, which one is in force, what expires by them, and what stays.

use data_encoding::BASE64;
use evidence::{
    custody::{
        event::{Action, Event},
        receipt::Receipt,
    },
    envelope::{self, Envelope},
    ids::CollectionId,
    instant::Instant,
    keys::SigningKey,
};
use protocol::{
    messages::{Collections, Leaves, Logged, PartFrame},
    retention::{Due, Retention, RetentionRule, SetRetention},
    version::VERSION,
};

use crate::{
    config::Config,
    expiry::{self, Outcome},
    testing::{Answer, Deployment, Running, TestAgent, TestPart, later, name, text},
    tests::{
        evidence::{create, patch, upload},
        orders::ordered,
    },
};

pub(super) const DAY: i64 = 86_400;

/// A rule for `lab`.
pub(super) fn rule(by: &str, version: u64, keep_days: Option<u32>) -> RetentionRule {
    RetentionRule {
        v: VERSION,
        deployment: name("test"),
        agency: name("lab"),
        case: None,
        version,
        keep_days,
        by: name(by),
        time: Instant::now(),
        reason: "the law".into(),
    }
}

pub(super) fn signed_rule(key: &SigningKey, rule: &RetentionRule) -> Envelope {
    Envelope::sign_document(envelope::RETENTION, rule, key).unwrap()
}

/// Hands the rule in, signed by who asks.
pub(super) async fn set(s: &Running<'_>, who: &str, rule: &RetentionRule) -> Answer {
    let rule = text(&signed_rule(&s.deployment.person(who).signing, rule));
    s.post_as(who, "/v1/retention", &SetRetention { v: VERSION, rule })
        .await
}

/// A server that gives no notice, and that knows what time it is.
pub(super) async fn started(d: &Deployment) -> Running<'_> {
    let config = Config {
        retention_notice_s: 0,
        ..d.config()
    };
    let s = d.start_with(config).await;
    let first = expiry::run(&s.server, Instant::now()).await.unwrap();
    assert!(matches!(first, Outcome::First | Outcome::Done(_)));
    s
}

/// Looks for what is due so many days from now, without a leap.
pub(super) async fn in_days(s: &Running<'_>, days: i64) -> usize {
    let mut expired = 0;
    for day in (0..days).step_by(5).chain([days]) {
        match expiry::run(&s.server, later(day * DAY + 60)).await.unwrap() {
            Outcome::Done(count) => expired += count,
            // Another test step was here already, a few days later.
            Outcome::Doubted => {}
            Outcome::First => panic!("nobody looked before"),
        }
    }
    expired
}

pub(super) async fn collections(s: &Running<'_>) -> Collections {
    s.get_as("ann", "/v1/collections").await.message()
}

/// A whole collection of one part.
pub(super) async fn collected(s: &Running<'_>, agent: &TestAgent) -> TestPart {
    let part = agent.part(1_000);
    upload(s, agent, &part).await;
    part
}

pub(super) async fn actions(s: &Running<'_>) -> Vec<Action> {
    let path = "/v1/custody/leaves?from=0&count=1000";
    let leaves: Leaves = s.get_as("aud", path).await.message();
    let read = |leaf: &String| {
        let leaf = BASE64.decode(leaf.as_bytes()).unwrap();
        Event::read(&leaf).unwrap().1.action
    };
    leaves.leaves.iter().map(read).collect()
}

/// Whether the ciphertext is there.
pub(super) async fn is_stored(s: &Running<'_>, part: &TestPart) -> bool {
    let size = s.server.blobs.size_bytes(part.digest()).await.unwrap();
    size.is_some()
}

#[tokio::test]
async fn without_a_rule_nothing_ever_expires() {
    let d = Deployment::new().await;
    let s = started(&d).await;
    let agent = s.enrol("lab").await;
    let part = collected(&s, &agent).await;
    assert_eq!(in_days(&s, 100).await, 0);
    assert!(is_stored(&s, &part).await);
    let due: Due = s.get_as("eve", "/v1/retention/due").await.message();
    assert_eq!(due.collections[0].due, None);
}

#[tokio::test]
async fn a_collection_expires_by_its_rule_and_what_proves_it_stays() {
    let d = Deployment::new().await;
    let s = started(&d).await;
    let agent = s.enrol("lab").await;
    let (_, signed) = ordered(&s, &agent).await;
    let part = agent.part_of(
        CollectionId::random().unwrap(),
        1_000,
        None,
        true,
        Some(signed.digest()),
    );
    upload(&s, &agent, &part).await;
    let answer = set(&s, "eve", &rule("eve", 1, Some(30))).await;
    let logged: Logged = answer.message();
    let log_key = d.policy().log_key().unwrap();
    let proven = Receipt::parse(logged.receipt.as_bytes()).unwrap();
    proven.verify(&log_key).unwrap();
    let due: Due = s.get_as("bob", "/v1/retention/due").await.message();
    let at = due.collections[0].due.unwrap();
    assert!((29 * DAY..=30 * DAY).contains(&(at.seconds - Instant::now().seconds)));

    assert_eq!(in_days(&s, 29).await, 0);
    assert!(is_stored(&s, &part).await);
    assert_eq!(in_days(&s, 31).await, 1);
    assert!(!is_stored(&s, &part).await);
    assert_eq!(s.server.index.stored_bytes().await.unwrap(), 0);

    let gone = s.get_as("ann", &part.url()).await;
    assert_eq!(gone.status, 410);
    let day = later(30 * DAY + 60).to_rfc3339().unwrap();
    let (day, _) = day.split_once('T').unwrap();
    let said = format!("expired on {day} by rule 1 of lab");
    assert!(gone.text().contains(&said), "{}", gone.text());
    for beside in ["statement", "receipt"] {
        let kept = s.get_as("ann", &format!("{}/{beside}", part.url())).await;
        assert_eq!(kept.status, 200);
    }
    let row = collections(&s).await.collections.remove(0);
    let expired = row.expired.unwrap();
    assert_eq!(expired.to_string(), said);
    let receipt = Receipt::parse(expired.receipts[0].as_bytes()).unwrap();
    let proven = receipt.verify(&log_key).unwrap();
    let (_, event) = Event::read(&proven.leaf).unwrap();
    let told = Action::Expired {
        collection: part.said.collection,
        parts: vec![part.digest()],
        rule_sha256: expired.rule_sha256,
    };
    assert_eq!(event.action, told);
    assert_eq!(actions(&s).await.last(), Some(&told));

    // The stream of its order tells it as well, and sends nothing of it.
    let path = format!("/v1/orders/{}/parts", row.order.unwrap());
    let stream = s.get_as("ann", &path).await.body;
    let line = stream.split(|b| *b == b'\n').find(|l| l.starts_with(b"{"));
    let frame: PartFrame = serde_json::from_slice(line.unwrap()).unwrap();
    assert_eq!((frame.content_bytes, frame.expired), (0, Some(expired)));
    // Nothing more of it is taken.
    assert_eq!(create(&s, &agent, &part).await.status, 409);
    assert!(s.metrics().await.contains("fieldseal_expired_total 1"));
}

#[tokio::test]
async fn the_next_version_takes_the_place_of_a_rule_and_no_other_does() {
    let d = Deployment::new().await;
    let s = started(&d).await;
    let agent = s.enrol("lab").await;
    let part = collected(&s, &agent).await;
    let first = rule("eve", 1, Some(0));
    assert_eq!(set(&s, "eve", &rule("eve", 2, Some(0))).await.status, 409);
    for _ in 0..2 {
        // The same again: its answer may have been lost.
        assert_eq!(set(&s, "eve", &first).await.status, 200);
    }
    assert_eq!(set(&s, "eve", &rule("eve", 2, None)).await.status, 200);
    assert_eq!(set(&s, "eve", &first).await.status, 409, "played back");
    assert_eq!(set(&s, "eve", &rule("eve", 2, Some(0))).await.status, 409);
    let rules: Retention = s.get_as("aud", "/v1/retention").await.message();
    let in_force: Vec<_> = rules.rules.iter().map(|row| row.in_force).collect();
    assert_eq!(in_force, [false, true]);
    let set_at = |action: &&Action| matches!(action, Action::Retention { .. });
    assert_eq!(actions(&s).await.iter().filter(set_at).count(), 2);
    // For ever.
    assert_eq!(in_days(&s, 10).await, 0);
    assert!(is_stored(&s, &part).await);
}

#[tokio::test]
async fn a_rule_for_a_case_goes_before_that_of_the_agency() {
    let d = Deployment::new().await;
    let s = started(&d).await;
    let agent = s.enrol("lab").await;
    let (order, signed) = ordered(&s, &agent).await;
    let on_order = agent.part_of(
        CollectionId::random().unwrap(),
        100,
        None,
        true,
        Some(signed.digest()),
    );
    upload(&s, &agent, &on_order).await;
    let without = collected(&s, &agent).await;
    let of_case = RetentionRule {
        case: Some(order.case),
        ..rule("eve", 1, None)
    };
    assert_eq!(set(&s, "eve", &of_case).await.status, 200);
    assert_eq!(set(&s, "eve", &rule("eve", 1, Some(1))).await.status, 200);
    assert_eq!(in_days(&s, 2).await, 1);
    assert!(is_stored(&s, &on_order).await);
    assert!(!is_stored(&s, &without).await);
}

#[tokio::test]
async fn only_an_admin_of_the_agency_sets_its_rule_and_in_the_own_name() {
    let d = Deployment::new().await;
    let s = d.start().await;
    assert_eq!(set(&s, "ann", &rule("ann", 1, Some(0))).await.status, 403);
    assert_eq!(set(&s, "nell", &rule("nell", 1, Some(0))).await.status, 403);
    assert_eq!(set(&s, "eve", &rule("nell", 1, Some(0))).await.status, 403);
    let forged = text(&signed_rule(
        &d.person("ann").signing,
        &rule("eve", 1, Some(0)),
    ));
    let sent = SetRetention {
        v: VERSION,
        rule: forged,
    };
    assert_eq!(s.post_as("eve", "/v1/retention", &sent).await.status, 422);
    let too_long = rule("eve", 1, Some(40_000));
    assert_eq!(set(&s, "eve", &too_long).await.status, 422);
    let rules: Retention = s.get_as("eve", "/v1/retention").await.message();
    assert!(rules.rules.is_empty());
}

#[tokio::test]
async fn nothing_expires_by_a_rule_until_its_notice_is_over() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let part = collected(&s, &agent).await;
    expiry::run(&s.server, Instant::now()).await.unwrap();
    assert_eq!(set(&s, "eve", &rule("eve", 1, Some(0))).await.status, 200);
    let at = |seconds| expiry::run(&s.server, later(seconds));
    assert_eq!(at(DAY - 60).await.unwrap(), Outcome::Done(0));
    assert!(is_stored(&s, &part).await);
    assert_eq!(at(DAY + 60).await.unwrap(), Outcome::Done(1));
}

#[tokio::test]
async fn what_is_unfinished_or_on_its_way_does_not_expire() {
    let d = Deployment::new().await;
    let s = started(&d).await;
    let agent = s.enrol("lab").await;
    assert_eq!(set(&s, "eve", &rule("eve", 1, Some(0))).await.status, 200);
    let collection = CollectionId::random().unwrap();
    let first = agent.part_of(collection, 100, None, false, None);
    upload(&s, &agent, &first).await;
    assert_eq!(in_days(&s, 1).await, 0);
    let last = agent.part_of(collection, 100, Some(&first), true, None);
    upload(&s, &agent, &last).await;
    // Another copy of a part, half here.
    let again = agent.part_of(collection, 200, Some(&first), true, None);
    let url = create(&s, &agent, &again).await;
    let url = url.header("location").unwrap().to_owned();
    patch(&s, &agent, &url, 0, &again.bytes[..50]).await;
    assert_eq!(in_days(&s, 2).await, 0);
    patch(&s, &agent, &url, 50, &again.bytes[50..]).await;
    assert_eq!(in_days(&s, 3).await, 1);
    for part in [first, last, again] {
        assert!(!is_stored(&s, &part).await);
    }
}

#[tokio::test]
async fn a_blob_that_another_collection_needs_stays_until_nobody_needs_it() {
    let d = Deployment::new().await;
    let s = started(&d).await;
    let agent = s.enrol("lab").await;
    let one = collected(&s, &agent).await;
    let mut said = one.said.clone();
    said.collection = CollectionId::random().unwrap();
    let two = agent.stated(one.bytes.clone(), said);
    upload(&s, &agent, &two).await;
    let hold = super::holds::hold(
        "ann",
        protocol::hold::Covers::Collection {
            collection: two.said.collection,
        },
    );
    assert_eq!(super::holds::place(&s, "ann", &hold).await.status, 200);
    assert_eq!(set(&s, "eve", &rule("eve", 1, Some(0))).await.status, 200);
    assert_eq!(in_days(&s, 1).await, 1);
    assert_eq!(s.get_as("ann", &one.url()).await.status, 410);
    assert_eq!(s.get_as("ann", &two.url()).await.body, two.bytes);
    assert_eq!(super::holds::lift(&s, "eve", &hold).await.status, 200);
    assert_eq!(in_days(&s, 2).await, 1);
    assert!(!is_stored(&s, &two).await);
}

#[tokio::test]
async fn a_clock_that_has_leapt_eats_nothing_until_somebody_says_that_it_is_right() {
    let d = Deployment::new().await;
    let s = started(&d).await;
    let agent = s.enrol("lab").await;
    let part = collected(&s, &agent).await;
    assert_eq!(set(&s, "eve", &rule("eve", 1, Some(30))).await.status, 200);
    let in_2099 = later(73 * 365 * DAY);
    for at in [in_2099, later(8 * DAY), later(-60)] {
        let outcome = expiry::run(&s.server, at).await.unwrap();
        assert_eq!(outcome, Outcome::Doubted);
    }
    assert!(s.metrics().await.contains("fieldseal_clock_doubted 1"));
    assert!(is_stored(&s, &part).await);
    assert_eq!(in_days(&s, 5).await, 0);
    assert!(s.metrics().await.contains("fieldseal_clock_doubted 0"));
    // The server stood still for two months, and somebody looks at another clock.
    let now = later(60 * DAY);
    assert_eq!(expiry::run(&s.server, now).await.unwrap(), Outcome::Doubted);
    let wrong = expiry::confirm(&d.folder(), "2026-01-01", now);
    assert!(wrong.unwrap_err().to_string().contains("2026-01-01"));
    let today = now.to_rfc3339().unwrap();
    let (today, _) = today.split_once('T').unwrap();
    expiry::confirm(&d.folder(), today, now).unwrap();
    assert_eq!(expiry::run(&s.server, now).await.unwrap(), Outcome::Done(1));
    assert!(!is_stored(&s, &part).await);
    // What was confirmed once is no word for ever.
    let outcome = expiry::run(&s.server, in_2099).await.unwrap();
    assert_eq!(outcome, Outcome::Doubted);
}
