//! Uploads by tus: cuts, lies, strangers, lost files, and headers that are none.

use std::{fs, time::Duration};

use data_encoding::BASE64;
use evidence::digest::Digest;
use rustls::version::TLS13;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    config::Config,
    store::{
        index::Change,
        uploads::{Change as UploadChange, UploadId},
    },
    testing::{Answer, Deployment, Running, TestAgent, TestPart},
    tests::evidence::{create, metadata, patch, upload},
};

const TUS: &str = "Tus-Resumable: 1.0.0\r\n";

async fn begin(s: &Running<'_>, agent: &TestAgent, part: &TestPart) -> String {
    let created = create(s, agent, part).await;
    assert_eq!(created.status, 201, "{}", created.text());
    created.header("location").unwrap().to_owned()
}

async fn head(s: &Running<'_>, agent: &TestAgent, url: &str) -> Answer {
    s.send(Some(&agent.tls), "HEAD", url, TUS, &[]).await
}

async fn offset(s: &Running<'_>, agent: &TestAgent, url: &str) -> usize {
    let answer = head(s, agent, url).await;
    answer.header("upload-offset").unwrap().parse().unwrap()
}

async fn checked(
    s: &Running<'_>,
    agent: &TestAgent,
    url: &str,
    bytes: &[u8],
    checksum: &str,
) -> u16 {
    let headers = format!(
        "{TUS}Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n\
         Upload-Checksum: {checksum}\r\n"
    );
    s.send(Some(&agent.tls), "PATCH", url, &headers, bytes)
        .await
        .status
}

#[tokio::test]
async fn resumes_after_a_cut_and_keeps_the_part() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let part = agent.part(300_000);
    let url = begin(&s, &agent, &part).await;
    let mut stream = d.connect(s.port, Some(&agent.tls), &TLS13).await.unwrap();
    let head = format!(
        "PATCH {url} HTTP/1.1\r\nHost: x\r\n{TUS}Upload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: 300000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&part.bytes[..100_000]).await.unwrap();
    stream.shutdown().await.unwrap();
    let at = loop {
        match offset(&s, &agent, &url).await {
            0 => tokio::time::sleep(Duration::from_millis(10)).await,
            at => break at,
        }
    };
    assert!(at <= 100_000, "{at}");
    let answer = loop {
        let answer = patch(&s, &agent, &url, at, &part.bytes[at..]).await;
        if answer.status != 423 {
            break answer;
        }
    };
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(s.get_as("ann", &part.url()).await.body, part.bytes);
    assert_eq!(offset(&s, &agent, &url).await, 300_000);
    assert_eq!(fs::read_dir(d.folder().staging()).unwrap().count(), 0);
}

#[tokio::test]
async fn bytes_with_a_wrong_checksum_do_not_count() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let part = agent.part(1_000);
    let url = begin(&s, &agent, &part).await;
    let other = format!("sha256 {}", BASE64.encode(&Digest::of(b"other").0));
    assert_eq!(checked(&s, &agent, &url, &part.bytes, &other).await, 460);
    for bad in ["", "sha256", "md5 AAAA", "sha256 AAAA", "sha1 !!!!"] {
        assert_eq!(checked(&s, &agent, &url, b"x", bad).await, 400, "{bad}");
    }
    assert_eq!(offset(&s, &agent, &url).await, 0);
    let right = format!("sha256 {}", BASE64.encode(&part.digest().0));
    assert_eq!(checked(&s, &agent, &url, &part.bytes, &right).await, 204);
    assert_eq!(s.get_as("ann", &part.url()).await.status, 200);
}

#[tokio::test]
async fn wrong_offsets_lengths_and_contents_are_refused() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let part = agent.part(1_000);
    let url = begin(&s, &agent, &part).await;
    let send = async |at: usize, bytes: &[u8]| patch(&s, &agent, &url, at, bytes).await.status;
    assert_eq!(send(10, &part.bytes[10..]).await, 409);
    assert_eq!(send(0, &vec![0; 1_001]).await, 413);
    assert_eq!(send(0, &part.bytes[..10]).await, 204);
    assert_eq!(send(0, &part.bytes[..10]).await, 409);
    let mut bent = part.bytes[10..].to_vec();
    bent[500] ^= 1;
    assert_eq!(send(10, &bent).await, 422);
    assert_eq!(head(&s, &agent, &url).await.status, 404);
    assert_eq!(s.get_as("ann", &part.url()).await.status, 404);
}

#[tokio::test]
async fn a_full_store_says_507_and_too_many_uploads_503_before_any_body() {
    let d = Deployment::new().await;
    let config = Config {
        max_part_bytes: 4_000,
        max_store_bytes: 4_000,
        max_open_uploads_per_agent: 2,
        ..d.config()
    };
    let s = d.start_with(config).await;
    let agent = s.enrol("lab").await;
    assert_eq!(create(&s, &agent, &agent.part(4_001)).await.status, 413);
    upload(&s, &agent, &agent.part(3_000)).await;
    let full = create(&s, &agent, &agent.part(1_001)).await;
    assert_eq!(full.status, 507);
    assert!(full.header("retry-after").is_some());
    for _ in 0..2 {
        begin(&s, &agent, &agent.part(10)).await;
    }
    let busy = create(&s, &agent, &agent.part(10)).await;
    assert_eq!(busy.status, 503);
    assert!(busy.header("retry-after").is_some());
}

#[tokio::test]
async fn one_agents_promises_never_fill_the_store() {
    let d = Deployment::new().await;
    let config = Config {
        max_part_bytes: 1_000,
        max_promised_bytes_per_agent: 2_500,
        ..d.config()
    };
    let s = d.start_with(config).await;
    let (greedy, other) = (s.enrol("lab").await, s.enrol("lab").await);
    let first = greedy.part(1_000);
    let url = begin(&s, &greedy, &first).await;
    begin(&s, &greedy, &greedy.part(1_000)).await;
    // What has arrived of a part that is not whole takes its room all the same.
    assert_eq!(
        patch(&s, &greedy, &url, 0, &first.bytes[..999])
            .await
            .status,
        204
    );
    let refused = create(&s, &greedy, &greedy.part(501)).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    begin(&s, &greedy, &greedy.part(500)).await;
    upload(&s, &other, &other.part(1_000)).await;
    // What is kept is no promise any more.
    let last = patch(&s, &greedy, &url, 999, &first.bytes[999..]).await;
    assert_eq!(last.status, 204, "{}", last.text());
    begin(&s, &greedy, &greedy.part(1_000)).await;
    assert_eq!(create(&s, &greedy, &greedy.part(1)).await.status, 503);
}

/// A PATCH that has said `sent` of its 1,000,000 bytes and goes on when it is told to.
async fn slow_patch(
    s: &Running<'_>,
    agent: &TestAgent,
    part: &TestPart,
    sent: usize,
) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let url = begin(s, agent, part).await;
    let connected = s.deployment.connect(s.port, Some(&agent.tls), &TLS13).await;
    let mut stream = connected.unwrap();
    let head = format!(
        "PATCH {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{TUS}Upload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: 1000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&part.bytes[..sent]).await.unwrap();
    stream
}

#[tokio::test]
async fn a_body_that_trickles_is_ended_and_its_bytes_count() {
    let d = Deployment::new().await;
    let config = Config {
        upload_idle_ms: 1_000,
        upload_min_bytes: 1_000,
        ..d.config()
    };
    let s = d.start_with(config).await;
    let agent = s.enrol("lab").await;
    let part = agent.part(1_000_000);
    let mut stream = slow_patch(&s, &agent, &part, 5_000).await;
    let mut answer = Vec::new();
    let trickled = tokio::time::timeout(Duration::from_secs(60), async {
        // It never stands still for long, and brings next to nothing.
        let (mut from, mut to) = tokio::io::split(&mut stream);
        let trickle = async {
            for byte in part.bytes[5_000..].chunks(1) {
                if to.write_all(byte).await.is_err() || to.flush().await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = trickle => {}
            _ = from.read_to_end(&mut answer) => {}
        }
    });
    trickled.await.unwrap();
    assert_eq!(Answer::read(&answer).status, 408);
    let url = only_url(&s).await;
    let at = offset(&s, &agent, &url).await;
    assert!((5_000..6_000).contains(&at), "{at}");
    let answer = patch(&s, &agent, &url, at, &part.bytes[at..]).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
}

/// The URL of the only upload that is open.
async fn only_url(s: &Running<'_>) -> String {
    let open = s.server.index.open_uploads(None).await.unwrap();
    assert_eq!(open.len(), 1);
    format!("/v1/parts/{}", open[0].as_str())
}

#[tokio::test]
async fn one_agent_never_holds_all_places_where_bodies_are_received() {
    let d = Deployment::new().await;
    let config = Config {
        max_receiving: 3,
        max_receiving_per_agent: 2,
        ..d.config()
    };
    let s = d.start_with(config).await;
    let (greedy, other) = (s.enrol("lab").await, s.enrol("lab").await);
    let part = greedy.part(1_000_000);
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(slow_patch(&s, &greedy, &part, 1).await);
    }
    let third = greedy.part(100);
    let url = begin(&s, &greedy, &third).await;
    let refused = loop {
        // At a wrong offset, so that nothing comes of it before the two bodies are in their places.
        let answer = patch(&s, &greedy, &url, 50, &[]).await;
        if answer.status != 409 {
            break answer;
        }
    };
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    upload(&s, &other, &other.part(100)).await;
    drop(held);
    loop {
        if patch(&s, &greedy, &url, 0, &third.bytes).await.status == 204 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_upload_may_be_ended_and_is_one_agents_alone() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let (agent, other) = (s.enrol("lab").await, s.enrol("lab").await);
    let url = begin(&s, &agent, &agent.part(1_000)).await;
    for method in ["HEAD", "DELETE"] {
        let answer = s.send(Some(&other.tls), method, &url, TUS, &[]).await;
        assert_eq!(answer.status, 404, "{method}");
    }
    patch(&s, &agent, &url, 0, &[1; 10]).await;
    let ended = s.send(Some(&agent.tls), "DELETE", &url, TUS, &[]).await;
    assert_eq!(ended.status, 204);
    assert_eq!(head(&s, &agent, &url).await.status, 404);
    assert_eq!(fs::read_dir(d.folder().staging()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_expired_is_gone_for_its_agent_and_then_for_good() {
    let d = Deployment::new().await;
    let config = Config {
        upload_expiry_s: 0,
        ..d.config()
    };
    let s = d.start_with(config).await;
    let agent = s.enrol("lab").await;
    let url = begin(&s, &agent, &agent.part(1_000)).await;
    assert_eq!(head(&s, &agent, &url).await.status, 410);
    assert_eq!(s.server.uploads.sweep().await.unwrap(), 1);
    assert_eq!(head(&s, &agent, &url).await.status, 404);
}

#[tokio::test]
async fn lost_bytes_are_asked_for_again_and_stray_files_swept() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let part = agent.part(2_000);
    let url = begin(&s, &agent, &part).await;
    patch(&s, &agent, &url, 0, &part.bytes[..1_500]).await;
    s.stop().await;
    let staging = d.folder().staging();
    let staged = staging.join(url.rsplit('/').next().unwrap());
    fs::write(&staged, &part.bytes[..700]).unwrap();
    fs::write(staging.join("stray"), b"x").unwrap();
    let s = d.start().await;
    assert_eq!(offset(&s, &agent, &url).await, 700);
    assert!(!staging.join("stray").exists());
    assert_eq!(
        patch(&s, &agent, &url, 700, &part.bytes[700..])
            .await
            .status,
        204
    );
    assert_eq!(s.get_as("ann", &part.url()).await.body, part.bytes);
}

#[tokio::test]
async fn a_file_that_was_changed_before_it_was_kept_is_dropped_at_the_start() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let part = agent.part(1_000);
    let url = begin(&s, &agent, &part).await;
    patch(&s, &agent, &url, 0, &part.bytes[..999]).await;
    let id = UploadId::parse(url.rsplit('/').next().unwrap()).unwrap();
    fs::write(d.folder().staging().join(id.as_str()), vec![7; 1_000]).unwrap();
    let offset_bytes = 1_000;
    let change = UploadChange::Advance { id, offset_bytes };
    s.server.index.change(Change::Upload(change)).await.unwrap();
    s.stop().await;
    let s = d.start().await;
    assert_eq!(head(&s, &agent, &url).await.status, 404);
    assert_eq!(s.get_as("ann", &part.url()).await.status, 404);
}

#[tokio::test]
async fn headers_that_promise_nonsense_are_refused() {
    let d = Deployment::new().await;
    let s = d.start().await;
    let agent = s.enrol("lab").await;
    let good = metadata(&agent.part(10));
    let replaced = |from: &str, to: &str| {
        let bad = good.replace(from, to);
        assert_ne!(bad, good);
        bad
    };
    let long = format!("Upload-Metadata: x {},", "A".repeat(100_000));
    for bad in [
        replaced("part MQ==", "part MA=="),
        replaced("part MQ==", "part LTE="),
        replaced("part MQ==", "part MQ==,part MQ=="),
        replaced(",statement ", ",x "),
        replaced("sha256 ", "sha256 !"),
        replaced("Upload-Length: 10", "Upload-Length: -1"),
        replaced("Upload-Length: 10", "Upload-Length: +1"),
        replaced("Upload-Length: 10", "Upload-Length: 1.0"),
        replaced("Upload-Length: 10", "Upload-Length: 0"),
        replaced("Upload-Length: 10", "Upload-Length: "),
        format!("{TUS}Upload-Length: 10\r\nUpload-Metadata: \r\n"),
        format!("{TUS}Upload-Length: 10\r\nUpload-Metadata: collection\r\n"),
        format!("{TUS}Upload-Length: 10\r\nUpload-Metadata: ,,, ,\r\n"),
        format!("{TUS}Upload-Length: 10\r\nUpload-Metadata: collection !!!!\r\n"),
        replaced("Upload-Length: 10", "Upload-Length: 99999999999999999999"),
        replaced(
            "Upload-Length: 10",
            "Upload-Length: 10\r\nUpload-Length: 10",
        ),
        replaced("Upload-Metadata: ", &long),
    ] {
        let answer = s
            .send(Some(&agent.tls), "POST", "/v1/parts", &bad, &[])
            .await;
        assert_eq!(answer.status, 400, "{bad:.120} {}", answer.text());
    }
    let old = replaced(TUS, "");
    let answer = s
        .send(Some(&agent.tls), "POST", "/v1/parts", &old, &[])
        .await;
    assert_eq!(answer.status, 412);
    assert_eq!(answer.header("tus-version"), Some("1.0.0"));
    let described = s.send(None, "OPTIONS", "/v1/parts", "", &[]).await;
    let extensions = "creation,checksum,termination,expiration";
    assert_eq!(described.header("tus-extension"), Some(extensions));
}
