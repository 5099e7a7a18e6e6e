//! Parts come in by their statements, and go out to those who may have them.

use data_encoding::BASE64;
use evidence::{
    custody::{
        event::{Action, Event, Outcome, StoredPart},
        receipt::Receipt,
    },
    ids::CollectionId,
    statement::Statement,
};
use protocol::{
    messages::{Collections, HostState, Leaves, SubmitEvent},
    version::VERSION,
};

use crate::{
    config::Config,
    testing::{Answer, Deployment, Running, TestAgent, TestPart, later, text},
    tests::orders::{ordered, status},
};

/// Creation's headers for this part.
pub(super) fn metadata(part: &TestPart) -> String {
    let b64 = |text: String| BASE64.encode(text.as_bytes());
    let stored = part.said.stored();
    format!(
        "Tus-Resumable: 1.0.0\r\nUpload-Length: {}\r\n\
         Upload-Metadata: collection {},part {},sha256 {},statement {}\r\n",
        part.bytes.len(),
        b64(part.said.collection.to_string()),
        b64(part.said.part.to_string()),
        b64(stored.sha256.to_string()),
        BASE64.encode(&part.statement)
    )
}

pub(super) async fn create(s: &Running<'_>, agent: &TestAgent, part: &TestPart) -> Answer {
    s.send(Some(&agent.tls), "POST", "/v1/parts", &metadata(part), &[])
        .await
}

pub(super) async fn patch(
    s: &Running<'_>,
    agent: &TestAgent,
    url: &str,
    offset: usize,
    bytes: &[u8],
) -> Answer {
    let headers = format!(
        "Tus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n\
         Content-Type: application/offset+octet-stream\r\n"
    );
    s.send(Some(&agent.tls), "PATCH", url, &headers, bytes)
        .await
}

/// Uploads a part whole.
pub(super) async fn upload(s: &Running<'_>, agent: &TestAgent, part: &TestPart) {
    let created = create(s, agent, part).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let url = created.header("location").unwrap().to_owned();
    let answer = patch(s, agent, &url, 0, &part.bytes).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
}

fn stored(part: &TestPart) -> StoredPart {
    StoredPart {
        collection: part.said.collection,
        part: part.said.part,
        stored_sha256: part.digest(),
    }
}

async fn actions(s: &Running<'_>) -> Vec<Action> {
    let path = "/v1/custody/leaves?from=0&count=1000";
    let leaves: Leaves = s.get_as("aud", path).await.message();
    let read = |leaf: &String| {
        let leaf = BASE64.decode(leaf.as_bytes()).unwrap();
        Event::read(&leaf).unwrap().1.action
    };
    leaves.leaves.iter().map(read).collect()
}

#[tokio::test]
async fn a_part_is_kept_logged_and_read_back_with_all_that_lies_beside_it() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let part = agent.part(10_000);
    upload(&s, &agent, &part).await;
    let whole = s.get_as("ann", &part.url()).await;
    assert_eq!((whole.status, &whole.body), (200, &part.bytes));
    assert_eq!(whole.header("content-length"), Some("10000"));
    let ann = Some(&d.person("ann").tls);
    let some = s
        .send(ann, "GET", &part.url(), "Range: bytes=100-199\r\n", &[])
        .await;
    assert_eq!((some.status, &some.body[..]), (206, &part.bytes[100..200]));
    assert_eq!(some.header("content-range"), Some("bytes 100-199/10000"));
    let past = s
        .send(ann, "GET", &part.url(), "Range: bytes=10000-\r\n", &[])
        .await;
    assert_eq!(past.status, 416);
    assert_eq!(past.header("content-range"), Some("bytes */10000"));
    let statement = s.get_as("ann", &format!("{}/statement", part.url())).await;
    assert_eq!(statement.body, part.statement);
    let path = format!("{}/receipt", part.url());
    let receipt = s.get_as("aud", &path).await;
    assert_eq!(s.get(Some(&agent.tls), &path).await.body, receipt.body);
    let proven = Receipt::parse(&receipt.body).unwrap();
    let proven = proven.verify(&d.policy().log_key().unwrap()).unwrap();
    let Action::Received {
        part: logged,
        size_bytes,
        ..
    } = Event::read(&proven.leaf).unwrap().1.action
    else {
        panic!()
    };
    assert_eq!((logged, size_bytes), (stored(&part), 10_000));
    assert_eq!(
        s.get_as("ann", &format!("{}/tsr", part.url())).await.status,
        404
    );
    // Three times asked, once a custody event.
    let fetched = Action::Fetched {
        part: stored(&part),
        by_key: d.person("ann").signing.public().key_id(),
    };
    let found = actions(&s).await;
    assert_eq!(found.iter().filter(|a| **a == fetched).count(), 1);
}

#[tokio::test]
async fn what_comes_and_goes_is_counted() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let parts = [agent.part(1_000), agent.part(234)];
    for part in &parts {
        upload(&s, &agent, part).await;
    }
    for _ in 0..3 {
        assert_eq!(s.get_as("ann", &parts[0].url()).await.status, 200);
    }
    let nothing = parts[0].url().replace("/1/", "/2/");
    assert_eq!(s.get_as("ann", &nothing).await.status, 404);
    let told = s.metrics().await;
    for line in [
        // Enrolment and three fetches; both creations; both bodies.
        "fieldseal_requests_total{status=\"200\"} 4",
        "fieldseal_requests_total{status=\"201\"} 2",
        "fieldseal_requests_total{status=\"204\"} 2",
        "fieldseal_requests_total{status=\"404\"} 1",
        "fieldseal_parts_received_total 2",
        "fieldseal_part_bytes_received_total 1234",
        "fieldseal_parts_fetched_total 3",
        "fieldseal_agents_polling 0",
    ] {
        assert!(told.lines().any(|l| l == line), "{line} in {told}");
    }
}

#[tokio::test]
async fn an_order_is_delivered_by_the_signed_chain_alone() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let (order, envelope) = ordered(&s, &agent).await;
    let collection = CollectionId::random().unwrap();
    let of = Some(envelope.digest());
    let first = agent.part_of(collection, 100, None, false, of);
    let second = agent.part_of(collection, 200, Some(&first), false, of);
    let third = agent.part_of(collection, 300, Some(&second), true, of);
    upload(&s, &agent, &first).await;
    upload(&s, &agent, &third).await;
    let host = status(&s, &order).await.hosts.remove(0);
    assert_eq!((host.state, host.parts_received), (HostState::Running, 2));
    // A second part that the third does not name proves nothing.
    let mut other = second.said.clone();
    other.plain.sha256 = evidence::digest::Digest::of(b"other");
    let other = agent.stated(second.bytes.clone(), other);
    upload(&s, &agent, &other).await;
    assert_eq!(status(&s, &order).await.hosts[0].state, HostState::Running);
    let mut real = agent.part_of(collection, 201, Some(&first), false, of);
    real.said.plain = second.said.plain;
    let real = agent.stated(real.bytes, real.said);
    upload(&s, &agent, &real).await;
    assert_eq!(status(&s, &order).await.hosts[0].state, HostState::Running);
    let last = agent.part_of(collection, 301, Some(&real), true, of);
    upload(&s, &agent, &last).await;
    let host = status(&s, &order).await.hosts.remove(0);
    assert_eq!(host.state, HostState::Delivered);
    assert_eq!(host.collection, Some(collection));
    let path = format!("/v1/collections?order={}", order.id);
    let found: Collections = s.get_as("ann", &path).await.message();
    let row = &found.collections[0];
    assert!(row.complete && row.case.as_deref() == Some("2026-1"));
    assert_eq!(row.parts.len(), 5);
    assert_eq!(row.enrolment, agent.response.receipt);
}

type Change = fn(&mut Statement);

#[tokio::test]
async fn a_statement_that_is_not_this_agents_over_this_part_is_refused_before_the_body() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let (agent, other) = (s.enrol("lab").await, s.enrol("lab").await);
    let good = agent.part(1_000);
    let changes: &[Change] = &[
        |s| s.part = 2,
        |s| s.collection = CollectionId::from_bytes([9; 16]),
        |s| s.ciphertext = None,
        |s| s.certificates.clear(),
        |s| {
            if let Some(cipher) = &mut s.ciphertext {
                cipher.size_bytes += 1;
            }
        },
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut said = good.said.clone();
        change(&mut said);
        let mut part = agent.stated(good.bytes.clone(), said);
        part.said = good.said.clone();
        let answer = create(&s, &agent, &part).await;
        assert_eq!(answer.status, 422, "{i} {}", answer.text());
    }
    // Another agent's part, another key behind the right certificate, a key of its own making.
    assert_eq!(create(&s, &agent, &other.part(1_000)).await.status, 422);
    let mut swapped = agent.part(1_000);
    swapped.statement = swapped.said.sign(&other.seal).unwrap().to_json().unwrap();
    assert_eq!(create(&s, &agent, &swapped).await.status, 422);
    let own = evidence::seal::self_signed_seal(&agent.seal, agent.id, later(0)).unwrap();
    let mut said = good.said.clone();
    said.certificates = vec![evidence::statement::CertificateDer(own)];
    let own = agent.stated(good.bytes.clone(), said);
    assert_eq!(create(&s, &agent, &own).await.status, 422);
    assert_eq!(create(&s, &agent, &good).await.status, 201);
}

#[tokio::test]
async fn a_seal_that_the_issuing_authority_made_behind_our_back_is_refused() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let mut agent = s.enrol("lab").await;
    let stolen = evidence::keys::SigningKey::generate().unwrap();
    let pair = rcgen::KeyPair::from_pem(&stolen.to_pem().unwrap()).unwrap();
    let csr = crate::ca::request(&pair).unwrap();
    let leaf = s
        .server
        .issuing
        .sign_agent_seal(agent.id, &csr, later(0).seconds);
    agent.response.seal_chain = leaf.unwrap() + s.server.issuing.certificate_pem();
    agent.seal = stolen;
    let answer = create(&s, &agent, &agent.part(100)).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
}

#[tokio::test]
async fn a_collection_belongs_to_the_agent_that_began_it() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let (agent, other) = (s.enrol("lab").await, s.enrol("lab").await);
    let part = agent.part(100);
    assert_eq!(create(&s, &agent, &part).await.status, 201);
    let theirs = other.part_of(part.said.collection, 100, None, true, None);
    assert_eq!(create(&s, &other, &theirs).await.status, 409);
    upload(&s, &agent, &part).await;
    assert_eq!(create(&s, &other, &theirs).await.status, 409);
}

fn verified(d: &Deployment, by: &str, part: StoredPart, outcome: Outcome) -> SubmitEvent {
    let action = Action::Verified { part, outcome };
    let leaf = Event::sign(action, later(0), &d.person(by).signing).unwrap();
    SubmitEvent {
        v: VERSION,
        event: text(&leaf),
        reason: None,
    }
}

#[tokio::test]
async fn a_part_that_is_not_genuine_is_set_apart_and_both_are_logged() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let part = agent.part(100);
    upload(&s, &agent, &part).await;
    let genuine = verified(&d, "ann", stored(&part), Outcome::Genuine);
    assert_eq!(
        s.post_as("ann", "/v1/custody/events", &genuine)
            .await
            .status,
        200
    );
    let quarantined = || async {
        let found: Collections = s.get_as("ann", "/v1/collections").await.message();
        found.collections[0].parts[0].quarantined
    };
    assert!(!quarantined().await);
    let by_nat = verified(&d, "nat", stored(&part), Outcome::NotGenuine);
    assert_eq!(
        s.post_as("nat", "/v1/custody/events", &by_nat).await.status,
        404
    );
    let mut unknown = stored(&part);
    unknown.part = 7;
    let unknown = verified(&d, "ann", unknown, Outcome::NotGenuine);
    assert_eq!(
        s.post_as("ann", "/v1/custody/events", &unknown)
            .await
            .status,
        404
    );
    let not = verified(&d, "ann", stored(&part), Outcome::NotGenuine);
    assert_eq!(
        s.post_as("ann", "/v1/custody/events", &not).await.status,
        200
    );
    assert!(quarantined().await);
    let part = stored(&part);
    let found = actions(&s).await;
    assert!(found.contains(&Action::Quarantined { part }));
    // What the server alone says, nobody else may say.
    let leaf = Event::sign(
        Action::Quarantined { part },
        later(0),
        &d.person("ann").signing,
    );
    let event = text(&leaf.unwrap());
    let sent = SubmitEvent {
        v: VERSION,
        event,
        reason: None,
    };
    assert_eq!(
        s.post_as("ann", "/v1/custody/events", &sent).await.status,
        422
    );
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_says_so_before_the_body() {
    let d = Deployment::new().await;
    let config = Config {
        min_free_bytes: i64::MAX as u64,
        ..d.config()
    };
    let s = d.start_with(config).await;
    let agent = s.enrol("lab").await;
    let answer = create(&s, &agent, &agent.part(100)).await;
    assert_eq!(answer.status, 507);
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn the_log_proves_that_it_only_grows() {
    use evidence::custody::checkpoint::Checkpoint;
    use protocol::messages::Consistency;
    let d = Deployment::new().await;
    let s = d.start().await;
    let key = d.policy().log_key().unwrap();
    let note = |answer: Answer| Checkpoint::verify(&answer.text(), &key).unwrap();
    let old = note(s.get(None, "/v1/custody/checkpoint").await);
    s.enrol("lab").await;
    s.enrol("lab").await;
    let new = note(s.get(None, "/v1/custody/checkpoint").await);
    assert_eq!(new.size, old.size + 2);
    let path = format!("/v1/custody/consistency?from={}&to={}", old.size, new.size);
    let proof: Consistency = s.get(None, &path).await.message();
    old.verify_continued_by(&new, &proof.proof).unwrap();
    for (from, to) in [(new.size, old.size), (0, 99), (u64::MAX, u64::MAX)] {
        let path = format!("/v1/custody/consistency?from={from}&to={to}");
        assert_eq!(s.get(None, &path).await.status, 422, "{path}");
    }
}
