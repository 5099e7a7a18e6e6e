//! What all handlers share: the server's documents, keys, stores and bells.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context as _;
use data_encoding::BASE64;
use evidence::{
    custody::event::{Action, Event, Outcome},
    digest::Digest,
    ids::{AgentId, OrderId},
    instant::Instant,
    wrap::Identity,
};
use protocol::{messages::Trust, name::Name};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit, watch},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    ca::Authority,
    config::Config,
    custody::{Custody, CustodyError},
    folder::Folder,
    handlers::Lacking,
    intake::Uploads,
    metrics::Metrics,
    rates::Rates,
    refusal::Refusal,
    shares::{Share, Shares},
    siem::Bulletin,
    store::{
        agents,
        blobs::Blobs,
        index::{Change, Index, IndexError},
        parts,
    },
    trust::{Anchors, Documents, Keys, intake_key},
    uncut::Uncut,
    wake::Wake,
};

/// How long requests that were cut off may hold the custody log after the end.
const CLOSING: Duration = Duration::from_secs(5);

/// Leaves of which the consequences are drawn again at the start: far more than can be at work at one time.
const REDRAWN: u64 = 1_000;
/// How many bytes of them are read at one time.
const LEAVES_BYTES: usize = 1 << 20;

/// One running server.
pub struct Server {
    /// The root certificate.
    pub anchors: Anchors,
    /// Certifies agents.
    pub issuing: Authority,
    /// Opens the records of kits' uses.
    pub intake: Identity,
    /// Rows.
    pub index: Index,
    /// Ciphertext.
    pub blobs: Arc<Blobs>,
    /// The custody log.
    pub custody: Custody,
    /// Parts on their way.
    pub uploads: Uploads,
    /// Who waits for what.
    pub wake: Wake,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The settings.
    pub config: Config,
    /// Questions that wait for news, all together.
    pub polls: Semaphore,
    /// Those of each who asks.
    pub polls_of: Shares<Asker>,
    /// How often each may ask.
    pub rates: Rates,
    /// Which orders too few people have signed.
    pub(crate) lacking: Lacking,
    /// What whoever watches is told beside the custody log's leaves.
    pub bulletin: Bulletin,
    /// A part without time stamp may be there.
    pub unstamped: Notify,
    /// Turns true when the server is to stop: whoever waits must answer.
    pub stopping: watch::Sender<bool>,
    /// Held by whoever changes what is kept, until it is in the log: the log tells rules, holds and expiries in the order
    /// in which they counted.
    pub keeping: tokio::sync::Mutex<()>,
    /// Held by whoever takes in what came by hand.
    pub importing: tokio::sync::Mutex<()>,
    /// Held by whoever brings an agent's enrolment to its end, for that agent.
    pub(crate) entering: Shares<AgentId>,
    /// What goes on though its client went away.
    pub(crate) uncut: Uncut,
    /// Where everything lies.
    pub folder: Folder,
    documents: RwLock<Arc<Documents>>,
    publishing: tokio::sync::Mutex<()>,
    seen: Mutex<HashMap<AgentId, Instant>>,
    log_writer: Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    /// Opens the folder and puts right what a crash left.
    ///
    /// # Errors
    /// The folder is not one that `init` made, contradicts itself, or can't be repaired.
    pub async fn open(dir: &Path, config: &Config) -> anyhow::Result<Arc<Self>> {
        let folder = Folder::new(dir);
        let (documents, anchors) = (Documents::load(&folder)?, Anchors::load(&folder)?);
        let keys = Keys::load(&folder, &documents.policy)?;
        let index = Index::open(&folder.index()).await?;
        check_policy(&index, &documents).await?;
        let opened = Custody::open(&folder.log(), keys.log, keys.time, index.clone()).await?;
        let custody = opened.custody;
        let blobs = Arc::new(Blobs::open(&folder.blobs())?);
        let uploads = Uploads::new(
            index.clone(),
            blobs.clone(),
            custody.clone(),
            folder.staging(),
            config.upload_limits(),
        );
        let server = Arc::new(Self {
            anchors,
            documents: RwLock::new(Arc::new(documents)),
            publishing: tokio::sync::Mutex::default(),
            intake: intake_key(&folder)?,
            folder,
            issuing: keys.issuing,
            index,
            blobs,
            custody,
            uploads,
            wake: Wake::default(),
            metrics: Arc::default(),
            polls: Semaphore::new(config.max_polls),
            polls_of: Shares::new(config.max_polls_per_caller),
            rates: Rates::new(config),
            lacking: Lacking::default(),
            bulletin: Bulletin::default(),
            unstamped: Notify::new(),
            stopping: watch::Sender::new(false),
            keeping: tokio::sync::Mutex::default(),
            importing: tokio::sync::Mutex::default(),
            entering: Shares::new(1),
            uncut: Uncut::new(config.max_connections),
            config: config.clone(),
            seen: Mutex::default(),
            log_writer: Mutex::new(Some(opened.writer)),
        });
        server
            .repair()
            .await
            .context("The server's state could not be repaired.")?;
        Ok(server)
    }

    /// The roots and the policy in force.
    pub fn documents(&self) -> Arc<Documents> {
        let held = self.documents.read();
        Arc::clone(&held.unwrap_or_else(PoisonError::into_inner))
    }

    /// Brings `offered` into force: durable first, then told, logged, and held by everybody whom it concerns.
    ///
    /// # Errors
    /// It does not follow from what is in force, or can't be kept.
    pub async fn publish(&self, offered: &Trust) -> Result<Arc<Documents>, Refusal> {
        let _alone = self.publishing.lock().await;
        let old = self.documents();
        let Some(new) = old.next(offered, &self.custody.time_key().public())? else {
            return Ok(old);
        };
        let new = Arc::new(new);
        let (folder, stored) = (self.folder.clone(), Arc::clone(&new));
        let store = move || stored.store(&folder, &old);
        let stored = tokio::task::spawn_blocking(store).await;
        stored.map_err(Refusal::failed)?.map_err(Refusal::failed)?;
        check_policy(&self.index, &new)
            .await
            .map_err(Refusal::failed)?;
        self.log_policy(&new).await?;
        let mut held = self
            .documents
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *held = Arc::clone(&new);
        drop(held);
        tracing::warn!(version = new.policy.version, "a new policy is in force");
        // Agents fetch it, and whoever follows an order may be another by now.
        self.wake.agents.ring_all();
        self.wake.orders.ring_all();
        Ok(new)
    }

    async fn log_policy(&self, documents: &Documents) -> Result<(), CustodyError> {
        let published = Action::PolicyPublished {
            policy_sha256: documents.policy_sha256,
            version: documents.policy.version,
        };
        self.custody.log(published).await.map(|_| ())
    }

    /// Lets go of the server, and waits until the custody log's file is free again.
    pub async fn close(self: Arc<Self>) {
        let mut writer = self
            .log_writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(self);
        if let Some(writer) = &mut writer
            && timeout(CLOSING, writer).await.is_err()
        {
            tracing::warn!("something still holds the custody log");
        }
    }

    /// Makes a change and wakes whom it concerns.
    ///
    /// # Errors
    /// The change was refused.
    pub async fn change(&self, change: Change) -> Result<(), IndexError> {
        let woken = self.index.change(change).await?;
        self.wake.tell(&woken);
        for order in &woken.halted {
            tracing::warn!(%order, "an order has stopped by itself: too many of its hosts failed");
            // Where the log can't take it now, it takes it at the next start.
            if let Err(error) = self.log_halted(*order).await {
                tracing::error!(%order, error = %error, "it could not be logged");
            }
        }
        for agent in &woken.cloned {
            let agent = *agent;
            tracing::warn!(%agent, "an identity was met on two machines: it is given no more orders, and each is to have its own");
            if let Err(error) = self.custody.log(Action::Cloned { agent }).await {
                tracing::error!(%agent, error = %error, "it could not be logged");
            }
        }
        Ok(())
    }

    async fn log_halted(&self, order: OrderId) -> Result<(), CustodyError> {
        if let Some(order_sha256) = self.index.order_digest(order).await? {
            let halted = Action::Halted {
                order,
                order_sha256,
            };
            self.custody.log(halted).await?;
        }
        Ok(())
    }

    /// Notes that an agent asked; written down in the background.
    pub fn saw(&self, agent: AgentId) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(agent, Instant::now());
    }

    /// When an agent asked, where that is not written down yet.
    pub fn last_seen(&self, agent: AgentId) -> Option<Instant> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&agent).copied()
    }

    /// Writes down when agents asked.
    ///
    /// # Errors
    /// The index failed; it is tried again with the next ones.
    pub async fn write_seen(&self) -> Result<(), IndexError> {
        let seen: Vec<_> = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.iter().map(|(agent, at)| (*agent, *at)).collect()
        };
        if seen.is_empty() {
            return Ok(());
        }
        let change = agents::Change::Seen(seen.clone());
        self.index.change(Change::Agent(change)).await?;
        let mut map = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (agent, at) in seen {
            if map.get(&agent) == Some(&at) {
                map.remove(&agent);
            }
        }
        Ok(())
    }

    async fn repair(&self) -> anyhow::Result<()> {
        self.log_policy(&self.documents()).await?;
        self.make_good_the_last().await?;
        self.finish_enrolments().await?;
        self.uploads.repair().await?;
        for order in self.index.halted().await? {
            self.log_halted(order).await?;
        }
        for agent in self.index.cloned().await? {
            self.custody.log(Action::Cloned { agent }).await?;
        }
        self.finish_keeping().await?;
        self.finish_admissions().await?;
        Ok(())
    }

    /// Draws the consequences of the last leaves again: the server may have been cut off after any of them, and
    /// drawing one twice changes nothing.
    async fn make_good_the_last(&self) -> Result<(), CustodyError> {
        let from = self.custody.size().saturating_sub(REDRAWN);
        let mut next = from;
        loop {
            let leaves = self.custody.leaves(next, REDRAWN, LEAVES_BYTES).await?;
            if leaves.is_empty() {
                return Ok(());
            }
            next += leaves.len() as u64;
            for leaf in leaves {
                let leaf = BASE64.decode(leaf.as_bytes());
                let leaf = leaf.map_err(|_| CustodyError::Contradiction)?;
                // A leaf of a later program has no consequence that this one knows.
                if let Ok((_, event)) = Event::read(&leaf) {
                    self.make_good(&leaf, event).await?;
                }
            }
        }
    }

    async fn make_good(&self, leaf: &[u8], event: Event) -> Result<(), CustodyError> {
        let Event { time, action, .. } = event;
        match action {
            Action::Quarantined { part } => {
                let change = parts::Change::Quarantine(part);
                self.index.change(Change::Part(change)).await?;
            }
            Action::Verified {
                part,
                outcome: Outcome::NotGenuine,
            } => self.quarantine(part).await?,
            Action::Revoked { .. } => self.revoke_again(leaf, &action, None).await?,
            Action::Removed { .. } => self.revoke_again(leaf, &action, Some(time)).await?,
            // Receipts of people's and agents' events are asked for again by who sent them;
            // what enrolments and parts need is repaired from their rows.
            _ => {}
        }
        Ok(())
    }

    async fn revoke_again(
        &self,
        leaf: &[u8],
        action: &Action,
        removed: Option<Instant>,
    ) -> Result<(), CustodyError> {
        let Some((agent, from)) = action.revokes() else {
            return Ok(());
        };
        let receipt = self.custody.log_signed(action, leaf).await?;
        let change = agents::Change::Revoke {
            agent,
            from,
            receipt,
            removed,
        };
        self.index.change(Change::Agent(change)).await?;
        Ok(())
    }

    /// Sets a part apart, and says so in the log.
    ///
    /// # Errors
    /// The log or the index failed.
    pub async fn quarantine(
        &self,
        part: evidence::custody::event::StoredPart,
    ) -> Result<(), CustodyError> {
        self.custody.log(Action::Quarantined { part }).await?;
        let change = parts::Change::Quarantine(part);
        self.index.change(Change::Part(change)).await?;
        Ok(())
    }
}

/// The folder holds an older policy than was in force, or another one of the same version.
#[derive(Debug, thiserror::Error)]
#[error(
    "trust/policy.json has version {version}, and {of} of version {newest} was in force. Restore the newest policy."
)]
pub struct PolicyRolledBack {
    version: u64,
    newest: u64,
    of: Digest,
}

/// The policy in force may not be older than one that was, nor another of the same version.
async fn check_policy(index: &Index, documents: &Documents) -> anyhow::Result<()> {
    let (version, sha256) = (documents.policy.version, documents.policy_sha256);
    if let Some((newest, of)) = index.newest_policy().await?
        && (version < newest || version == newest && sha256 != of)
    {
        let older = PolicyRolledBack {
            version,
            newest,
            of,
        };
        return Err(older.into());
    }
    let change = crate::store::leaves::Change::Policy { version, sha256 };
    index.change(Change::Leaf(change)).await?;
    Ok(())
}

/// Who waits for news.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Asker {
    /// An agent.
    Agent(AgentId),
    /// A person of the policy.
    Person(Name),
}

/// The right to wait for news; given back on drop.
pub struct PollPermit<'s> {
    _one_of_all: SemaphorePermit<'s>,
    _one_of_its: Share<Asker>,
}

/// A permit to wait for news; too many at once, of all or of one, are sent away.
///
/// # Errors
/// The server is busy.
pub fn poll_permit(server: &Server, asker: Asker) -> Result<PollPermit<'_>, Refusal> {
    Ok(PollPermit {
        _one_of_its: server.polls_of.take(asker).ok_or(Refusal::Busy)?,
        _one_of_all: server.polls.try_acquire().map_err(|_| Refusal::Busy)?,
    })
}
