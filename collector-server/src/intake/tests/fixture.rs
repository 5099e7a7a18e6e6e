//! A server with one enrolled agent in a folder, and a client that speaks bytes.

use std::{path::PathBuf, sync::Arc, time::Duration};

use evidence::{
    digest::Digest,
    ids::{AgentId, CollectionId},
};
use futures_util::TryStreamExt as _;
use rustls::version::TLS13;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    serve::{Limits, serve},
    store::{
        blobs::Blobs,
        index::{Change, Index, UploadId},
    },
    testing::{Deployment, Identity, now_s},
    uploads::{UploadLimits, Uploads, router},
};

pub(super) const STORE_BYTES: u64 = 4_000_000;
pub(super) const OPEN: usize = 4;

pub(super) struct Fixture {
    pub(super) deployment: Deployment,
    pub(super) index: Index,
    pub(super) blobs: Arc<Blobs>,
    pub(super) uploads: Arc<Uploads>,
    pub(super) port: u16,
    agent: AgentId,
    pub(super) identity: Identity,
}

pub(super) struct Part {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: Digest,
    pub(super) collection: CollectionId,
}

impl Part {
    pub(super) fn new(size: usize) -> Self {
        let bytes: Vec<u8> = (0..size).map(|i| (i * 31 % 251) as u8).collect();
        let digest = Digest::of(&bytes);
        Self {
            bytes,
            digest,
            collection: CollectionId::random().unwrap(),
        }
    }
}

pub(super) fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0)
}

impl Fixture {
    pub(super) async fn start() -> Self {
        Self::with_expiry(3_600).await
    }

    pub(super) async fn with_expiry(expiry_s: i64) -> Self {
        let deployment = Deployment::new();
        let dir = deployment.dir.path();
        for name in ["staging", "blobs"] {
            std::fs::create_dir(dir.join(name)).unwrap();
        }
        let index = Index::open(&dir.join("index.sqlite")).await.unwrap();
        let blobs = Arc::new(Blobs::open(&dir.join("blobs")).unwrap());
        let limits = UploadLimits {
            max_part_bytes: STORE_BYTES * 2,
            max_store_bytes: STORE_BYTES,
            max_open_per_agent: OPEN as u32,
            max_receiving: 8,
            idle_ms: 5_000,
            expiry_s,
        };
        let uploads = Uploads::new(index.clone(), blobs.clone(), dir.join("staging"), limits);
        let uploads = Arc::new(uploads);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tls, urls) = (deployment.server(), router(uploads.clone()));
        tokio::spawn(serve(
            listener,
            tls,
            urls,
            Limits::default(),
            std::future::pending(),
        ));
        let agent = AgentId::random().unwrap();
        index
            .change(Change::AddAgent {
                agent,
                at_s: now_s(),
            })
            .await
            .unwrap();
        let identity = deployment.agent(agent);
        Self {
            deployment,
            index,
            blobs,
            uploads,
            port,
            agent,
            identity,
        }
    }

    pub(super) async fn enrol(&self, agent: AgentId) -> Identity {
        self.index
            .change(Change::AddAgent {
                agent,
                at_s: now_s(),
            })
            .await
            .unwrap();
        self.deployment.agent(agent)
    }

    pub(super) async fn revoke(&self) {
        let change = Change::RevokeAgent {
            agent: self.agent,
            at_s: now_s(),
        };
        self.index.change(change).await.unwrap();
    }

    pub(super) fn metadata(part: &Part) -> String {
        let b64 = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
        format!(
            "collection {},part {},sha256 {},statement {}",
            b64(&part.collection.to_string()),
            b64("1"),
            b64(&part.digest.to_string()),
            b64("{}")
        )
    }

    pub(super) async fn post(&self, part: &Part) -> String {
        let (length, metadata) = (part.bytes.len(), Self::metadata(part));
        let headers = format!("Upload-Length: {length}\r\nUpload-Metadata: {metadata}\r\n");
        self.send("POST", "/v1/uploads", &headers, &[]).await
    }

    pub(super) async fn create(&self, part: &Part) -> String {
        let answer = self.post(part).await;
        assert_eq!(status(&answer), 201, "{answer}");
        let line = answer.lines().find_map(|l| l.strip_prefix("location: "));
        line.unwrap().trim().to_owned()
    }

    pub(super) async fn patch(&self, url: &str, offset: u64, body: &[u8], more: &str) -> String {
        let headers = format!(
            "Upload-Offset: {offset}\r\nContent-Type: application/offset+octet-stream\r\n{more}"
        );
        self.send("PATCH", url, &headers, body).await
    }

    /// Promises the whole body and hangs up after `count` bytes of it.
    pub(super) async fn cut_patch(&self, url: &str, body: &[u8], count: usize) {
        let id = Some(&self.identity);
        let mut stream = self
            .deployment
            .connect(self.port, id, &TLS13)
            .await
            .unwrap();
        let head = format!(
            "PATCH {url} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
             Content-Type: application/offset+octet-stream\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body[..count]).await.unwrap();
        stream.flush().await.unwrap();
        stream.shutdown().await.unwrap();
    }

    pub(super) async fn head(&self, url: &str) -> String {
        self.send("HEAD", url, "", &[]).await
    }

    pub(super) async fn offset(&self, url: &str) -> u64 {
        let answer = self.head(url).await;
        let line = answer
            .lines()
            .find_map(|l| l.strip_prefix("upload-offset: "));
        line.unwrap_or_else(|| panic!("{answer}"))
            .trim()
            .parse()
            .unwrap()
    }

    pub(super) async fn wait_for_offset(&self, url: &str) -> u64 {
        for _ in 0..500 {
            match self.offset(url).await {
                0 => tokio::time::sleep(Duration::from_millis(10)).await,
                offset => return offset,
            }
        }
        0
    }

    pub(super) async fn send(&self, method: &str, url: &str, headers: &str, body: &[u8]) -> String {
        self.send_as(Some(&self.identity), method, url, headers, body)
            .await
    }

    pub(super) async fn send_as(
        &self,
        who: Option<&Identity>,
        method: &str,
        url: &str,
        headers: &str,
        body: &[u8],
    ) -> String {
        let head = format!(
            "{method} {url} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Tus-Resumable: 1.0.0\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.raw(who, &[head.as_bytes(), body].concat()).await
    }

    pub(super) async fn raw(&self, who: Option<&Identity>, bytes: &[u8]) -> String {
        let mut stream = self
            .deployment
            .connect(self.port, who, &TLS13)
            .await
            .unwrap();
        // A refusal may come, and the connection end, before all was sent.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(super) async fn parts(&self, part: &Part) -> Vec<(u32, Digest, u64)> {
        self.index.parts(part.collection).await.unwrap()
    }

    pub(super) async fn blob(&self, digest: Digest) -> Vec<u8> {
        let pieces: Vec<_> = self
            .blobs
            .read(digest)
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        pieces.concat()
    }

    pub(super) async fn advance(&self, url: &str, offset_bytes: u64) {
        let id = UploadId::parse(url.rsplit('/').next().unwrap()).unwrap();
        self.index
            .change(Change::Advance { id, offset_bytes })
            .await
            .unwrap();
    }

    pub(super) fn staging(&self) -> PathBuf {
        self.deployment.dir.path().join("staging")
    }

    pub(super) fn staged(&self, url: &str) -> PathBuf {
        self.staging().join(url.rsplit('/').next().unwrap())
    }
}
