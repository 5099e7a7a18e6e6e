//! An upload's way: begun, received, checked, kept; and its repair after a crash.
//!
//! The index says how many bytes are durable. A staged file may be longer than
//! that (a crash before the count was written); the surplus is cut off.

use std::{
    collections::HashSet,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::body::Body;
use evidence::{
    custody::event::{Action, StoredPart},
    digest::{Digest, DigestWriter},
    ids::AgentId,
    instant::Instant as WallTime,
    statement,
};
use futures_util::{StreamExt as _, stream};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, SeekFrom},
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use super::headers::Checksum;
use crate::{
    custody::Custody,
    keyfile::{free_bytes, sync_dir},
    refusal::Refusal,
    shares::Shares,
    store::{
        blobs::Blobs,
        index::{Change, Index, Woken},
        parts::{Change as PartChange, NewPart},
        uploads::{Change as UploadChange, Promise, Room, Upload, UploadId},
    },
};

/// What uploads may take.
#[derive(Debug, Clone)]
pub struct UploadLimits {
    /// The largest part.
    pub max_part_bytes: u64,
    /// All parts and promises together.
    pub max_store_bytes: u64,
    /// What stays free on the disk.
    pub min_free_bytes: u64,
    /// Uploads that one agent may have open.
    pub max_open_per_agent: u32,
    /// Bytes that one agent may have promised and not delivered.
    pub max_promised_per_agent_bytes: u64,
    /// Bodies received at one time; more are told to come later.
    pub max_receiving: usize,
    /// Those of them that may be one agent's.
    pub max_receiving_per_agent: usize,
    /// How long a body may stand still.
    pub idle_ms: u64,
    /// What a body must bring in each `idle_ms`, or its request is ended.
    pub min_bytes: u64,
    /// How long an upload may take.
    pub expiry_s: i64,
}

/// The uploads of one server.
pub struct Uploads {
    index: Index,
    blobs: Arc<Blobs>,
    custody: Custody,
    staging: PathBuf,
    limits: UploadLimits,
    slots: Semaphore,
    receiving: Shares<AgentId>,
    locked: Mutex<HashSet<UploadId>>,
}

impl Uploads {
    /// Uploads staged in an existing folder, on the same file system as the blobs.
    pub fn new(
        index: Index,
        blobs: Arc<Blobs>,
        custody: Custody,
        staging: PathBuf,
        limits: UploadLimits,
    ) -> Self {
        let slots = Semaphore::new(limits.max_receiving);
        let receiving = Shares::new(limits.max_receiving_per_agent);
        Self {
            index,
            blobs,
            custody,
            staging,
            limits,
            slots,
            receiving,
            locked: Mutex::default(),
        }
    }

    /// The limits in force.
    pub fn limits(&self) -> &UploadLimits {
        &self.limits
    }

    /// Begins an upload, if there is room for all of it.
    pub(super) async fn begin(&self, agent: AgentId, promise: Promise) -> Result<Upload, Refusal> {
        if promise.length_bytes > self.limits.max_part_bytes {
            return Err(Refusal::TooLarge);
        }
        let upload = Upload {
            id: UploadId::random().map_err(|e| Refusal::failed(e.to_string()))?,
            agent,
            promise,
            offset_bytes: 0,
            expires_s: now_s().saturating_add(self.limits.expiry_s),
            kept: false,
        };
        let free = free_bytes(&self.staging).map_err(Refusal::failed)?;
        let room = Room {
            max_store_bytes: self.limits.max_store_bytes,
            free_bytes: free.saturating_sub(self.limits.min_free_bytes),
            max_open: self.limits.max_open_per_agent,
            max_promised_bytes: self.limits.max_promised_per_agent_bytes,
        };
        let change = UploadChange::Begin {
            upload: Box::new(upload.clone()),
            room,
        };
        self.index.change(Change::Upload(change)).await?;
        Ok(upload)
    }

    /// The upload, unless its time is over.
    pub(super) async fn live(&self, id: &UploadId) -> Result<Upload, Refusal> {
        let upload = self.index.upload(id).await?.ok_or(Refusal::NotFound)?;
        if !upload.kept && upload.expires_s <= now_s() {
            return Err(Refusal::Expired);
        }
        Ok(upload)
    }

    /// Receives one request's body at this offset, and keeps the part if it is whole.
    pub(super) async fn receive(
        &self,
        (agent, id): (AgentId, &UploadId),
        offset_bytes: u64,
        checksum: Option<Checksum>,
        body: Body,
    ) -> Result<(Upload, Woken), Refusal> {
        let _turn = self.receiving.take(agent).ok_or(Refusal::Busy)?;
        let _slot = self.slots.try_acquire().map_err(|_| Refusal::Busy)?;
        let _lock = self.lock(id)?;
        // Read again under the lock: another request may have just moved it.
        let mut upload = self.live(id).await?;
        if upload.offset_bytes != offset_bytes {
            return Err(Refusal::Offset);
        }
        if upload.kept {
            return Ok((upload, Woken::default()));
        }
        if upload.is_whole() {
            let woken = self.complete(&upload).await?;
            upload.kept = true;
            return Ok((upload, woken));
        }
        let room = upload.promise.length_bytes - offset_bytes;
        let mut file = self
            .stage(id, offset_bytes)
            .await
            .map_err(Refusal::failed)?;
        let (count, end) = self.copy(body, &mut file, room, checksum).await;
        if count > 0 {
            file.sync_data().await.map_err(Refusal::failed)?;
            upload.offset_bytes += count;
            self.advance(id, upload.offset_bytes).await?;
        }
        end?;
        let mut woken = Woken::default();
        if upload.is_whole() {
            woken = self.keep(&upload).await?;
            upload.kept = true;
        }
        Ok((upload, woken))
    }

    /// Takes in a part that lies in a file, as if its agent sent it in one request.
    pub(super) async fn take(
        &self,
        agent: AgentId,
        promise: Promise,
        file: fs::File,
    ) -> Result<Woken, Refusal> {
        // What an import that was cut off left: nobody else sends for this agent.
        for left in self.index.open_uploads_of(agent).await? {
            self.terminate(&left).await?;
        }
        let upload = self.begin(agent, promise).await?;
        let body = body_of(File::from_std(file));
        match self.receive((agent, &upload.id), 0, None, body).await {
            Ok((upload, woken)) if upload.kept => Ok(woken),
            Ok(_) => {
                self.terminate(&upload.id).await?;
                Err(Refusal::Cut)
            }
            Err(refusal) => {
                self.terminate(&upload.id).await?;
                Err(refusal)
            }
        }
    }

    /// Keeps an upload of which every byte is here, where what came between them and the keeping has failed; the
    /// agent has nothing left to send, and asks by HEAD.
    pub(super) async fn finish(&self, upload: Upload) -> Result<(Upload, Woken), Refusal> {
        if upload.kept || !upload.is_whole() {
            return Ok((upload, Woken::default()));
        }
        let _lock = self.lock(&upload.id)?;
        // Again under the lock: whoever held it may have kept it.
        let mut upload = self.live(&upload.id).await?;
        let mut woken = Woken::default();
        if !upload.kept && upload.is_whole() {
            woken = self.complete(&upload).await?;
            upload.kept = true;
        }
        Ok((upload, woken))
    }

    /// Ends an upload; what is kept already stays kept.
    pub(super) async fn terminate(&self, id: &UploadId) -> Result<(), Refusal> {
        let _lock = self.lock(id)?;
        self.forget(id).await
    }

    /// Drops what has expired; says how many.
    ///
    /// # Errors
    /// The index or the folder failed.
    pub async fn sweep(&self) -> Result<usize, Refusal> {
        let mut count = 0;
        for id in self.index.open_uploads(Some(now_s())).await? {
            // One that is being written now is met again at the next sweep.
            if let Ok(_lock) = self.lock(&id) {
                self.forget(&id).await?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Puts right what a crash left; to be called before the first request.
    ///
    /// # Errors
    /// The index or the folder failed.
    pub async fn repair(&self) -> Result<(), Refusal> {
        let mut known = HashSet::new();
        for id in self.index.open_uploads(None).await? {
            let Some(upload) = self.index.upload(&id).await? else {
                continue;
            };
            self.repair_one(&upload).await?;
            known.insert(id.as_str().to_owned());
        }
        for entry in fs::read_dir(&self.staging).map_err(Refusal::failed)? {
            let entry = entry.map_err(Refusal::failed)?;
            if entry
                .file_name()
                .to_str()
                .is_none_or(|name| !known.contains(name))
            {
                fs::remove_file(entry.path()).map_err(Refusal::failed)?;
            }
        }
        Ok(())
    }

    async fn repair_one(&self, upload: &Upload) -> Result<(), Refusal> {
        let id = upload.id.clone();
        let staged = match fs::metadata(self.staged(&id)) {
            Ok(found) => Some(found.len()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(Refusal::failed(e)),
        };
        if upload.is_whole() && staged.is_none() && self.is_moved(upload).await? {
            return self.record(upload).await.map(drop);
        }
        let durable = staged.unwrap_or(0).min(upload.offset_bytes);
        if durable < upload.offset_bytes {
            tracing::warn!(
                upload = id.as_str(),
                "a staged file lost bytes; the agent sends them again"
            );
            return self.advance(&id, durable).await;
        }
        if upload.is_whole() {
            match self.keep(upload).await {
                Err(Refusal::Digest) | Ok(_) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Whether the blob is in its place, though nobody has written down that it is kept.
    async fn is_moved(&self, upload: &Upload) -> Result<bool, Refusal> {
        let stored = self.blobs.size_bytes(upload.promise.sha256).await?;
        Ok(stored == Some(upload.promise.length_bytes))
    }

    /// The last steps of a whole upload, from wherever they were left.
    async fn complete(&self, upload: &Upload) -> Result<Woken, Refusal> {
        let is_staged = self.staged(&upload.id).exists();
        match !is_staged && self.is_moved(upload).await? {
            true => self.record(upload).await,
            false => self.keep(upload).await,
        }
    }

    /// Opens the staged file, cut to what is durable.
    async fn stage(&self, id: &UploadId, offset_bytes: u64) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let mut file = options.open(self.staged(id)).await?;
        if offset_bytes == 0 {
            sync_dir(&self.staging)?;
        }
        file.set_len(offset_bytes).await?;
        file.seek(SeekFrom::Start(offset_bytes)).await?;
        Ok(file)
    }

    /// Copies the body; says how many bytes may count, and how it ended.
    async fn copy(
        &self,
        body: Body,
        file: &mut File,
        room: u64,
        mut checksum: Option<Checksum>,
    ) -> (u64, Result<(), Refusal>) {
        let (mut body, mut count) = (body.into_data_stream(), 0u64);
        let mut pace = Pace::of(&self.limits);
        let end = loop {
            let bytes = match timeout_at(pace.until, body.next()).await {
                Ok(None) => break Ok(()),
                Ok(Some(Ok(bytes))) => bytes,
                Ok(Some(Err(_))) => break Err(Refusal::Cut),
                Err(_) if pace.is_kept(count) => continue,
                Err(_) => break Err(Refusal::Slow),
            };
            if bytes.len() as u64 > room - count {
                break Err(Refusal::TooLarge);
            }
            if let Err(error) = file.write_all(&bytes).await {
                break Err(no_room_or_failed(error));
            }
            if let Some(sum) = &mut checksum {
                sum.update(&bytes);
            }
            count += bytes.len() as u64;
        };
        // tokio's file writes behind: an error of the last write shows only here.
        if let Err(error) = file.flush().await {
            return (0, Err(no_room_or_failed(error)));
        }
        match (end, checksum) {
            // After a failed write nobody knows how much of the buffer went before it.
            (Err(end @ (Refusal::Full | Refusal::Failed(_))), _) => (0, Err(end)),
            // Without the whole body its checksum says nothing, so none of it counts.
            (Err(end), Some(_)) => (0, Err(end)),
            (Ok(()), Some(sum)) => match sum.matches() {
                true => (count, Ok(())),
                false => (0, Err(Refusal::Checksum)),
            },
            (end, None) => (count, end),
        }
    }

    /// Moves a whole upload into the store, if it is what was promised.
    async fn keep(&self, upload: &Upload) -> Result<Woken, Refusal> {
        let (file, promised) = (self.staged(&upload.id), upload.promise.sha256);
        let hashed = spawn_blocking(move || digest_of(&file)).await;
        if hashed.map_err(Refusal::failed)?.map_err(Refusal::failed)? != promised {
            self.forget(&upload.id).await?;
            return Err(Refusal::Digest);
        }
        let (file, blobs) = (self.staged(&upload.id), self.blobs.clone());
        let coming = self.blobs.coming().await;
        let moved = spawn_blocking(move || blobs.adopt(&file, promised)).await;
        moved.map_err(Refusal::failed)??;
        drop(coming);
        self.record(upload).await
    }

    /// Notes a part whose blob is in its place: first in the custody log, which takes it once only, then in the index.
    async fn record(&self, upload: &Upload) -> Result<Woken, Refusal> {
        let promise = &upload.promise;
        // It was verified before the first byte came.
        let (envelope, said) =
            statement::read_unverified(&promise.statement).map_err(Refusal::failed)?;
        let received = Action::Received {
            part: StoredPart {
                collection: promise.collection,
                part: promise.part,
                stored_sha256: promise.sha256,
            },
            agent: upload.agent,
            size_bytes: promise.length_bytes,
            statement_sha256: envelope.digest(),
        };
        let receipt = self.custody.log(received).await?;
        let change = PartChange::Keep(Box::new(NewPart {
            upload: upload.id.clone(),
            statement: said,
            received: WallTime::now(),
            receipt,
        }));
        Ok(self.index.change(Change::Part(change)).await?)
    }

    async fn advance(&self, id: &UploadId, offset_bytes: u64) -> Result<(), Refusal> {
        let id = id.clone();
        let change = UploadChange::Advance { id, offset_bytes };
        self.index.change(Change::Upload(change)).await?;
        Ok(())
    }

    /// Row first: a file without a row is swept at the next start, a row without a file is not.
    async fn forget(&self, id: &UploadId) -> Result<(), Refusal> {
        let forget = UploadChange::Forget { id: id.clone() };
        self.index.change(Change::Upload(forget)).await?;
        match tokio::fs::remove_file(self.staged(id)).await {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Refusal::failed(e)),
            _ => Ok(()),
        }
    }

    fn staged(&self, id: &UploadId) -> PathBuf {
        self.staging.join(id.as_str())
    }

    fn lock(&self, id: &UploadId) -> Result<Lock<'_>, Refusal> {
        let mut locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        if !locked.insert(id.clone()) {
            return Err(Refusal::Locked);
        }
        Ok(Lock {
            of: &self.locked,
            id: id.clone(),
        })
    }
}

/// Whether a body comes fast enough: so many bytes in each window.
struct Pace {
    until: Instant,
    window: Duration,
    min_bytes: u64,
    counted: u64,
}

impl Pace {
    fn of(limits: &UploadLimits) -> Self {
        let window = Duration::from_millis(limits.idle_ms);
        Self {
            until: Instant::now() + window,
            window,
            min_bytes: limits.min_bytes.max(1),
            counted: 0,
        }
    }

    /// At the end of a window, with `count` bytes in all: whether the next one may begin.
    fn is_kept(&mut self, count: u64) -> bool {
        let is_kept = count - self.counted >= self.min_bytes;
        self.counted = count;
        self.until += self.window;
        is_kept
    }
}

/// One writer per upload; given back on drop.
struct Lock<'u> {
    of: &'u Mutex<HashSet<UploadId>>,
    id: UploadId,
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        self.of
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.id);
    }
}

/// A file's bytes, piece by piece.
fn body_of(file: File) -> Body {
    const PIECE_BYTES: usize = 256 << 10;
    let pieces = stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; PIECE_BYTES];
        let count = file.read(&mut piece).await?;
        piece.truncate(count);
        Ok::<_, io::Error>((count > 0).then_some((piece, file)))
    });
    Body::from_stream(pieces)
}

fn digest_of(file: &std::path::Path) -> io::Result<Digest> {
    let mut hash = DigestWriter::new(io::sink());
    io::copy(&mut fs::File::open(file)?, &mut hash)?;
    Ok(hash.finish().1)
}

fn no_room_or_failed(error: io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Refusal::Full,
        _ => Refusal::failed(error),
    }
}

fn now_s() -> i64 {
    WallTime::now().seconds
}
