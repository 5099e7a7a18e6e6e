//! Agents that hold a real connection each and do what an idle courier does: ask for orders, and wait.
//!
//! They collect nothing. Keys, certificates, TLS and messages are real.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use evidence::ids::HostId;
use protocol::{
    enrolment::{EnrolRequest, EnrolResponse, HostFacts},
    messages::AgentOrders,
    version::VERSION,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tokio::{
    sync::{Mutex, Semaphore, watch},
    task::{JoinHandle, JoinSet},
};

use super::connection::{Connection, Pinned};

/// Enrolments, handshakes or check-ins at one time.
pub(super) const AT_ONCE: usize = 64;
/// How long a question waits for news, as a courier's does.
const WAIT_MS: u32 = 50_000;
/// Between two looks at how many have come.
const LOOK: Duration = Duration::from_millis(10);
/// Before an agent that lost its connection comes back.
const BACK_OFF: Duration = Duration::from_millis(500);

/// What each agent does next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Ask, and wait for news.
    Idle,
    /// Ask again and again without waiting, [`AT_ONCE`] at one time.
    CheckIn,
    /// Ask once, and hold the connection.
    Hold,
}

/// One enrolled host's keys.
pub(super) struct Member {
    chain_pem: String,
    key_pem: String,
}

/// What all agents together have seen.
#[derive(Default)]
pub(super) struct Seen {
    /// Agents whose connection stands and whose first question is on its way.
    pub(super) asking: AtomicUsize,
    /// Answers, the empty ones among them.
    pub(super) answers: AtomicU64,
    /// Connections that broke.
    pub(super) broken: AtomicU64,
    /// When each agent that has an order got its first one.
    pub(super) ordered: Mutex<Vec<Instant>>,
}

/// A fleet whose connections stand.
pub(super) struct Fleet {
    pub(super) seen: Arc<Seen>,
    mode: watch::Sender<Mode>,
    agents: Vec<JoinHandle<()>>,
}

/// Enrols `count` hosts with `token`.
pub(super) async fn enrol(
    server: &Arc<Pinned>,
    token: &str,
    count: usize,
) -> anyhow::Result<Vec<Member>> {
    let (token, permits) = (Arc::<str>::from(token), Arc::new(Semaphore::new(AT_ONCE)));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let (server, token, permits) = (server.clone(), token.clone(), permits.clone());
        tasks.spawn(async move {
            let _permit = permits.acquire().await?;
            enrol_one(&server, &token, number).await
        });
    }
    let mut members = Vec::with_capacity(count);
    while let Some(member) = tasks.join_next().await {
        members.push(member??);
    }
    Ok(members)
}

async fn enrol_one(server: &Pinned, token: &str, number: usize) -> anyhow::Result<Member> {
    let (tls, seal) = (KeyPair::generate()?, KeyPair::generate()?);
    let request = EnrolRequest {
        v: VERSION,
        token: token.to_owned(),
        tls_csr: request(&tls)?,
        seal_csr: request(&seal)?,
        host: HostFacts {
            id: HostId::random()?,
            hostname: format!("host-{number:05}.example.org"),
            os: "linux".parse()?,
            arch: "x86_64".parse()?,
            system: "Debian GNU/Linux 12".to_owned(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        },
    };
    let mut connection = Connection::open(server).await?;
    let (status, body) = connection
        .post("/v1/enrol", serde_json::to_vec(&request)?)
        .await?;
    let said = String::from_utf8_lossy(&body);
    ensure!(status == 200, "an enrolment was refused ({status}): {said}");
    let response: EnrolResponse = serde_json::from_slice(&body)?;
    Ok(Member {
        chain_pem: response.tls_chain,
        key_pem: tls.serialize_pem(),
    })
}

fn request(key: &KeyPair) -> anyhow::Result<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.pem()?)
}

impl Fleet {
    /// Lets every member connect and ask, [`AT_ONCE`] handshakes at one time.
    pub(super) fn start(server: &Pinned, members: &[Member], mode: Mode) -> anyhow::Result<Self> {
        let (mode, seen) = (watch::Sender::new(mode), Arc::new(Seen::default()));
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let mut agents = Vec::with_capacity(members.len());
        for member in members {
            let agent = Agent {
                server: Arc::new(server.as_client(&member.chain_pem, &member.key_pem)?),
                permits: permits.clone(),
                seen: seen.clone(),
                mode: mode.subscribe(),
                known: Vec::new(),
            };
            agents.push(tokio::spawn(agent.live()));
        }
        Ok(Self { seen, mode, agents })
    }

    /// From their next question on, all do this.
    pub(super) fn len(&self) -> usize {
        self.agents.len()
    }

    /// Answers so far.
    pub(super) fn answers(&self) -> u64 {
        self.seen.answers.load(Ordering::Relaxed)
    }

    /// Waits until each has had its first question sent.
    pub(super) async fn all_ask(&self) {
        while self.seen.asking.load(Ordering::Relaxed) < self.agents.len() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until there are as many answers as agents.
    pub(super) async fn all_answered(&self) {
        while self.answers() < self.agents.len() as u64 {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until each has an order, for `patience` at most; gives the moments at which they came.
    pub(super) async fn all_ordered(&self, patience: Duration) -> Vec<Instant> {
        let start = Instant::now();
        loop {
            let moments = self.seen.ordered.lock().await.clone();
            if moments.len() >= self.agents.len() || start.elapsed() > patience {
                return moments;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) fn turn_to(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Ends every connection.
    pub(super) async fn end(self) {
        for agent in &self.agents {
            agent.abort();
        }
        for agent in self.agents {
            // An agent that was ended has nothing more to say.
            let _ = agent.await;
        }
    }
}

struct Agent {
    server: Arc<Pinned>,
    permits: Arc<Semaphore>,
    seen: Arc<Seen>,
    mode: watch::Receiver<Mode>,
    known: Vec<String>,
}

impl Agent {
    async fn live(mut self) {
        let mut is_counted = false;
        loop {
            let opened = {
                let _permit = self.permits.acquire().await;
                Connection::open(&self.server).await
            };
            if let Ok(connection) = opened {
                if !std::mem::replace(&mut is_counted, true) {
                    self.seen.asking.fetch_add(1, Ordering::Relaxed);
                }
                // What ends it is counted, and told with the figures.
                let _ = self.ask_on(connection).await;
            }
            self.seen.broken.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(BACK_OFF).await;
        }
    }

    async fn ask_on(&mut self, mut connection: Connection) -> anyhow::Result<()> {
        loop {
            let mode = *self.mode.borrow_and_update();
            let permits = self.permits.clone();
            let (permit, wait_ms) = match mode {
                Mode::Idle => (None, WAIT_MS),
                Mode::CheckIn | Mode::Hold => (Some(permits.acquire().await?), 0),
            };
            let path = format!(
                "/v1/agent/orders?wait_ms={wait_ms}&policy=1&room=8&known={}",
                self.known.join(",")
            );
            let (status, body) = connection.get(&path).await?;
            self.seen.answers.fetch_add(1, Ordering::Relaxed);
            match status {
                204 => {}
                200 => self.take(&body).await?,
                other => anyhow::bail!("{other}: {}", String::from_utf8_lossy(&body)),
            }
            drop(permit);
            if mode == Mode::Hold {
                self.mode.changed().await?;
            }
        }
    }

    async fn take(&mut self, body: &[u8]) -> anyhow::Result<()> {
        let at = Instant::now();
        let orders: AgentOrders = serde_json::from_slice(body).context("no orders")?;
        if self.known.is_empty() && !orders.orders.is_empty() {
            self.seen.ordered.lock().await.push(at);
        }
        let digests = orders.orders.iter().map(|order| order.digest().to_string());
        self.known.extend(digests);
        Ok(())
    }
}
