//! Cut off at any point between the blob, the leaf and the row, the next start puts it right.

use std::fs;

use evidence::{
    custody::event::{Action, Event, Outcome, StoredPart},
    ids::HostId,
    instant::Instant,
};
use protocol::messages::{Collections, Hosts};

use crate::{
    state::Server,
    store::{
        agents::{Change as AgentChange, NewAgent, SealKey},
        index::Change,
        uploads::{Change as UploadChange, UploadId},
    },
    testing::{Deployment, Running, TestAgent, TestPart, facts, later, name},
    tests::{
        enrolment::revoke,
        evidence::{create, patch},
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
