//! The custody log at work: one writer, many appends to one sync, a checkpoint after each.
//!
//! What each leaf is about stands in the index as a key, so that no event is logged twice,
//! whatever was cut off and asked for again. The file is the truth: leaves that the index has
//! not recorded (a crash came between) are read back at the next start.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use data_encoding::BASE64;
use evidence::{
    custody::{
        checkpoint::{Checkpoint, CheckpointError},
        event::{Action, Event, StoredPart},
        log::{Log, LogError},
        note::LogSigner,
        receipt::Receipt,
    },
    digest::Digest,
    envelope::EnvelopeError,
    ids::AgentId,
    instant::Instant,
    keys::SigningKey,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, spawn_blocking},
};

use crate::store::{
    index::{Change, Index, IndexError},
    leaves,
};

#[cfg(test)]
pub(crate) mod stall;

/// Leaves that share a sync at most; one append may have 8 MiB.
const GROUP: usize = 64;
/// A leaf of ours has some 700 bytes; one that a person sends may not be much longer.
pub const MAX_LEAF_BYTES: usize = 64 * 1024;

/// The custody log can't be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CustodyError {
    /// The file.
    #[error(transparent)]
    Log(Arc<LogError>),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// What is recorded of it.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A leaf could not be made.
    #[error(transparent)]
    Envelope(Arc<EnvelopeError>),
    /// A leaf is longer than any event.
    #[error("The custody leaf is too long. Send a leaf of at most 64 KiB.")]
    TooLong,
    /// The writer is gone, because the server ends.
    #[error("The custody log is closed. Try again when the server runs.")]
    Closed,
    /// The log contradicts itself.
    #[error(
        "The custody log does not hold the leaf that it should. Keep it as evidence and restore a copy."
    )]
    Contradiction,
}

impl From<LogError> for CustodyError {
    fn from(source: LogError) -> Self {
        Self::Log(Arc::new(source))
    }
}

impl From<EnvelopeError> for CustodyError {
    fn from(source: EnvelopeError) -> Self {
        Self::Envelope(Arc::new(source))
    }
}

/// What a leaf is about: two leaves of one key would say the same thing twice.
fn key_of(action: &Action, leaf: &[u8]) -> String {
    let of_part = |what: &str, p: &StoredPart| {
        format!("{what} {} {} {}", p.collection, p.part, p.stored_sha256)
    };
    match action {
        Action::PolicyPublished { version, .. } => format!("policy {version}"),
        Action::Enrolled { agent, .. } => enrolled_key(*agent),
        Action::Admitted { seal_key, .. } => format!("admitted {seal_key}"),
        Action::TurnedAway { seal_key, .. } => format!("turned away {seal_key}"),
        Action::Cloned { agent } => format!("cloned {agent}"),
        Action::Ordered { order, .. } => format!("ordered {order}"),
        Action::Approved { order, by_key, .. } => format!("approved {order} {by_key}"),
        Action::Cancelled { order, by_key, .. } => format!("cancelled {order} {by_key}"),
        Action::Halted { order, .. } => format!("halted {order}"),
        Action::KitCertified { kit, seal_key, .. } => format!("kit certified {kit} {seal_key}"),
        Action::KitUsed { collection, .. } => format!("kit used {collection}"),
        Action::Imported { collection, .. } => format!("imported {collection}"),
        Action::Lapsed { order, .. } => format!("lapsed {order}"),
        Action::Refused {
            agent,
            order_sha256,
            notice_sha256,
        } => format!("refused {agent} {order_sha256} {notice_sha256}"),
        Action::Received { part, .. } => of_part("received", part),
        Action::Fetched { part, by_key } => format!("{} {by_key}", of_part("fetched", part)),
        Action::LogRead { collection, by_key } => format!("log read {collection} {by_key}"),
        Action::Quarantined { part } => of_part("quarantined", part),
        Action::Retention { rule_sha256, .. } => format!("retention {rule_sha256}"),
        Action::Held { hold, .. } => format!("held {hold}"),
        Action::HoldLifted { hold, .. } => format!("hold lifted {hold}"),
        Action::Expired {
            collection, parts, ..
        } => {
            // Many parts take several leaves.
            let first = parts.first().map(Digest::to_string).unwrap_or_default();
            format!("expired {collection} {first}")
        }
        _ => format!("leaf {}", Digest::of(leaf)),
    }
}

fn enrolled_key(agent: AgentId) -> String {
    format!("enrolled {agent}")
}

/// A leaf to be appended, or asked for, and who waits for its receipt.
struct Job {
    key: String,
    /// None to learn only whether one of this key is there.
    leaf: Option<Vec<u8>>,
    done: oneshot::Sender<Result<Option<String>, CustodyError>>,
}

/// What readers and the writer share.
struct Shared {
    log: Mutex<Log>,
    signer: LogSigner,
    note: RwLock<String>,
    /// How many leaves are in the file and recorded.
    grown: watch::Sender<u64>,
    #[cfg(test)]
    stall: stall::Stall,
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The receipt of a leaf in the log, under a checkpoint over all of it.
    fn receipt(&self, number: u64) -> Result<String, CustodyError> {
        let mut log = self.log();
        let leaf = log.read(number)?.ok_or(CustodyError::Contradiction)?;
        let (size, root) = (log.tree().size(), log.tree().root());
        let note = Checkpoint::sign(&self.signer, size, root)?;
        let receipt = Receipt::new(log.tree(), &leaf, number, size, note);
        let json = receipt.ok_or(CustodyError::Contradiction)?.to_json();
        json.ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or(CustodyError::Contradiction)
    }

    /// Appends, and signs for all that is there now.
    fn append(&self, leaves: &[Vec<u8>]) -> Result<(u64, u64, String), CustodyError> {
        let mut log = self.log();
        let bytes: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
        let first = match bytes.is_empty() {
            true => log.tree().size(),
            false => log.append_all(&bytes)?,
        };
        let (size, root) = (log.tree().size(), log.tree().root());
        let note = Checkpoint::sign(&self.signer, size, root)?;
        *self.note.write().unwrap_or_else(PoisonError::into_inner) = note.clone();
        Ok((first, size, note))
    }
}

/// The custody log; clones share the writer.
#[derive(Clone)]
pub struct Custody {
    shared: Arc<Shared>,
    time_key: SigningKey,
    jobs: mpsc::Sender<Job>,
}

/// A log that is open.
pub struct Opened {
    /// The log.
    pub custody: Custody,
    /// Ends, and gives the file's lock back, once every [`Custody`] is dropped.
    pub writer: JoinHandle<()>,
}

impl Custody {
    /// Opens the log, holds it against the remembered checkpoints, and records what a crash left unrecorded.
    ///
    /// # Errors
    /// The log was cut or changed, or can't be read.
    pub async fn open(
        path: &Path,
        signer: LogSigner,
        time_key: SigningKey,
        index: Index,
    ) -> Result<Opened, CustodyError> {
        let file = path.to_owned();
        let log = spawn_blocking(move || Log::open(&file))
            .await
            .map_err(|_| CustodyError::Closed)??;
        if let Some(torn) = log.torn_tail() {
            tracing::warn!(
                leaf = torn.leaf,
                bytes = torn.count_bytes,
                kept = %torn.kept.display(),
                "the last append to the custody log was torn by a crash and cut off; nobody was told of it"
            );
        }
        let notes = index.checkpoints().await?;
        let remembered = notes
            .iter()
            .map(|note| Checkpoint::verify(note, signer.public()));
        log.check(&remembered.collect::<Result<Vec<_>, _>>()?)?;
        let shared = Arc::new(Shared {
            log: Mutex::new(log),
            signer,
            note: RwLock::default(),
            grown: watch::Sender::new(0),
            #[cfg(test)]
            stall: stall::Stall::default(),
        });
        catch_up(&shared, &index).await?;
        let (jobs, queue) = mpsc::channel(1024);
        let writer = tokio::spawn(write(shared.clone(), index, queue));
        Ok(Opened {
            custody: Self {
                shared,
                time_key,
                jobs,
            },
            writer,
        })
    }

    /// Logs what the server did, signed by its time key, and returns the receipt; once only.
    ///
    /// # Errors
    /// The disk or the index failed.
    pub async fn log(&self, action: Action) -> Result<String, CustodyError> {
        let envelope = Event::sign(action.clone(), Instant::now(), &self.time_key)?;
        self.append(&action, envelope.to_json()?).await
    }

    /// Logs a leaf that somebody else signed, as it came; once only.
    ///
    /// # Errors
    /// It is too long, or the disk or the index failed.
    pub async fn log_signed(&self, action: &Action, leaf: &[u8]) -> Result<String, CustodyError> {
        if leaf.len() > MAX_LEAF_BYTES {
            return Err(CustodyError::TooLong);
        }
        self.append(action, leaf.to_vec()).await
    }

    async fn append(&self, action: &Action, leaf: Vec<u8>) -> Result<String, CustodyError> {
        let key = key_of(action, &leaf);
        let receipt = self.ask(key, Some(leaf)).await?;
        receipt.ok_or(CustodyError::Contradiction)
    }

    async fn ask(
        &self,
        key: String,
        leaf: Option<Vec<u8>>,
    ) -> Result<Option<String>, CustodyError> {
        let (done, answer) = oneshot::channel();
        let job = Job { key, leaf, done };
        self.jobs
            .send(job)
            .await
            .map_err(|_| CustodyError::Closed)?;
        answer.await.map_err(|_| CustodyError::Closed)?
    }

    /// The receipt of the leaf by which this agent was enrolled, where there is one: asked of the writer, who first records
    /// what is in the file and nowhere else.
    ///
    /// # Errors
    /// The disk or the index failed, so that nobody knows.
    pub async fn enrolment(&self, agent: AgentId) -> Result<Option<String>, CustodyError> {
        self.ask(enrolled_key(agent), None).await
    }

    /// Signs what is not a leaf: the server's time.
    pub fn time_key(&self) -> &SigningKey {
        &self.time_key
    }

    /// The newest checkpoint.
    pub fn note(&self) -> String {
        let note = self.shared.note.read();
        note.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.shared.log().tree().size()
    }

    /// Rings when there are more leaves.
    pub fn grown(&self) -> watch::Receiver<u64> {
        self.shared.grown.subscribe()
    }

    /// That the log of `to` leaves continues that of `from`; none where it has not so many.
    pub fn consistency(&self, from: u64, to: u64) -> Option<Vec<Digest>> {
        self.shared.log().tree().prove_consistency(from, to)
    }

    /// Leaves in base64 from number `from` on: at most `count`, and at most about `limit_bytes` of them.
    ///
    /// # Errors
    /// The disk failed.
    pub async fn leaves(
        &self,
        from: u64,
        count: u64,
        limit_bytes: usize,
    ) -> Result<Vec<String>, CustodyError> {
        let shared = self.shared.clone();
        let read = move || -> Result<Vec<String>, CustodyError> {
            let (mut leaves, mut bytes) = (Vec::new(), 0);
            for number in from..from.saturating_add(count) {
                // One by one, so that appends go on in between.
                let Some(leaf) = shared.log().read(number)? else {
                    break;
                };
                let text = BASE64.encode(&leaf);
                bytes += text.len();
                if bytes > limit_bytes && !leaves.is_empty() {
                    break;
                }
                leaves.push(text);
            }
            Ok(leaves)
        };
        spawn_blocking(read)
            .await
            .map_err(|_| CustodyError::Closed)?
    }
}

/// Records the leaves that are in the file only.
async fn catch_up(shared: &Arc<Shared>, index: &Index) -> Result<(), CustodyError> {
    let recorded = index.recorded_leaves().await?;
    let mut keys = Vec::new();
    let size = shared.log().tree().size();
    for number in recorded..size {
        let leaf = shared.log().read(number)?;
        let leaf = leaf.ok_or(CustodyError::Contradiction)?;
        // What no program of ours can read was not appended by one.
        let (_, event) = Event::read(&leaf).map_err(|_| CustodyError::Contradiction)?;
        keys.push(key_of(&event.action, &leaf));
    }
    let (_, size, note) = shared.append(&[])?;
    let first = recorded;
    let change = leaves::Change::Record {
        first,
        keys,
        size,
        note,
    };
    index.change(Change::Leaf(change)).await?;
    Ok(())
}

/// Appends until the last [`Custody`] is dropped.
async fn write(shared: Arc<Shared>, index: Index, mut queue: mpsc::Receiver<Job>) {
    let mut group = Vec::new();
    while queue.recv_many(&mut group, GROUP).await > 0 {
        #[cfg(test)]
        shared.stall.pass().await;
        let numbers = append_group(&shared, &index, &mut group).await;
        let numbers = match numbers {
            Ok(numbers) => numbers,
            Err(error) => {
                tracing::error!(%error, "the custody log could not be written");
                for job in group.drain(..) {
                    let _ = job.done.send(Err(error.clone()));
                }
                continue;
            }
        };
        for (job, number) in group.drain(..).zip(numbers) {
            let Some(number) = number else {
                let _ = job.done.send(Ok(None));
                continue;
            };
            let shared = shared.clone();
            let receipt = spawn_blocking(move || shared.receipt(number)).await;
            // Nobody waits any more if the request was cut; the leaf stands.
            let receipt = receipt.unwrap_or(Err(CustodyError::Closed));
            let _ = job.done.send(receipt.map(Some));
        }
    }
}

/// The numbers under which the leaves of these jobs stand, those that were there already included; none of one that was
/// asked for and is not there.
async fn append_group(
    shared: &Arc<Shared>,
    index: &Index,
    group: &mut [Job],
) -> Result<Vec<Option<u64>>, CustodyError> {
    if shared.log().has_failed() {
        // What its file holds is not known before it is opened again.
        return Err(LogError::Failed.into());
    }
    // An append that could not be recorded comes first.
    if index.recorded_leaves().await? < shared.log().tree().size() {
        catch_up(shared, index).await?;
    }
    let next = shared.log().tree().size();
    let (mut numbers, mut keys, mut leaves) = (Vec::new(), Vec::new(), Vec::new());
    for job in group {
        let here = keys.iter().position(|key| *key == job.key);
        let number = match (here, index.leaf(&job.key).await?) {
            (Some(place), _) => Some(next + place as u64),
            (None, Some(number)) => Some(number),
            (None, None) => job.leaf.take().map(|leaf| {
                keys.push(job.key.clone());
                leaves.push(leaf);
                next + keys.len() as u64 - 1
            }),
        };
        numbers.push(number);
    }
    if keys.is_empty() {
        return Ok(numbers);
    }
    let writer = shared.clone();
    let (first, size, note) = spawn_blocking(move || writer.append(&leaves))
        .await
        .map_err(|_| CustodyError::Closed)??;
    let change = leaves::Change::Record {
        first,
        keys,
        size,
        note,
    };
    index.change(Change::Leaf(change)).await?;
    shared.grown.send_replace(size);
    Ok(numbers)
}
