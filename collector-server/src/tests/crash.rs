//! Cut off at any point between the blob, the leaf and the row, the next start puts it right.

use std::fs;

use evidence::{
    custody::event::{Action, Event, Outcome, StoredPart},
    ids::HostId,
    instant::Instant,
};
use protocol::{
    hold::Covers,
    messages::{Collections, Hosts},
};

use crate::{
    state::Server,
    store::{
        agents::{Change as AgentChange, NewAgent, SealKey},
        expiry::Change as ExpiryChange,
        holds as hold_rows,
        index::{Change, Index},
        retention::{self as retention_rows, NewRule},
        uploads::{Change as UploadChange, UploadId},
    },
    testing::{Deployment, Running, TestAgent, TestPart, facts, later, name, text},
    tests::{
        enrolment::revoke,
        evidence::{create, patch},
        holds, retention,
    },
};

/// A part of which every byte is staged and counted, but nothing more was done.
async fn staged(s: &Running<'_>, agent: &TestAgent) -> TestPart {
    let part = agent.part(1_000);
    let created = create(s, agent, &part).await;
    let url = created.header("location").unwrap().to_owned();
    patch(s, agent, &url, 0, &part.bytes[..999]).await;
    let id = UploadId::parse(url.rsplit('/').next().unwrap()).unwrap();
    fs::write(
        s.deployment.folder().staging().join(id.as_str()),
        &part.bytes,
    )
    .unwrap();
    let offset_bytes = 1_000;
    let change = UploadChange::Advance { id, offset_bytes };
    s.server.index.change(Change::Upload(change)).await.unwrap();
    part
}

fn received(agent: &TestAgent, part: &TestPart) -> Action {
    let envelope = evidence::envelope::Envelope::parse(&part.statement).unwrap();
    Action::Received {
        part: stored(part),
        agent: agent.id,
        size_bytes: 1_000,
        statement_sha256: envelope.digest(),
    }
}

fn stored(part: &TestPart) -> StoredPart {
    StoredPart {
        collection: part.said.collection,
        part: 1,
        stored_sha256: part.digest(),
    }
}

/// The part is whole after the restart, and its leaf stands in the log once.
async fn check(d: &Deployment, agent: &TestAgent, part: &TestPart, leaves: u64) {
    let s = d.start().await;
    assert_eq!(s.get_as("ann", &part.url()).await.body, part.bytes);
    let path = format!("{}/receipt", part.url());
    assert_eq!(s.get(Some(&agent.tls), &path).await.status, 200);
    let found: Collections = s.get_as("ann", "/v1/collections").await.message();
    assert!(found.collections[0].complete);
    // One more for the fetching.
    assert_eq!(s.server.custody.size(), leaves + 1);
    s.stop().await;
}

#[tokio::test]
async fn cut_before_the_blob_is_in_its_place() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let part = staged(&s, &agent).await;
    let leaves = s.server.custody.size();
    s.stop().await;
    check(&d, &agent, &part, leaves + 1).await;
}

#[tokio::test]
async fn cut_between_the_blob_and_the_leaf() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let part = staged(&s, &agent).await;
    adopt(&s, &part);
    let leaves = s.server.custody.size();
    s.stop().await;
    check(&d, &agent, &part, leaves + 1).await;
}

fn adopt(s: &Running<'_>, part: &TestPart) {
    let staging = s.deployment.folder().staging();
    let file = fs::read_dir(staging).unwrap().next().unwrap().unwrap();
    s.server.blobs.adopt(&file.path(), part.digest()).unwrap();
}

#[tokio::test]
async fn cut_between_the_leaf_and_the_row() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let part = staged(&s, &agent).await;
    adopt(&s, &part);
    s.server.custody.log(received(&agent, &part)).await.unwrap();
    let leaves = s.server.custody.size();
    s.stop().await;
    check(&d, &agent, &part, leaves).await;
}

#[tokio::test]
async fn cut_between_the_log_and_what_the_index_knows_of_it() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let part = staged(&s, &agent).await;
    adopt(&s, &part);
    let leaves = s.server.custody.size();
    let time_key = s.server.custody.time_key().clone();
    s.stop().await;
    // As a crash right after the log's sync leaves it.
    let mut log = evidence::custody::log::Log::open(&d.folder().log()).unwrap();
    let leaf = Event::sign(received(&agent, &part), Instant::now(), &time_key).unwrap();
    log.append(&leaf.to_json().unwrap()).unwrap();
    drop(log);
    check(&d, &agent, &part, leaves + 1).await;
}

#[tokio::test]
async fn a_whole_upload_whose_keeping_failed_is_kept_when_its_agent_asks() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    for is_moved in [false, true] {
        let part = staged(&s, &agent).await;
        if is_moved {
            adopt(&s, &part);
        }
        let open = s.server.index.open_uploads(None).await.unwrap();
        let url = format!("/v1/parts/{}", open[0].as_str());
        let head = "Tus-Resumable: 1.0.0\r\n";
        let at = s.send(Some(&agent.tls), "HEAD", &url, head, &[]).await;
        assert_eq!(at.header("upload-offset"), Some("1000"));
        let path = format!("{}/receipt", part.url());
        assert_eq!(s.get(Some(&agent.tls), &path).await.status, 200);
        assert_eq!(s.get_as("ann", &part.url()).await.body, part.bytes);
    }
}

#[tokio::test]
async fn a_verdict_whose_consequence_was_cut_off_is_drawn() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let part = staged(&s, &agent).await;
    s.stop().await;
    let s = d.start().await;
    s.stop().await;
    let mut log = evidence::custody::log::Log::open(&d.folder().log()).unwrap();
    let action = Action::Verified {
        part: stored(&part),
        outcome: Outcome::NotGenuine,
    };
    let leaf = Event::sign(action, later(0), &d.person("ann").signing).unwrap();
    log.append(&leaf.to_json().unwrap()).unwrap();
    drop(log);
    let s = d.start().await;
    let found: Collections = s.get_as("ann", "/v1/collections").await.message();
    assert!(found.collections[0].parts[0].quarantined);
}

#[tokio::test]
async fn what_was_logged_before_a_crash_is_in_force_after_it() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let part = staged(&s, &agent).await;
    s.stop().await;
    let s = d.start().await;
    // Logged and recorded, and then the server is gone.
    let revoked = revoke("eve", &agent, &d).event;
    let (_, event) = Event::read(revoked.as_bytes()).unwrap();
    let custody = &s.server.custody;
    custody
        .log_signed(&event.action, revoked.as_bytes())
        .await
        .unwrap();
    let quarantined = Action::Quarantined {
        part: stored(&part),
    };
    custody.log(quarantined).await.unwrap();
    let size = custody.size();
    s.stop().await;
    let s = d.start().await;
    assert_eq!(s.server.custody.size(), size);
    let found: Collections = s.get_as("ann", "/v1/collections").await.message();
    assert!(found.collections[0].parts[0].quarantined);
    assert!(found.collections[0].revocation.is_some());
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    assert!(hosts.hosts[0].revoked.is_some());
}

#[tokio::test]
async fn an_enrolment_that_was_cut_off_is_undone_with_its_tokens_use() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let token = d.token("lab", 1);
    let id: protocol::enrolment::Token = evidence::envelope::Envelope::parse(token.as_bytes())
        .unwrap()
        .document(evidence::envelope::TOKEN)
        .unwrap();
    let new = NewAgent {
        agent: evidence::ids::AgentId::random().unwrap(),
        host: protocol::enrolment::HostFacts {
            id: HostId::random().unwrap(),
            ..facts()
        },
        agency: name("lab"),
        labels: [].into(),
        enrolled: Instant::now(),
        token: id.id,
        forked_from: None,
        kit: None,
        uses: 1,
        seal: SealKey {
            key_sha256: evidence::digest::Digest::of(b"x"),
            chain: String::new(),
        },
    };
    let change = AgentChange::Enrol(Box::new(new));
    s.server.change(Change::Agent(change)).await.unwrap();
    assert_eq!(s.try_enrol(token.clone()).await.0.status, 409);
    s.stop().await;
    let s = d.start().await;
    let hosts: Hosts = s.get_as("ann", "/v1/hosts").await.message();
    assert!(hosts.hosts.is_empty());
    assert_eq!(s.try_enrol(token).await.0.status, 200);
}

#[tokio::test]
async fn a_log_that_was_cut_or_changed_is_refused_with_its_place() {
    let d = Deployment::new().await;
    let s = d.start().await;
    s.enrol("lab").await;
    let size = s.server.custody.size();
    s.stop().await;
    let path = d.folder().log();
    let good = fs::read(&path).unwrap();
    let config = d.config();
    let mut cut = good.clone();
    cut.truncate(good.len() - 30);
    fs::write(&path, cut).unwrap();
    let why = Server::open(&d.path(), &config).await.err().unwrap();
    let last = size - 1;
    assert!(
        why.to_string().contains(&format!("before leaf {last}")),
        "{why}"
    );
    fs::write(&path, good).unwrap();
    d.start().await.stop().await;
}

/// A collection that is due, its server stopped before anything of it has expired.
async fn due(d: &Deployment) -> (TestPart, evidence::digest::Digest) {
    let s = retention::started(d).await;
    let agent = s.enrol("lab").await;
    let part = retention::collected(&s, &agent).await;
    let rule = retention::rule("eve", 1, Some(0));
    assert_eq!(retention::set(&s, "eve", &rule).await.status, 200);
    let sha256 = evidence::digest::Digest::of(&serde_json::to_vec(&rule).unwrap());
    let mark = ExpiryChange::Mark {
        collection: part.said.collection,
        now: later(60),
        notice_ns: 0,
    };
    s.server.change(Change::Expiry(mark)).await.unwrap();
    s.stop().await;
    (part, sha256)
}

/// Told once, gone, and no longer on anybody's list of what is left to do.
async fn check_expired(d: &Deployment, part: &TestPart) {
    let s = d.start().await;
    assert!(!retention::is_stored(&s, part).await);
    assert_eq!(s.get_as("ann", &part.url()).await.status, 410);
    let told = |action: &Action| matches!(action, Action::Expired { .. });
    let actions = retention::actions(&s).await;
    assert_eq!(actions.iter().filter(|a| told(a)).count(), 1);
    let row = retention::collections(&s).await.collections.remove(0);
    assert_eq!(row.expired.unwrap().receipts.len(), 1);
    assert!(s.server.index.expiring().await.unwrap().is_empty());
    s.stop().await;
}

#[tokio::test]
async fn cut_between_the_mark_and_the_leaf_a_collection_expires_at_the_start() {
    let d = Deployment::new().await;
    let (part, _) = due(&d).await;
    check_expired(&d, &part).await;
}

#[tokio::test]
async fn cut_between_the_leaf_and_its_receipt_it_is_told_once() {
    let d = Deployment::new().await;
    let (part, rule_sha256) = due(&d).await;
    let time_key = crate::trust::Keys::load(&d.folder(), &d.policy())
        .unwrap()
        .time;
    let mut log = evidence::custody::log::Log::open(&d.folder().log()).unwrap();
    let action = Action::Expired {
        collection: part.said.collection,
        parts: vec![part.digest()],
        rule_sha256,
    };
    let leaf = Event::sign(action, Instant::now(), &time_key).unwrap();
    log.append(&leaf.to_json().unwrap()).unwrap();
    drop(log);
    check_expired(&d, &part).await;
}

#[tokio::test]
async fn cut_before_or_after_the_ciphertext_went_the_rest_goes_at_the_start() {
    for went in [false, true] {
        let d = Deployment::new().await;
        let (part, _) = due(&d).await;
        let s = d.start().await;
        s.stop().await;
        // As it was before the last step: the leaf is there, the row does not know that the blob is gone.
        let index = Index::open(&d.folder().index()).await.unwrap();
        index.forget_that_it_is_gone().await;
        drop(index);
        if !went {
            let digest = part.digest().to_string();
            let shelf = d.folder().blobs().join(&digest[..2]);
            fs::create_dir_all(&shelf).unwrap();
            fs::write(shelf.join(&digest), &part.bytes).unwrap();
        }
        check_expired(&d, &part).await;
    }
}

#[tokio::test]
async fn rules_holds_and_liftings_that_were_cut_off_before_their_leaf_are_told_at_the_start() {
    let d = Deployment::new().await;
    let s = retention::started(&d).await;
    let agent = s.enrol("lab").await;
    let part = retention::collected(&s, &agent).await;
    let key = |id: &str| d.person(id).signing.clone();
    let rule = retention::rule("eve", 1, Some(0));
    let signed = retention::signed_rule(&key("eve"), &rule);
    let take = NewRule {
        sha256: signed.digest(),
        envelope: text(&signed),
        taken: Instant::now(),
        rule,
    };
    let take = retention_rows::Change::Take(Box::new(take));
    s.server.change(Change::Retention(take)).await.unwrap();
    let collection = part.said.collection;
    let hold = holds::hold("ann", Covers::Collection { collection });
    let signed = holds::signed_hold(&key("ann"), &hold);
    let place = hold_rows::Change::Place {
        hold: Box::new(hold.clone()),
        sha256: signed.digest(),
        envelope: text(&signed),
        at: Instant::now(),
    };
    s.server.change(Change::Hold(place)).await.unwrap();
    // Neither has a leaf: the rule does nothing yet, the hold keeps.
    assert!(retention::collections(&s).await.collections[0].held);
    let due = s.server.index.due_at(later(60), 0).await.unwrap();
    assert!(due.is_empty());
    let size = s.server.custody.size();
    s.stop().await;
    let s = d.start().await;
    assert_eq!(s.server.custody.size(), size + 2);
    let lift = hold_rows::Change::Lift {
        hold: hold.id,
        envelope: text(&holds::signed_lift(
            &key("eve"),
            &holds::lift_of(&hold, "eve"),
        )),
        at: Instant::now(),
    };
    s.server.change(Change::Hold(lift)).await.unwrap();
    assert!(
        retention::collections(&s).await.collections[0].held,
        "still"
    );
    s.stop().await;
    let s = d.start().await;
    assert_eq!(s.server.custody.size(), size + 3);
    assert!(!retention::collections(&s).await.collections[0].held);
}
